"Everything that CI checks, in one command: make test. Ends with a line that counts what passed and what failed."
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from notebook_cells import run_cells
from site_checks import site_faults

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/"kaggle"))
from push import with_site_links  # noqa: E402  (a script, not a package)

BIN = Path(sys.executable).parent
ABREAST = (os.cpu_count() or 1) + 1 # notebooks or test files at a time, each on one thread; many wait for processes
NOTEBOOKS_PER_PROCESS = 16 # then a new process begins, with little memory
TIMEOUT = 3600  # seconds for one check: several times what a quiet machine needs
# One thread for each process: several processes with several threads each slow each other down many times.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONDONTWRITEBYTECODE": "", # each of many processes would compile the libraries again
    "PYTHONWARNINGS": "ignore::FutureWarning"}
HOUSE = ("nbs", "fakenews_nb")
HOUSE_FILES = ("settings.ini", "setup.py", "README.md")
NOT_CLONED = (".venv*", ".git", "demo", "_docs", "_proc", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")


def call(*command, cwd=ROOT):
    "Run a command and return what it printed; `AssertionError` with the end of it if it fails."
    env = {**os.environ, **ENVIRONMENT, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        printed = f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}\n{printed}")
    return done.stdout


def step(name, work):
    "Run one check and print how long it took; returns how many passed and failed: itself, or what it counted."
    start = time.perf_counter()
    try: passed, failed, shown = work() or (1, 0, "")
    except Exception as error: passed, failed, shown = 0, 1, str(error)
    seconds = time.perf_counter() - start
    outcome = "FAILED" if failed else "passed"
    print(f"{outcome}  {name}  ({seconds:.0f} s)", *filter(None, [shown]), sep="\n", flush=True)
    return passed, failed


# ---- the notebooks, the library and README agree ---------------------------------------------------------------------

def for_github(text):
    "Links to notebooks lead to the site, and pictures to the repository."
    text = re.sub(r"\{fig-alt=[^}]*\}", "", with_site_links(text, ""))
    return text.replace("](assets/", "](nbs/assets/")


def show_output_alone(cell):
    "Make a cell of code a cell of the Markdown that it stores."
    text = "\n".join(output.data["text/markdown"] for output in cell.outputs)
    cell.update(cell_type="markdown", source=text)


def readme():
    "README.md as nbs/index.ipynb says it: hidden cells, directives and unwanted outputs left out."
    import nbformat
    from nbconvert import MarkdownExporter
    notebook = nbformat.read(ROOT/"nbs"/"index.ipynb", 4)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.cells = [cell for cell in notebook.cells if "#| hide" not in cell.source]
    for cell in notebook.cells:
        if cell.cell_type != "code": continue
        if "#| output: false" in cell.source: cell.outputs = []
        if "#| echo: false" in cell.source:
            show_output_alone(cell)
            continue
        lines = [line for line in cell.source.splitlines() if not line.startswith("#|")]
        cell.source = "\n".join(lines).strip()
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return "<!-- made from nbs/index.ipynb by make readme -->\n\n" + for_github(text).strip() + "\n"


def copy_house(folder):
    "Copy the files that nbdev reads and writes."
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in HOUSE: shutil.copytree(ROOT/name, folder/name, ignore=ignored)
    for name in HOUSE_FILES: shutil.copy(ROOT/name, folder/name)


def relative_files(folder, pattern): return {str(path.relative_to(folder)) for path in folder.rglob(pattern)}


def check_same_files(folder, name, pattern):
    "The files of a folder here and in the copy are the same, and there are as many."
    here, there = relative_files(ROOT/name, pattern), relative_files(folder/name, pattern)
    changed = sorted(here ^ there)
    for path in sorted(here & there):
        if not filecmp.cmp(ROOT/name/path, folder/name/path, shallow=False): changed.append(path)
    assert here
    assert not changed, f"differ: {', '.join(changed)}"


def notebooks_clean():
    with tempfile.TemporaryDirectory() as folder:
        copy_house(Path(folder))
        call("nbdev_clean", cwd=folder)
        check_same_files(Path(folder), "nbs", "*.ipynb")


def library_in_sync():
    with tempfile.TemporaryDirectory() as folder:
        copy_house(Path(folder))
        call("nbdev_export", cwd=folder)
        check_same_files(Path(folder), "fakenews_nb", "*.py")


def readme_in_sync():
    assert (ROOT/"README.md").read_text(encoding="utf-8") == readme(), "README.md is out of date: make readme"


# ---- linters, notebooks, tests, wheel --------------------------------------------------------------------------------

def ruff(): call("ruff", "check", "--no-cache", "--output-format", "concise")


def mypy(): call("mypy")


def notebook(path, pool):
    "Run a notebook in one of the pool's processes, which have imported torch and the like already."
    problem = pool.submit(run_cells, path).result(timeout=TIMEOUT)
    assert not problem, problem


def pytests():
    "The tests in other processes; each one is counted."
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder)/"report.xml"
        abreast = ("-n", ABREAST, "--dist", "loadfile", "--no-loadscope-reorder") # a file's tests share what they train
        options = ("-q", "--no-header", "-p", "no:cacheprovider", f"--junitxml={report}", *abreast)
        try: output = call("pytest", *options, "tests")
        except AssertionError as error:
            if not report.exists(): raise
            output = str(error)
        suite = ET.parse(report).getroot().find("testsuite").attrib
    failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    summary = f"        {suite['tests']} tests, {skipped} skipped"
    return int(suite["tests"]) - failed - skipped, failed, output if failed else summary


def wheel_in_empty_environment():
    "Build the wheel, install it with its runtime requirements alone, then ask for help, train, and predict."
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT, folder/"clone", ignore=shutil.ignore_patterns(*NOT_CLONED))
        call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder/"clone") # wheel from sdist
        call("twine", "check", "--strict", *folder.glob("fakenews_nb-*"))
        call(sys.executable, "-m", "venv", folder/"venv")
        python = folder/"venv"/"bin"/"python"
        wheel = next(folder.glob("*.whl"))
        quick = ("--quiet", "--no-compile") # only what is imported is compiled, then
        call(python, "-m", "pip", "install", *quick, "-c", ROOT/"constraints.txt", wheel)
        installed = call(python, "-m", "pip", "list", "--format=freeze").lower()
        for name in ("nbdev", "fastcore", "jupyterlab", "ruff", "mypy"):
            assert f"{name}==" not in installed, f"{name} came in with the runtime requirements"
        fakenews, data, run = folder/"venv"/"bin"/"fakenews", folder/"data", folder/"run"
        assert "prepare" in call(fakenews, "--help", cwd=folder)
        call(fakenews, "prepare", "sample", "--out", data, cwd=folder)
        small = ("--model", "tiny", "--limit", "64", "--epochs", "1", "--max-length", "32")
        call(fakenews, "train", data, *small, "--out", run, cwd=folder)
        assert (run/"report.html").is_file()
        answer = call(fakenews, "predict", run, "The council met on Monday.", cwd=folder)
        assert answer.split()[0] in ("fake", "real")
        call(fakenews, "export", run, "--out", folder/"exported", "--int8", cwd=folder)
        return 1, 0, light_environment(folder, wheel)


def light_environment(folder, wheel):
    "Predict with an exported model in an environment that has only its requirements.txt; returns the size in words."
    call(sys.executable, "-m", "venv", "--without-pip", folder/"light")
    light = folder/"light"/"bin"/"python"
    install = (sys.executable, "-m", "pip", "--python", light, "install", "--quiet")
    call(*install, "-r", folder/"exported"/"requirements.txt")
    call(*install, "--no-deps", wheel)
    installed = call(sys.executable, "-m", "pip", "--python", light, "list", "--format=freeze").lower()
    for name in ("torch", "transformers", "pandas", "scipy"): assert f"{name}==" not in installed, name
    fakenews = folder/"light"/"bin"/"fakenews"
    answer = call(fakenews, "predict", folder/"exported", "The council met on Monday.", cwd=folder)
    assert answer.split()[0] in ("fake", "real")
    sizes = [file.lstat().st_size for file in (folder/"light").rglob("*")]
    return f"        the light installation takes {sum(sizes)/1e6:.0f} MB"


def built_site():
    "Build the site in a copy as `quarto render` does, and check its pages and that no tracked file has changed."
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name)/"clone"
        shutil.copytree(ROOT, clone, symlinks=True, ignore=shutil.ignore_patterns(*NOT_CLONED))
        call("git", "init", "--quiet", cwd=clone)
        call("git", "add", "--all", cwd=clone)
        call("quarto", "render", cwd=clone)
        changed = call("git", "diff", "--name-only", cwd=clone).split()
        assert not changed, f"changed by quarto render: {', '.join(changed)}"
        faults = site_faults(clone/"_docs")
        assert not faults, "\n".join(faults)
        return 1, 0, f"        {len(list((clone/'_docs').rglob('*.html')))} pages"


def notebook_steps(pool):
    "A check for each notebook."
    for path in sorted((ROOT/"nbs").rglob("*.ipynb")):
        yield f"notebook {path.relative_to(ROOT/'nbs')}", lambda path=path: notebook(path, pool)


BEFORE = [
    ("notebooks are clean", notebooks_clean),
    ("the library is in sync with the notebooks", library_in_sync),
    ("README is in sync with nbs/index.ipynb", readme_in_sync),
    ("ruff", ruff),
    ("mypy", mypy),
]
AFTER = [
    ("pytest tests", pytests),
    ("the wheel and its runtime requirements suffice", wheel_in_empty_environment),
]
if shutil.which("quarto"): AFTER.append(("the built site", built_site))


def main(words):
    "Run the checks whose names hold one of the words; all of them if there are none."
    os.environ.update(ENVIRONMENT)
    pool = ProcessPoolExecutor(ABREAST, mp_context=get_context("spawn"), max_tasks_per_child=NOTEBOOKS_PER_PROCESS)
    steps = [*BEFORE, *notebook_steps(pool), *AFTER]
    chosen = [(name, work) for name, work in steps if not words or any(word in name for word in words)]
    with ThreadPoolExecutor(ABREAST) as threads:
        futures = [threads.submit(step, name, work) for name, work in chosen]
        counts = [future.result() for future in futures]
    pool.shutdown()
    passed, failed = sum(count[0] for count in counts), sum(count[1] for count in counts)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or not counts


if __name__ == "__main__":
    os.chdir(ROOT)
    if "--write-readme" in sys.argv:
        (ROOT/"README.md").write_text(readme(), encoding="utf-8")
        sys.exit()
    sys.exit(main([arg for arg in sys.argv[1:] if not arg.startswith("-")]))
