"The installed command: quick to answer, light to import, and right from end to end."
import json
import subprocess
import sys
import time

import pandas as pd
from conftest import COMMAND, fakenews

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas")


def test_help_is_quick():
    def seconds():
        start = time.perf_counter()
        fakenews("--help")
        return time.perf_counter() - start
    assert min(seconds() for _ in range(5)) < .5


def test_light_imports():
    code = f"import sys, fakenews_nb; from fakenews_nb import cli, core; cli.app; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-X", "importtime", str(COMMAND), "--help"], capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported and not imported & set(HEAVY)


def test_every_command_has_help_with_an_example(here):
    for command in ("corpora", "audit", "prepare", "train", "evaluate", "errors", "transfer", "predict", "demo"):
        code, out, _ = here(command, "--help")
        assert code == 0 and f"fakenews {command}" in out and "Example" in out


def test_main_job(run_folder, prepared, tmp_path):
    metrics = json.loads((run_folder/"metrics.json").read_text())
    assert metrics["test"]["f1"] > .85 and metrics["train_seconds"] > 0 and metrics["tokens_per_second"] > 0
    scores, _ = fakenews("evaluate", run_folder, prepared, "--out", tmp_path/"scores")
    assert f"{metrics['test']['f1']:.4f}" in scores
    errors, _ = fakenews("errors", run_folder, "--top", 3)
    wrong = metrics["test"]["errors"]
    assert len(errors.split("\n\n")[0].strip().splitlines()) == (1 + min(3, wrong) if wrong else 1) and (not wrong or "the worst parts" in errors)
    articles = pd.DataFrame({"title": ["Water board to review the bus network", "SHOCKING truth"], "text": ["Officials said on Monday it would.", "Wake up, people!"]})
    for suffix, write in ((".csv", articles.to_csv), (".parquet", articles.to_parquet)):
        write(tmp_path/f"in{suffix}", index=False)
        fakenews("predict", run_folder, "--file", tmp_path/f"in{suffix}", "--out", tmp_path/f"out{suffix}")
    from fakenews_nb.files import read_table
    first, second = read_table(tmp_path/"out.csv"), read_table(tmp_path/"out.parquet")
    assert first.predicted_label.tolist() == second.predicted_label.tolist()


def test_pipeline_without_this_package(run_folder, tmp_path):
    "transformers alone loads the model folder and gives the probabilities of fakenews predict, to 1e-5."
    from fakenews_nb.detector import Detector
    from fakenews_nb.data import load_articles
    articles = load_articles("sample").head(40)
    detector = Detector.load(run_folder)
    articles[["title", "text"]].to_csv(tmp_path/"in.csv", index=False)
    fakenews("predict", run_folder, "--file", tmp_path/"in.csv", "--out", tmp_path/"ours.parquet")
    (tmp_path/"texts.json").write_text(json.dumps(detector.texts(articles.title, articles.text)))
    code = ("import json, sys; from transformers import pipeline; texts = json.load(open(sys.argv[2])); "
            "answers = pipeline('text-classification', sys.argv[1])(texts, truncation=True); "
            "assert 'fakenews_nb' not in sys.modules; print(json.dumps(answers))")
    answers = pd.DataFrame(json.loads(subprocess.check_output([sys.executable, "-c", code, run_folder/"model", tmp_path/"texts.json"], text=True, cwd=tmp_path).splitlines()[-1]))
    ours = pd.read_parquet(tmp_path/"ours.parquet")
    assert answers.label.tolist() == ours.predicted_label.tolist()
    assert (answers.score - ours.predicted_probability).abs().max() < 1e-5
