"The repository itself: layout, notebooks, documentation, density of the code, and the words it uses."
import ast
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT/"benchmarks"))
import readability  # noqa: E402  (a script, not a package)

NOTEBOOKS = sorted((ROOT/"nbs").rglob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "nbs" and path.stem[:2].isdigit()]
PACKAGE = ROOT/"fakenews_nb"
SOURCES = sorted(path for name in ("fakenews_nb", "tests", "benchmarks") for path in (ROOT/name).glob("*.py"))


def named(path): return path.relative_to(ROOT).as_posix()


def module_of(path): return path.stem[3:]


def code_cells(path):
    "The code cells of a notebook, without lines such as `%pip install`, which are not Python."
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    for cell in cells: cell.source = re.sub(r"^%.*", "", cell.source, flags=re.M)
    return cells


def exported(path):
    "The source of a chapter's exported cells."
    return [cell.source for cell in code_cells(path) if re.search(r"#\| exporti?\b", cell.source)]


# ---- layout ----------------------------------------------------------------------------------------------------------

def test_one_quarto_file():
    "nbdev silently writes its own settings if the stub is missing."
    assert "../_quarto.yml" in (ROOT/"nbs"/"_quarto.yml").read_text()
    assert "output-dir" not in (ROOT/"_quarto.yml").read_text()


def test_chapters_are_numbered_without_gaps():
    assert [int(path.name[:2]) for path in CHAPTERS] == list(range(len(CHAPTERS)))


def test_modules_are_those_of_the_chapters():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "_modidx"}
    assert modules == set(map(module_of, CHAPTERS))


@pytest.mark.parametrize("path", CHAPTERS, ids=module_of)
def test_a_chapter_imports_earlier_ones_only(path):
    order = list(map(module_of, CHAPTERS))
    for source in exported(path):
        for name in re.findall(r"^\s*from fakenews_nb\.(\w+) import", source, re.M):
            assert order.index(name) < order.index(module_of(path)), f"{module_of(path)} imports {name}"


def test_only_the_command_line_imports_the_audit():
    importers = [path.stem for path in PACKAGE.glob("*.py") if re.search(r"from \.audit import", path.read_text())]
    assert set(importers) == {"__init__"}
    assert "from fakenews_nb.audit import" in (PACKAGE/"cli.py").read_text()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt"])
def test_constraints_are_names_and_versions(name):
    lines = [line for line in (ROOT/name).read_text().splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    for line in lines: assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line), line


def test_no_registry_is_named():
    hosts = "|".join(["py" + "pi\\.org", "python" + "hosted\\.org", "registry\\.npm" + "js", "deb\\.deb" + "ian\\.org"])
    found = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""


# ---- notebooks -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_grammar(path):
    notebook = nbformat.read(path, 4)
    first = notebook.cells[0].source
    grammar = r"# .+\n\n> .+(\n\n- code-fold: true)?"
    assert re.fullmatch(grammar, first), "a title and a one-line blockquote; nbdev drops the rest"
    assert "widgets" not in notebook.metadata, "the state of progress bars is stored"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_stand_in_cells_of_their_own(path):
    "Building the site runs every cell that imports something."
    for cell in code_cells(path):
        if re.search(r"#\| export|nbdev_export\(\)|settings = start_notebook", cell.source): continue
        nodes = list(ast.walk(ast.parse(cell.source)))
        imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        work = [node for node in nodes if isinstance(node, (ast.Expr, ast.Assign))]
        assert not (imports and work), cell.source[:80]


@pytest.mark.parametrize("path", CHAPTERS, ids=module_of)
def test_chapter_grammar(path):
    cells = nbformat.read(path, 4).cells
    assert cells[1].source.startswith("#| default_exp ")
    assert "nbdev_export()" in cells[-1].source
    for source in exported(path):
        assert not re.search(r"^(from|import) (fastcore|nbdev)", source, re.M), "not needed at run time"
        assert "os.environ[" not in source or "def " in source, "nothing is set at import time"


def test_the_page_of_the_command_line_shows_every_option():
    "The tables are made from the program; this notices a page that was not executed again."
    import typer

    from fakenews_nb.cli import app
    page = (ROOT/"nbs"/f"{len(CHAPTERS) - 1:02d}_cli.ipynb").read_text(encoding="utf-8")
    for command in typer.main.get_command(app).commands.values():
        for parameter in command.params:
            shown = parameter.help.replace('"', '\\"')
            assert parameter.name == "help" or shown in page, (command.name, parameter.name)


# ---- documentation ---------------------------------------------------------------------------------------------------

def public_definitions():
    "Functions and classes in `__all__`, with their module and syntax tree."
    from importlib import import_module
    for path in CHAPTERS:
        module = import_module(f"fakenews_nb.{module_of(path)}")
        tree = ast.parse((PACKAGE/f"{module_of(path)}.py").read_text())
        for node in tree.body:
            name = getattr(node, "name", "")
            if name in module.__all__: yield pytest.param(module, node, id=f"{module_of(path)}.{name}")


PUBLIC = list(public_definitions())


def commented(module, function):
    "The parameters of a function, and whether a comment explains each."
    lines = Path(module.__file__).read_text().splitlines()
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    arguments += [extra for extra in (function.args.vararg, function.args.kwarg) if extra]
    for argument in arguments:
        if argument.arg not in ("self", "cls"): yield argument.arg, "#" in lines[argument.end_lineno - 1]


def methods(node):
    "The public methods and properties of a class."
    functions = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    return [item for item in functions if not item.name.startswith("_")]


@pytest.mark.parametrize("module, node", PUBLIC)
def test_public_definitions_are_documented(module, node):
    assert ast.get_docstring(node), "a docstring"
    functions = [node] if isinstance(node, ast.FunctionDef) else methods(node)
    for function in functions:
        assert ast.get_docstring(function), f"{function.name} has a docstring"
        for parameter, has_comment in commented(module, function):
            assert has_comment, f"{function.name}: a comment for {parameter}"


@pytest.mark.parametrize("module, node", PUBLIC)
def test_public_definitions_are_typed(module, node):
    if isinstance(node, ast.ClassDef): pytest.skip("mypy sees to the methods")
    resolved = signature(getattr(module, node.name), eval_str=True)  # as nbdev does for the site
    for parameter in resolved.parameters.values():
        assert parameter.annotation is not parameter.empty, parameter.name
    assert node.returns is not None


@pytest.mark.parametrize("module, node", PUBLIC)
def test_fields_of_public_dataclasses_are_described(module, node):
    if not isinstance(node, ast.ClassDef): pytest.skip("a function")
    lines = Path(module.__file__).read_text().splitlines()
    for field in (item for item in node.body if isinstance(item, ast.AnnAssign)):
        assert "#" in lines[field.end_lineno - 1], f"a description of {field.target.id}"


@pytest.mark.parametrize("module, node", PUBLIC)
def test_public_methods_are_shown_on_their_page(module, node):
    if not isinstance(node, ast.ClassDef): pytest.skip("a function")
    (path,) = [path for path in CHAPTERS if f"fakenews_nb.{module_of(path)}" == module.__name__]
    page = "\n".join(cell.source for cell in code_cells(path))
    exception = issubclass(getattr(module, node.name), Exception)
    for method in [] if exception else methods(node):
        assert f"show_doc({node.name}.{method.name})" in page, f"a show_doc cell of {node.name}.{method.name}"


@pytest.mark.parametrize("module, node", PUBLIC)
def test_comments_of_parameters_hold_no_links(module, node):
    "nbdev turns names in backticks into links, which show as raw Markdown inside a signature."
    lines = Path(module.__file__).read_text().splitlines()
    first = node.body[0].lineno
    for line in lines[node.lineno - 1:first - 1]: assert "`" not in line, line


def test_the_checks_of_documentation_notice_what_is_missing(tmp_path):
    source = "def f(\n    a, # given\n    b\n    ):\n    pass\n"
    (tmp_path/"bare.py").write_text(source)
    module = type("Module", (), {"__file__": str(tmp_path/"bare.py")})
    function = ast.parse(source).body[0]
    assert ast.get_docstring(function) is None
    assert list(commented(module, function)) == [("a", True), ("b", False)]


# ---- density ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("folder", ["fakenews_nb", "tests", "benchmarks"])
def test_statements_are_short(folder):
    percent = readability.percentages(readability.measure(ROOT/folder))
    assert percent["long lines"] <= 1
    assert percent["dense statements"] <= .6


def test_the_public_surface_is_small():
    found = readability.measure(PACKAGE)
    assert readability.percentages(found)["private definitions"] >= 25
    assert found["public_names"] <= 170


# ---- words -----------------------------------------------------------------------------------------------------------

# What the glossary replaced: words that must not stand in an identifier, an option, a column or a heading.
REPLACED = """
abroad share shares said judge judges judged judging strangeness margin margins adapt adapted settled faster draws
noise noisy probe probes copies doubtful
""".split()
REPLACED_NAMES = """
leave_one_out unlabelled average_last two_rates parts_of keep_bits keep_only attention_by_text quick_dropout
fit_stack Stack estimate_share near_misses doubtful_labels whole_texts from_margins at_home way_back near_copy
near_copies quick_precision
""".split()
REPLACED_PHRASES = ("abroad", "at home", "way back", "strangeness", "near-copies", "copies", "probes",
    "quick precision", "doubtful", "judge", "stack")
DETECTOR_WORDS = {"verdict", "verdicts"}  # a detector's answer, and nothing else
DETECTOR_FILES = {
    "detector.py", "scoring.py", "cluster.py", "page.py", "serving.py", "cli.py", "calibration.py", "test_command.py",
    "test_one_text_pipeline.py", "test_light.py", "test_serving.py"}


def identifiers(tree):
    "Every name that a syntax tree defines, uses or passes, and every string that could be a column or a key."
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str): yield value
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text.isidentifier(): yield text


def replaced_words(names):
    "Those names that hold a replaced word."
    for name in names:
        words = name.strip("_").split("_")
        if name in REPLACED_NAMES or any(word in REPLACED for word in words): yield name


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_sources_use_the_words_of_the_glossary(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name == "test_repository.py": pytest.skip("holds the list")
    assert sorted(set(replaced_words(identifiers(tree)))) == []
    if path.name not in DETECTOR_FILES: assert not DETECTOR_WORDS & set(identifiers(tree))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_the_words_of_the_glossary(path):
    names = [name for cell in code_cells(path) for name in identifiers(ast.parse(cell.source))]
    assert sorted(set(replaced_words(names))) == []
    text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    for heading in re.findall(r"^#+ .*|^> .*", text, re.M):
        for phrase in REPLACED_PHRASES: assert not re.search(rf"\b{phrase}\b", heading, re.I), heading


def test_options_use_the_words_of_the_glossary():
    import typer

    from fakenews_nb.cli import app
    commands = typer.main.get_command(app).commands
    options = [option for command in commands.values() for parameter in command.params for option in parameter.opts]
    names = [option.lstrip("-").replace("-", "_") for option in options]
    assert sorted(set(replaced_words([*names, *commands]))) == []


def test_the_table_of_shortcuts_has_columns_with_names_of_the_field():
    from fakenews_nb.audit import find_shortcuts
    from fakenews_nb.sample import sample_articles
    columns = set(find_shortcuts(sample_articles(120)))
    assert not columns & {"what", "where", "also", "reach", "verdict"}
    assert {"feature", "column", "aliases", "coverage", "severity"} <= columns


def test_the_check_of_words_notices_a_replaced_one():
    tree = ast.parse("def judge_all(articles, share=.5): return articles['noise'].strangeness")
    assert sorted(replaced_words(identifiers(tree))) == ["judge_all", "noise", "share", "strangeness"]


PROSE = [path for path in NOTEBOOKS if path.parent.name == "nbs"]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_one_sentence_per_line(path):
    "In Markdown cells, so that a change of a sentence is a change of a line."
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "markdown": continue
        text = re.sub(r"```.*?```", "", cell.source, flags=re.S)
        text = re.sub(r"`[^`]*`|\([^)]*\)|\$[^$]*\$", "", text)
        for line in text.splitlines():
            if line.startswith(("|", ">", "<")): continue
            bare = re.sub(r"^ *\d+\. |\b(et al|e\.g|i\.e|cf|vs|Fig|No|Dr|U\.S|St)\.", "", line)
            assert not re.search(r"[a-z0-9)\]*_\"][.!?] +[A-Z]", bare), line
