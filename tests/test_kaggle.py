"The tutorials on Kaggle: metadata, what is pushed, the first cell, the kit for work without internet."
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT/"kaggle"))
import offline  # noqa: E402  (scripts, not a package)
import push  # noqa: E402

TUTORIALS = sorted((ROOT/"nbs"/"tutorials").glob("*.ipynb"))
FIRST_CELL = (ROOT/"kaggle"/"first_cell.py").read_text(encoding="utf-8").split("\nfrom fakenews_nb")[0]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_metadata(page):
    "Kaggle makes the address of the title, so that both must agree."
    file = ROOT/"kaggle"/page.stem/"kernel-metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    _, slug = metadata["id"].split("/")
    assert re.fullmatch(r"[a-z0-9-]{5,50}", slug)
    assert metadata["title"] == slug
    assert (file.parent/metadata["code_file"]).resolve() == page.resolve()
    assert metadata["machine_shape"] == ("NvidiaTeslaT4" if metadata["enable_gpu"] else "None")
    assert metadata["enable_internet"] is True
    assert "clmentbisaillon/fake-and-real-news-dataset" in metadata["dataset_sources"]


def test_what_is_pushed(tmp_path):
    "A copy without outputs, whose links to other pages lead to the site."
    file = ROOT/"kaggle"/TUTORIALS[0].stem/"kernel-metadata.json"
    folder = push.write_kernel(file, "anna", tmp_path)
    metadata = json.loads((folder/"kernel-metadata.json").read_text())
    assert metadata["id"].startswith("anna/")
    notebook = nbformat.read(folder/metadata["code_file"], 4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"\]\((?!https:)[^)]*\.ipynb", text)
    assert f"{push.SITE}/splits.html" in text
    assert f"{push.SITE}/tutorials/explain.html" in text


@pytest.mark.parametrize("link, address", [
    ("[a](../10_cleaning.ipynb#rules)", "cleaning.html#rules"), ("[a](07_explain.ipynb)", "tutorials/explain.html"),
    ("[a](../how_to/serve_it.ipynb)", "how_to/serve_it.html")])
def test_links_of_what_is_pushed(link, address):
    assert push.with_site_links(link, "tutorials") == f"[a]({push.SITE}/{address})"


def run_first_cell(monkeypatch, tmp_path, returncode=0):
    "Run the first cell as if the package were missing; returns the words for pip and the constraints."
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    def record(words):
        calls.append([str(word) for word in words])
        return SimpleNamespace(returncode=returncode)

    monkeypatch.setattr(subprocess, "run", record)
    exec(compile(FIRST_CELL.replace("/kaggle/input", str(tmp_path/"input")), "first cell", "exec"), {})
    return calls[0], (tmp_path/"installed.txt").read_text()


def test_the_first_cell_replaces_nothing(monkeypatch, tmp_path):
    words, constraints = run_first_cell(monkeypatch, tmp_path)
    assert words[words.index("--constraint") + 1] == "installed.txt"
    assert re.search(r"^numpy==\d", constraints, re.M)
    assert words[-1].startswith("fakenews_nb @ https://")


def test_the_first_cell_takes_an_attached_wheel(monkeypatch, tmp_path):
    kit = tmp_path/"input"/"datasets"/"anna"/"kit"
    kit.mkdir(parents=True)
    (kit/"fakenews_nb-0.1.0-py3-none-any.whl").write_bytes(b"")
    words, _ = run_first_cell(monkeypatch, tmp_path)
    assert words[-4:] == ["--no-index", "--find-links", str(kit), "fakenews_nb"]


def test_the_first_cell_says_when_pip_fails(monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="offline kit"): run_first_cell(monkeypatch, tmp_path, returncode=1)


def test_what_the_offline_kit_holds():
    "What we require and Kaggle's image may lack, but none of the packages that come with it."
    names = {line.split("==")[0] for line in offline.lacking_packages()}
    assert {"evaluate", "onnxruntime", "cleanlab", "typer"} <= names
    assert not names & offline.IN_IMAGE
    assert not [name for name in names if name.startswith("nvidia")]
