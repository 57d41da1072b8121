"Everything that CI checks, in one command: make test. Ends with a line that counts what passed and what failed."
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ABREAST = min(2, os.cpu_count() or 1) # notebooks at a time, each on one thread
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore::FutureWarning"}


def call(*command, cwd=ROOT, timeout=1500, **settings):
    "Run a command and give what it printed; `AssertionError` with all of it if it fails."
    env = {**os.environ, **OFFLINE, **settings, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
    if done.returncode: raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
    return done.stdout


def step(name, work):
    "Run one check and say how long it took; how many passed and failed: itself, or what it counted."
    start = time.perf_counter()
    try: passed, failed, shown = work() or (1, 0, "")
    except Exception as error: passed, failed, shown = 0, 1, error
    print(f"{'FAILED' if failed else 'passed'}  {name}  ({time.perf_counter() - start:.0f} s)" + (f"\n{shown}" if shown else ""), flush=True)
    return passed, failed


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
        cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|")).strip()
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    return "<!-- made from nbs/index.ipynb by make readme -->\n\n" + text.strip() + "\n"


def notebook(path):
    "Run every cell of a notebook that needs nothing this machine lacks."
    call("nbdev_test", "--path", path, "--n_workers", "0", "--do_print", OMP_NUM_THREADS="1")


def copy_of_house(folder):
    "The files that nbdev reads and writes, in another place."
    for name in ("nbs", "fakenews_nb"): shutil.copytree(ROOT/name, folder/name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("settings.ini", "setup.py", "README.md"): shutil.copy(ROOT/name, folder/name)


def same_files(folder, name, pattern):
    "The files of a folder here and in the copy are the same, and there are as many."
    here, there = ({str(path.relative_to(base)) for path in (base/name).rglob(pattern)} for base in (ROOT, folder))
    changed = sorted(here ^ there) + [path for path in sorted(here & there) if not filecmp.cmp(ROOT/path, folder/path, shallow=False)]
    assert here and not changed, f"differ: {', '.join(changed)}"


def notebooks_clean():
    with tempfile.TemporaryDirectory() as folder:
        copy_of_house(Path(folder))
        call("nbdev_clean", cwd=folder)
        same_files(Path(folder), "nbs", "*.ipynb")


def library_in_sync():
    with tempfile.TemporaryDirectory() as folder:
        copy_of_house(Path(folder))
        call("nbdev_export", cwd=folder)
        same_files(Path(folder), "fakenews_nb", "*.py")


def readme_in_sync():
    assert (ROOT/"README.md").read_text(encoding="utf-8") == readme(), "README.md is not what nbs/index.ipynb says: make readme"


def pytests():
    "The tests in other processes; each one is counted."
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder)/"report.xml"
        try: output = call("pytest", "-q", "--no-header", "-p", "no:cacheprovider", f"--junitxml={report}", "tests")
        except AssertionError as error:
            if not report.exists(): raise
            output = str(error)
        suite = ET.parse(report).getroot().find("testsuite").attrib
    failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    return int(suite["tests"]) - failed - skipped, failed, output if failed else f"        {suite['tests']} tests, {skipped} skipped"


def wheel_in_empty_environment():
    "Build the wheel, install it with its runtime requirements alone, then ask for help, train, and predict."
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT, folder/"clone", ignore=shutil.ignore_patterns(".venv", ".git", "demo", "_docs", "_proc", "build", "dist", "*.egg-info", "__pycache__"))
        call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder/"clone")
        call(sys.executable, "-m", "venv", folder/"venv")
        python = folder/"venv"/"bin"/"python"
        call(python, "-m", "pip", "install", "--quiet", "-c", ROOT/"constraints.txt", next(folder.glob("*.whl")))
        installed = call(python, "-m", "pip", "list", "--format=freeze").lower()
        for name in ("nbdev", "fastcore", "jupyterlab"): assert f"{name}==" not in installed, f"{name} came in with the runtime requirements"
        fakenews = folder/"venv"/"bin"/"fakenews"
        assert "prepare" in call(fakenews, "--help", cwd=folder)
        call(fakenews, "prepare", "sample", "--out", folder/"data", cwd=folder)
        call(fakenews, "train", folder/"data", "--model", "tiny", "--limit", "64", "--epochs", "1", "--max-length", "32", "--out", folder/"run", cwd=folder)
        assert call(fakenews, "predict", folder/"run", "The council met on Monday.", cwd=folder).split()[0] in ("fake", "real")


BEFORE = [
    ("notebooks are clean", notebooks_clean),
    ("the library is in sync with the notebooks", library_in_sync),
    ("README is in sync with nbs/index.ipynb", readme_in_sync),
]
NOTEBOOKS = [(f"notebook {path.relative_to(ROOT/'nbs')}", lambda path=path: notebook(path)) for path in sorted((ROOT/"nbs").rglob("*.ipynb"))]
AFTER = [
    ("pytest tests", pytests),
    ("the wheel and its runtime requirements suffice", wheel_in_empty_environment),
]

if __name__ == "__main__":
    os.chdir(ROOT)
    if "--write-readme" in sys.argv: sys.exit((ROOT/"README.md").write_text(readme(), encoding="utf-8") and None)
    asked = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    counts = []
    for steps, abreast in ((BEFORE, 1), (NOTEBOOKS, ABREAST), (AFTER, 1)):
        steps = [(name, work) for name, work in steps if not asked or any(word in name for word in asked)]
        with ThreadPoolExecutor(abreast) as pool: counts += pool.map(step, *zip(*steps)) if steps else []
    passed, failed = map(sum, zip(*counts)) if counts else (0, 0)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or not counts)
