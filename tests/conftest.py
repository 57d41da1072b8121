"What the tests share: one prepared sample and one small trained run, made once, offline."
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FAKENEWS_SHARED", ROOT.parent/"shared"/"data"))
ONE_THREAD = {"OMP_NUM_THREADS": "1", **os.environ}
COMMAND = Path(sys.executable).parent/"fakenews"
SLOW_FILES = ("test_serving.py", "test_scoring.py")


def pytest_collection_modifyitems(items):
    "Begin with the slowest files, so that no process works on them alone at the end."
    items.sort(key=lambda item: item.path.name not in SLOW_FILES)


def fakenews(*args, code=0):
    "Run the installed command; returns what it printed on standard output and on standard error."
    command = [str(COMMAND), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=ONE_THREAD)
    assert done.returncode == code, f"ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def save_without_dropout(model, tokenizer, folder):
    "Write a model folder whose dropout is off, because each process would draw other random numbers for it."
    model.config.hidden_dropout_prob = 0.
    model.config.attention_probs_dropout_prob = 0.
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def here(capsys):
    "The same command in this process, which saves loading torch; returns code, standard output, standard error."
    from fakenews_nb.cli import main

    def run(*args):
        capsys.readouterr()
        try: main([str(arg) for arg in args])
        except SystemExit as end: code = end.code or 0
        return code, *capsys.readouterr()
    return run


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    "The sample, prepared by the clean protocol."
    from fakenews_nb.splits import prepare
    folder = tmp_path_factory.mktemp("prepared")/"data"
    prepare("sample", folder)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, prepared):
    "A finished run of the fast recipe."
    from fakenews_nb.cli import main
    folder = tmp_path_factory.mktemp("runs")/"run"
    options = ["--model", "tiny", "--epochs", "6", "--lr", "3e-3", "--max-length", "128"]
    with pytest.raises(SystemExit) as end: main(["train", str(prepared), *options, "--out", str(folder)])
    assert not end.value.code
    return folder


@pytest.fixture(scope="session")
def exported(run_folder, tmp_path_factory):
    "The trained model, exported for onnxruntime in full precision."
    from fakenews_nb.export import export_model
    folder = tmp_path_factory.mktemp("exported")/"model"
    export_model(run_folder, folder)
    return folder
