"The installed command: light to import, and right from end to end."
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from conftest import COMMAND, fakenews

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas")
COMMANDS = ("corpora", "audit", "prepare", "train", "evaluate", "errors", "transfer", "distill", "export", "predict",
    "serve", "push", "demo")


def loaded_after(code):
    "Which of the heavy modules a new process has loaded after running some code."
    code += f"\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip().splitlines()[-1]


@pytest.mark.parametrize("code", [
    "import fakenews_nb",
    "from fakenews_nb import prepare, finetune, Detector",
    "from fakenews_nb import *",
    "import fakenews_nb; dir(fakenews_nb)",
    "from fakenews_nb import cli; cli.app",
])
def test_imports_are_light(code):
    assert loaded_after(code) == "[]"


def test_the_check_of_light_imports_notices_a_heavy_one():
    assert "pandas" in loaded_after("from fakenews_nb import load_articles; load_articles('sample')")


def test_public_names():
    import fakenews_nb
    for name in fakenews_nb.__all__:
        assert getattr(fakenews_nb, name) is not None
        assert name in dir(fakenews_nb)
    assert 15 <= len(fakenews_nb.__all__) <= 25
    assert not hasattr(fakenews_nb, "nothing")


def test_version_and_module():
    "`fakenews --version`, and `python -m fakenews_nb` for the same program."
    from fakenews_nb import __version__
    output, _ = fakenews("--version")
    assert output == f"{__version__}\n"
    assert subprocess.check_output([sys.executable, "-m", "fakenews_nb", "--version"], text=True) == output


def test_completion_of_commands():
    "What a shell asks for when a user presses the tabulator."
    env = {**os.environ, "_FAKENEWS_COMPLETE": "complete_bash", "COMP_WORDS": "fakenews ex", "COMP_CWORD": "1"}
    assert subprocess.check_output([str(COMMAND)], text=True, env=env).split() == ["export"]


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", str(COMMAND), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(here, command):
    code, out, _ = here(command, "--help")
    assert code == 0
    assert f"fakenews {command}" in out
    assert "Example" in out


def test_every_option_has_a_help_text_with_a_head():
    "A help text is a phrase with a head, not a fragment such as \"Of the split\"."
    import typer

    from fakenews_nb.cli import app
    group = typer.main.get_command(app)
    assert set(group.commands) == set(COMMANDS)
    for name, command in group.commands.items():
        for parameter in command.params:
            text = parameter.help or ""
            assert text[:1].isupper() and text.endswith("."), (name, parameter.name, text)
            assert text.split()[0] not in ("Of", "That", "As", "So", "Only"), (name, parameter.name, text)


def test_scores_of_a_run_and_of_evaluate_agree(run_folder, prepared, tmp_path):
    metrics = json.loads((run_folder/"metrics.json").read_text())
    assert metrics["test"]["f1"] > .85
    assert metrics["train_seconds"] > 0
    assert metrics["tokens_per_second"] > 0
    scores, _ = fakenews("evaluate", run_folder, prepared, "--out", tmp_path/"scores")
    assert f"{metrics['test']['f1']:.4f}" in scores


def test_errors_prints_as_many_articles_as_asked_for(run_folder):
    wrong = json.loads((run_folder/"metrics.json").read_text())["test"]["errors"]
    assert wrong, "the fixture's model makes some errors"
    errors, _ = fakenews("errors", run_folder, "--top", 3)
    table, _, slices = errors.partition("\n\n")
    assert len(table.strip().splitlines()) == 1 + min(3, wrong)
    assert "the worst slices" in slices


def test_files_of_both_kinds_get_the_same_verdicts(run_folder, tmp_path):
    from fakenews_nb.tables import read_table
    articles = pd.DataFrame({
        "title": ["Water board to review the bus network", "SHOCKING truth"],
        "text": ["Officials said on Monday it would.", "Wake up, people!"]})
    articles.to_csv(tmp_path/"in.csv", index=False)
    articles.to_parquet(tmp_path/"in.parquet", index=False)
    for suffix in (".csv", ".parquet"):
        fakenews("predict", run_folder, "--file", tmp_path/f"in{suffix}", "--out", tmp_path/f"out{suffix}")
    of_csv, of_parquet = read_table(tmp_path/"out.csv"), read_table(tmp_path/"out.parquet")
    assert of_csv.predicted_label.tolist() == of_parquet.predicted_label.tolist()


WITHOUT_US = """
import json, sys
from transformers import pipeline
texts = json.load(open(sys.argv[2]))
answers = pipeline("text-classification", sys.argv[1])(texts, truncation=True)
assert "fakenews_nb" not in sys.modules
print(json.dumps(answers))
"""


def test_pipeline_without_this_package(run_folder, tmp_path):
    "transformers alone loads the model folder and gives the probabilities of fakenews predict, to 1e-5."
    from fakenews_nb.data import load_articles
    from fakenews_nb.detector import Detector
    articles = load_articles("sample").head(40)
    articles[["title", "text"]].to_csv(tmp_path/"in.csv", index=False)
    fakenews("predict", run_folder, "--file", tmp_path/"in.csv", "--out", tmp_path/"ours.parquet")
    texts = Detector.load(run_folder).texts(articles.title, articles.text)
    (tmp_path/"texts.json").write_text(json.dumps(texts))
    command = [sys.executable, "-c", WITHOUT_US, run_folder/"model", tmp_path/"texts.json"]
    printed = subprocess.check_output(command, text=True, cwd=tmp_path)
    answers = pd.DataFrame(json.loads(printed.splitlines()[-1]))
    ours = pd.read_parquet(tmp_path/"ours.parquet")
    assert answers.label.tolist() == ours.predicted_label.tolist()
    assert (answers.score - ours.predicted_probability).abs().max() < 1e-5
