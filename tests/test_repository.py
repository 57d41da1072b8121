"The house itself: what is easy to break without noticing."
import ast
import re
import subprocess

import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT/"nbs").rglob("*.ipynb"))


def test_one_quarto_file():
    "nbdev silently writes its own settings if the stub is missing."
    assert "../_quarto.yml" in (ROOT/"nbs"/"_quarto.yml").read_text()
    settings = (ROOT/"_quarto.yml").read_text()
    assert "output-dir" not in settings
    listed = set(re.findall(r"^ +- ([\w/]+\.ipynb)$", settings, re.M)) | set(re.findall(r"[\w/]+\.ipynb", settings.split("sidebar:")[1]))
    assert {str(path.relative_to(ROOT/"nbs")) for path in NOTEBOOKS} == listed, "every notebook stands in the sidebar"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_grammar(path):
    notebook = nbformat.read(path, 4)
    first = notebook.cells[0].source
    assert re.fullmatch(r"# .+\n\n> .+", first), "a title and a one-line blockquote, alone: nbdev drops what follows them"
    assert not [cell for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    for cell in notebook.cells:
        if cell.cell_type != "code" or re.search(r"#\| export|#\| kaggle|nbdev_export\(\)", cell.source): continue
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not (any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes) and any(isinstance(node, (ast.Expr, ast.Assign)) for node in nodes)), \
            f"imports stand in cells of their own, since building the site runs them: {cell.source[:80]}"
    if path.parent.name == "nbs" and path.stem != "index":
        assert notebook.cells[1].source.startswith("#| default_exp ") and "nbdev_export()" in notebook.cells[-1].source
        assert not [cell for cell in notebook.cells if "#| export" in cell.source and re.search(r"^(from|import) (fastcore|nbdev)", cell.source, re.M)]


def test_constraints_are_names_and_versions():
    lines = [line for line in (ROOT/"constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line) for line in lines)


def test_no_registry_is_named():
    hosts = "|".join(["py" + "pi\\.org", "python" + "hosted\\.org", "registry\\.npm" + "js", "deb\\.deb" + "ian\\.org"])
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""
