"The pages of the site, checked without Quarto: menu, links, figures, stored outputs, numbers, the built HTML."
import re

import nbformat
import pytest
import yaml
from conftest import ROOT
from site_checks import page_faults, site_faults

NBS = ROOT/"nbs"
PAGES = sorted(NBS.rglob("*.ipynb"))
TUTORIALS = [path for path in PAGES if path.parent.name == "tutorials"]
PROGRESS = re.compile(r"<progress|widget-view|it/s\]|\d+%\|")
HOME_PATH = r"/(?:home|work|root|Users)/\w+"
OTHER_PATH = r"(?<![\w.])/(?:tmp|var|kaggle|content)/\w"
MACHINE_PATH = re.compile(f"{HOME_PATH}|{OTHER_PATH}")


def read(path): return nbformat.read(path, 4)


def page_id(path): return path.relative_to(NBS).with_suffix("").as_posix()


def prose(notebook):
    "The Markdown of a notebook, without code."
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def is_shown(cell):
    "Whether a page shows the outputs of a cell."
    return cell.cell_type == "code" and not re.search(r"^#\| (hide|output: false)", cell.source, re.M)


# ---- the menu --------------------------------------------------------------------------------------------------------

def menu_pages(node):
    "The pages that a menu names, at any depth."
    if isinstance(node, str): return [node]
    if isinstance(node, list): return [page for part in node for page in menu_pages(part)]
    if "href" in node: return [node["href"]]
    return menu_pages(node.get("contents", []))


def menu_faults(website, pages):
    "Pages of the menus that do not exist, and notebooks that the sidebar lacks."
    sidebar = menu_pages(website["sidebar"])
    bar = [entry["href"] for entry in website["navbar"]["left"] + website["page-footer"]["right"]]
    local = [page for page in sidebar + bar if not page.startswith("https:")]
    faults = [f"does not exist: {page}" for page in local if not (NBS/page).is_file()]
    faults += [f"not in the sidebar: {page}" for page in pages if page not in sidebar]
    return faults + [f"twice in the sidebar: {page}" for page in sidebar if sidebar.count(page) > 1]


def website(): return yaml.safe_load((ROOT/"_quarto.yml").read_text(encoding="utf-8"))["website"]


def test_the_menus_name_every_page_once():
    assert menu_faults(website(), [f"{page_id(path)}.ipynb" for path in PAGES]) == []


def test_the_check_of_menus_notices_what_is_missing():
    broken = website()
    broken["sidebar"]["contents"].append("nowhere.ipynb")
    assert menu_faults(broken, ["index.ipynb", "new.ipynb"]) == [
        "does not exist: nowhere.ipynb", "not in the sidebar: new.ipynb"]


# ---- links and anchors -----------------------------------------------------------------------------------------------

def slug(heading):
    "The anchor that pandoc gives to a heading."
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"[^\w\s.-]", "", text).lower()
    return re.sub(r"\s+", "-", re.sub(r"^[^a-z]+", "", text.strip()))


def anchors(path):
    "The anchors of a page: its headings, and the functions and classes that it documents."
    notebook = read(path)
    found = {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(notebook), re.M)}
    for cell in notebook.cells:
        if cell.cell_type != "code": continue
        defined = re.findall(r"^(?:def|class) (\w+)", cell.source, re.M) if "#| export" in cell.source else []
        shown = re.findall(r"^show_doc\(([\w.]+)", cell.source, re.M)
        found |= {name.lower() for name in defined + shown}
    return found


def link_faults(path, text):
    "Links to pages, files and anchors that do not exist."
    faults = []
    for target in re.findall(r"\]\(([^)\s]+)\)(?:\{[^}]*\})?", text):
        if re.match(r"\w+:", target): continue
        file, _, anchor = target.partition("#")
        linked = (path.parent/file).resolve() if file else path
        if not linked.is_file(): faults.append(f"dead link: {target}")
        elif anchor and linked.suffix == ".ipynb" and anchor not in anchors(linked):
            faults.append(f"no such anchor: {target}")
    return faults


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_and_anchors_resolve(path):
    assert link_faults(path, prose(read(path))) == []


def test_the_check_of_links_notices_a_broken_one():
    text = "[a](nowhere.ipynb) [b](30_detector.ipynb#nowhere) [c](30_detector.ipynb#detector.predict) [d](#lost)"
    assert link_faults(NBS/"index.ipynb", text) == [
        "dead link: nowhere.ipynb", "no such anchor: 30_detector.ipynb#nowhere", "no such anchor: #lost"]


def nested_links(text):
    "Names of ours in backticks that are the text of a link: nbdev makes a second link of such a name."
    from fakenews_nb._modidx import d
    names = {name for module in d["syms"].values() for name in module}
    known = {part for name in names for part in (name.split(".", 2)[-1], name.rsplit(".", 1)[-1])}
    return [name for name in re.findall(r"\[`([\w.]+)`\]\([^)]*\.ipynb", text) if name in known]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_no_link_stands_in_a_link(path):
    assert nested_links(prose(read(path))) == []


def test_the_check_of_nested_links_notices_one():
    assert nested_links("see [`predict`](21_evaluation.ipynb) and [`fast`](19_training.ipynb)") == ["predict"]


# ---- figures and stored outputs --------------------------------------------------------------------------------------

def cell_faults(cell):
    "What must not be stored with a cell: errors, stderr, progress bars, paths of a machine, figures without alt text."
    faults = []
    for output in cell.get("outputs", []):
        stored = str(output)
        if output.output_type == "error": faults.append("an error")
        if output.get("name") == "stderr": faults.append("stderr")
        if PROGRESS.search(stored): faults.append("a progress bar")
        if MACHINE_PATH.search(stored): faults.append("a path of a machine")
        has_figure = is_shown(cell) and "image/png" in output.get("data", {})
        if has_figure and not re.search(r"^#\| fig-alt: *\S", cell.source, re.M):
            faults.append("a figure without alt text")
    return faults


def lost_figure(cell):
    "Whether a cell with alt text stores outputs, but no figure: the outputs then belong to other cells."
    is_figure = is_shown(cell) and re.search(r"^#\| fig-alt", cell.source, re.M)
    shown = cell.get("outputs", [])
    stored = [output for output in shown if output.output_type in ("display_data", "execute_result")]
    return bool(is_figure) and not any("image/png" in output.data for output in stored)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_stored_outputs_are_fit_to_be_read(path):
    for cell in read(path).cells:
        assert cell_faults(cell) == [], cell.source[:200]
        assert not lost_figure(cell), cell.source[:200]


@pytest.mark.parametrize("output, fault", [
    (nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]), "an error"),
    (nbformat.v4.new_output("stream", name="stderr", text="warning"), "stderr"),
    (nbformat.v4.new_output("stream", text="50%|#####     | 5/10"), "a progress bar"),
    (nbformat.v4.new_output("stream", text="/tmp/tmpx1/run"), "a path of a machine"),
    (nbformat.v4.new_output("stream", text="file:///home/anna/run"), "a path of a machine"),
    (nbformat.v4.new_output("display_data", data={"image/png": "x"}), "a figure without alt text")])
def test_the_check_of_outputs_notices(output, fault):
    cell = nbformat.v4.new_code_cell("f()", outputs=[output])
    assert cell_faults(cell) == [fault]
    cell.source = "#| hide\nf()" # hidden cells are in the file that a reader downloads
    assert cell_faults(cell) == ([] if "figure" in fault else [fault])


def test_the_check_of_outputs_notices_a_lost_figure():
    table = nbformat.v4.new_output("display_data", data={"text/html": "<table>"})
    assert lost_figure(nbformat.v4.new_code_cell("#| fig-alt: A line\nplot()", outputs=[table]))


# ---- announced and not shown -----------------------------------------------------------------------------------------

def shows_something(cell):
    "Whether a page shows a cell of code: itself, its outputs, or the documentation of a public name."
    if re.search(r"^#\| hide", cell.source, re.M): return False
    if not re.search(r"^#\| export", cell.source, re.M): return True
    return bool(re.search(r"^(?:async )?(?:def|class) [A-Za-z]", cell.source, re.M))


def unkept_announcements(notebook):
    "Paragraphs that end with a colon, where the page does not show what they announce."
    faults, last, hidden = [], "", False
    for cell in [*notebook.cells, nbformat.v4.new_markdown_cell("# The end")]:
        if cell.cell_type == "code":
            if shows_something(cell): last = ""
            else: hidden = True
            continue
        is_heading = cell.source.lstrip().startswith("#")
        if last.endswith(":") and (hidden or is_heading): faults.append(last)
        last, hidden = cell.source.rstrip().rpartition("\n")[2], False
    return faults


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_what_a_colon_announces_is_shown(path):
    assert unkept_announcements(read(path)) == []


@pytest.mark.parametrize("source, expected", [
    ("#| export\ndef _helper(): pass", ["We do this:"]),
    ("#| hide\nassert True", ["We do this:"]),
    ("#| export\ndef helper(): pass", []),
    ("1 + 1", [])])
def test_the_check_of_announcements_notices(source, expected):
    cells = [nbformat.v4.new_markdown_cell("## Title\n\nWe do this:"), nbformat.v4.new_code_cell(source)]
    assert unkept_announcements(nbformat.v4.new_notebook(cells=cells)) == expected


# ---- numbers ---------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"(?<![\w.])(\d*\.\d{2,}|\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?= %))")
# Numbers that no cell computes: sizes of published corpora, scores of the source notebook, and limits by definition.
CITED = {
    "tutorials/03_clean_and_engineer": {"99.98", "8,690", "8,980"},
    "tutorials/06_deploy": {"1,500"}, "tutorials/07_explain": {"1,500"}, "tutorials/04_does_it_generalize": {".77"},
    "explanations/honest_evaluation": {"8,690", "44,898"},
    "explanations/isot_shortcuts": {".9991", "44,898", "8,690", "2,000"}, "explanations/where_the_time_goes": {"2,048"},
    "02_tables": {"20,000"}, "05_stats": {".93"}, "07_sample": {"1.5"}, "11_splits": {"44,898", "38,729"},
    "12_features": {"99.98"}, "15_audit": {"5,100", "5,600"}, "17_models": {"1,304", ".12"}, "21_evaluation": {".9991"},
    "23_abstention": {"99.75"}, "30_detector": {"50"}, "index": {".99", "3.11"}, "get_started": {"3.11"}}


def typed_numbers(notebook):
    "Numbers in the prose that stand in no cell and in no output."
    sources = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    stored = " ".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|\$[^$]*\$", "", prose(notebook))
    found = set()
    for number in NUMBER.findall(text):
        forms = {number, number.replace(",", ""), number.lstrip("0")}
        if not any(form in sources or form in stored for form in forms): found.add(number)
    return found


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_numbers_of_the_prose_come_from_cells(path):
    if path.stem == "glossary": pytest.skip("definitions")
    assert typed_numbers(read(path)) <= CITED.get(page_id(path), set())


def test_the_check_of_numbers_notices_a_typed_one():
    cells = [nbformat.v4.new_markdown_cell("An F1 of .9731 on 1,304 articles."), nbformat.v4.new_code_cell("n = 1304")]
    assert typed_numbers(nbformat.v4.new_notebook(cells=cells)) == {".9731"}


# ---- tutorials -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", TUTORIALS, ids=page_id)
def test_tutorials_begin_alike(path):
    "The links below the title, and the first cell, which installs the package where it is missing."
    notebook = read(path)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    expected = (ROOT/"kaggle"/"first_cell.py").read_text(encoding="utf-8").strip()
    assert first.split("settings =")[0].replace("[explain]", "") == expected.split("settings =")[0]
    for name in ("Run on Kaggle", "Open in Colab", "Download the notebook"):
        assert re.search(rf"\[{name}\]\(https://[^)]*/{path.stem}\.ipynb\)", notebook.cells[1].source), name


# ---- the built pages -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("html, fault", [
    ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
    ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css"),
    ("<style>@import url('https://fonts.example')</style>", "a style loads something from elsewhere"),
    ('<img src="a.png">', "no alt text: a.png"),
    ("<code>f(x=&lt;typer.models.OptionInfo object at 0x7f&gt;)</code>", "a signature shows OptionInfo"),
    ("<p>args:VAR_POSITIONAL</p>", "a signature shows VAR_POSITIONAL")])
def test_the_check_of_built_pages_notices(html, fault):
    assert page_faults(html) == [fault]


def test_the_check_of_built_pages_notices_raw_markdown():
    assert page_faults("<pre><code>see [predict](https://example.org)</code></pre>") == [] # the output of a cell
    (fault,) = page_faults("<p>f(x # see [predict](https://example.org/evaluation.html))</p>")
    assert "raw Markdown" in fault


def test_the_check_of_built_pages_follows_links(tmp_path):
    own = "https://fakenews-nb.github.io/fakenews_nb/a.html"
    links = [f'<a href="{link}">x</a>' for link in ("b.html", "a.html#here", "#gone", own, f"{own}#lost")]
    (tmp_path/"a.html").write_text(f'<p id="here">{" ".join(links)}</p>')
    assert site_faults(tmp_path) == ["a.html: dead link: b.html", "a.html: no such anchor: #gone",
        f"a.html: no such anchor: {own}#lost"]
    assert site_faults(tmp_path/"nowhere") != []


def test_a_good_page_has_no_faults():
    assert page_faults('<a href="https://example.org">x</a><img src="a.png" alt="A figure"><link rel="canonical" '
        'href="https://example.org">') == []
