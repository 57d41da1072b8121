# Two commands are enough on a machine with Python 3.11 or newer: make demo, make test.
PYTHON ?= python3
BIN = .venv/bin
READY = .venv/.ready
COLAB = .venv-colab/bin
COLAB_READY = .venv-colab/.ready
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'

.PHONY: help demo test test-colab lint bench lab docs execute kaggle-push kaggle-offline kaggle-simulate readme clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */make \1\t/' | expand -t 18

# --no-compile: Python compiles what it imports, which is a part of what is installed.
$(READY): settings.ini setup.py constraints.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev,excel,explain,openvino,ray,serve]'
	@touch $@

$(COLAB_READY): settings.ini setup.py constraints-colab.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv-colab
	$(COLAB)/python -m pip install --quiet --no-compile -c constraints-colab.txt -e '.[dev,excel,explain,openvino,ray,serve]'
	@touch $@

demo: $(READY)  ## train and inspect a tiny model on the built-in sample, offline
	$(BIN)/fakenews demo --out demo

test: $(READY)  ## everything that CI runs
	$(BIN)/python tests/check.py

test-colab: $(COLAB_READY)  ## chapters and tests with the versions of Kaggle and Colab, in an environment of their own
	$(COLAB)/python tests/check.py notebook pytest

lint: $(READY)  ## ruff and mypy alone
	$(BIN)/python tests/check.py ruff mypy

bench: $(READY)  ## speed against the source recipe: ten minutes; make bench FULL=--full: twice that
	$(BIN)/python benchmarks/speed.py $(FULL)

lab: $(READY)  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab nbs

docs: $(READY)  ## the site, in _docs; needs the program quarto
	@command -v quarto >/dev/null || { echo "make docs needs the program quarto, version 1.4 or newer: install it from quarto.org/docs/get-started, then call make docs again"; exit 2; }
	@touch README.md
	$(BIN)/nbdev_docs
	$(BIN)/python tests/site_checks.py _docs

kaggle-push: $(READY)  ## publish the tutorials as Kaggle notebooks; needs the program kaggle and its token
	$(BIN)/python kaggle/push.py

kaggle-offline: $(COLAB_READY)  ## what a Kaggle notebook without internet needs, in dist/kaggle-offline
	$(COLAB)/python kaggle/offline.py

kaggle-simulate: $(COLAB_READY)  ## tutorial 1 in a stand-in of Kaggle, with and without internet; as root on Linux
	$(COLAB)/python kaggle/simulate.py

execute: $(READY)  ## execute notebooks and store their outputs: make execute NB="nbs/10_cleaning.ipynb"
	$(BIN)/python tests/execute.py $(NB)

readme: $(READY)  ## README.md from nbs/index.ipynb
	$(BIN)/python tests/check.py --write-readme

clean:  ## remove what was made here; the environments stay
	rm -rf _docs _proc build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .quarto nbs/nbdev.yml
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
