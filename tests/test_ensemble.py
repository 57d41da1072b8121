"Baselines and ensembles as run folders: saved without pickle, taken by all commands, damaged ones refused."
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fakenews_nb.baselines import BASELINES, fit_baseline
from fakenews_nb.cleaning import Rule
from fakenews_nb.cli import app
from fakenews_nb.core import REAL, DataError, ModelError
from fakenews_nb.detector import Detector
from fakenews_nb.ensemble import fit_stacked_ensemble, train_classifier
from fakenews_nb.error_analysis import finish_run
from fakenews_nb.evaluation import load_predictions, predict
from fakenews_nb.export import export_model
from fakenews_nb.files import _write_checksums
from fakenews_nb.hub import push_model
from fakenews_nb.splits import load_prepared

MODEL = "style+linear_svc"
TEXTS = ["The council met on Monday.", "You will not believe what the crooked agency is hiding!"]


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    "A finished run of an ensemble."
    run = train_classifier(prepared, tmp_path_factory.mktemp("ensemble")/"run", MODEL)
    finish_run(run)
    return run


@pytest.fixture
def folder(run, tmp_path):
    "A copy of its model folder, to be damaged."
    return shutil.copytree(run.model, tmp_path/"model")


def read_prepared(prepared):
    dataset, manifest = load_prepared(prepared)
    tables = {name: dataset[name].to_pandas() for name in dataset}
    return tables, tuple(Rule(**rule) for rule in manifest["rules"])


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_saved_baseline_is_the_fitted_one(name, prepared, tmp_path):
    "The same probabilities to the last digit that a float32 logit keeps, for articles and for odd texts."
    tables, rules = read_prepared(prepared)
    baseline = fit_baseline(name, tables["train"], rules)
    baseline.save(tmp_path)
    odd = tables["test"].head(3).assign(id=list("abc"), text=["", "\u200b", "x "*9000])
    articles = pd.concat([tables["test"], odd])
    before = baseline.predict_logits(articles)
    after = predict(tmp_path, articles).logits
    assert np.allclose(before[:, 1] - before[:, 0], after[:, 1] - after[:, 0], atol=1e-5)


def test_a_saved_ensemble_is_the_fitted_one(prepared, tmp_path):
    tables, rules = read_prepared(prepared)
    ensemble = fit_stacked_ensemble(MODEL.split("+"), prepared, tmp_path/"work")
    (tmp_path/"model").mkdir()
    ensemble.save(tmp_path/"model")
    fitted = predict(ensemble, tables["test"], rules)
    loaded = predict(tmp_path/"model", tables["test"], rules)
    assert np.allclose(fitted.probabilities, loaded.probabilities, atol=1e-6)


def test_no_file_is_a_pickle(run):
    files = [file for file in run.model.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".json", ".npz", ".md"}
    for file in files:
        if file.suffix != ".npz": continue
        with np.load(file, allow_pickle=False) as arrays:
            for name in arrays: assert arrays[name].dtype != object


def test_what_is_evaluated_is_what_ships(run, prepared, tmp_path):
    "The predictions of the report are those of the detector, and of the exported folder."
    tables, _ = read_prepared(prepared)
    stored = load_predictions(run.folder/"predictions"/"test.parquet").probabilities[:, REAL]
    export_model(run.folder, tmp_path/"exported")
    for model in (run.folder, tmp_path/"exported"):
        answers = Detector.load(model).predict(tables["test"])
        shipped = np.where(answers.label == "real", answers.probability, 1 - answers.probability)
        assert np.allclose(shipped, stored, atol=1e-5)


def test_commands_take_an_ensemble(run, prepared, tmp_path):
    commands = (["predict", run.folder, TEXTS[1]], ["predict", run.folder, "--why", TEXTS[1]],
        ["evaluate", run.folder, prepared], ["errors", run.folder],
        ["export", run.folder, "--out", tmp_path/"out"], ["predict", tmp_path/"out", TEXTS[0]])
    for command in commands:
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exit_code == 0, (command, result.output)
    card = (run.model/"README.md").read_text(encoding="utf-8")
    assert "transformers" not in card.split("## Training")[0].split("---")[-1]
    assert "style, linear_svc" in card


def test_heavy_packages_are_not_needed(run, tmp_path):
    from test_light import run_blocked
    export_model(run.folder, tmp_path/"out")
    code = "from fakenews_nb import Detector; print(Detector.load(sys.argv[1]).predict(sys.argv[2]).label)"
    assert run_blocked(code, tmp_path/"out", TEXTS[1]).strip() == "fake"
    requirements = (tmp_path/"out"/"requirements.txt").read_text()
    assert "torch" not in requirements and "onnxruntime" not in requirements


@pytest.mark.parametrize("damage, message", [
    (lambda folder: shutil.rmtree(folder/"1-style"), "a member is missing"),
    (lambda folder: (folder/"1-style"/"baseline.npz").unlink(), "is missing"),
    (lambda folder: (folder/"2-linear_svc"/"baseline.json").write_text("{}"), "changed or cut short"),
    (lambda folder: (folder/"ensemble.json").write_text("{"), "cannot be read"),
    (lambda folder: edit(folder, intercept="much"), "cannot be read"),
    (lambda folder: edit(folder, temperature=0), "cannot be read"),
    (lambda folder: edit(folder, members=[]), "cannot be read"),
    (lambda folder: edit(folder, format=99), "cannot be read"),
    (lambda folder: rename(folder, "../elsewhere"), "a member elsewhere"),
    (lambda folder: rename(folder, ".."), "a member elsewhere"),
    (lambda folder: shutil.copy(folder/"ensemble.json", folder/"1-style"), "an ensemble itself")])
def test_a_damaged_ensemble_is_refused(damage, message, folder):
    damage(folder)
    _write_checksums(folder) # as somebody could do who damages it on purpose
    with pytest.raises(ModelError, match=message): Detector.load(folder)


def edit(folder, **changes):
    path = folder/"ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename(folder, place):
    members = json.loads((folder/"ensemble.json").read_text())["members"]
    members[0]["folder"] = place
    edit(folder, members=members)


def test_a_stated_prior(run, prepared):
    "So many texts are real, in the same order of probability; a small batch or a generator is refused."
    tables, _ = read_prepared(prepared)
    articles = pd.concat([tables["test"], tables["validation"]], ignore_index=True)
    detector = Detector.load(run.folder)
    plain = detector.predict(articles)
    stated = detector.predict(articles, prior=.2)
    assert (stated.label == "real").sum() == round(.2*len(articles))
    order = [np.where(each.label == "real", each.probability, 1 - each.probability) for each in (plain, stated)]
    real = stated.label == "real"
    assert order[0][real].min() >= order[0][~real].max()
    assert stated.abstain.isna().all()
    for texts in (TEXTS[0], iter(TEXTS)):
        with pytest.raises(DataError, match="a prior was stated for one text"): detector.predict(texts, prior=.5)
    with pytest.raises(DataError, match="at least 100"): detector.predict(TEXTS, prior=.5)
    with pytest.raises(DataError, match="between 0 and 1"): detector.predict(articles, prior=1.)
    with pytest.raises(DataError, match="a prior and a threshold"):
        Detector.load(run.folder, threshold=.9).predict(articles, prior=.5)


@pytest.mark.parametrize("options, message", [
    (["--model", "style+style"], "not different names"),
    (["--model", "style", "--folds", "3"], "only a stacked ensemble has folds"),
    (["--model", "style", "--epochs", "3"], "not fine-tuned"),
    (["--model", MODEL, "--max-length", "64"], "not fine-tuned"),
    (["--model", MODEL, "--processes", "2"], "one process"),
    (["--model", MODEL, "--recipe", "published"], "not fine-tuned"),
    (["--model", "style+tiny", "--recipe", "published"], "baselines do not"),
    (["--model", "tiny", "--folds", "2"], "only a stacked ensemble has folds"),
    (["--model", "generalise", "--folds", "2"], "only a stacked ensemble has folds")])
def test_no_option_is_ignored(options, message, prepared, tmp_path):
    result = CliRunner().invoke(app, ["train", str(prepared), "--out", str(tmp_path/"run"), *options])
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path/"run").exists()


def test_an_ensemble_with_an_encoder(prepared, tmp_path):
    "The encoder is fine-tuned once per fold and once on all articles, and exported with the others."
    from dataclasses import replace

    from fakenews_nb.training import RECIPES
    recipe = replace(RECIPES["fast"], epochs=1, min_steps=0, max_length=32, precision="fp32")
    run = train_classifier(prepared, tmp_path/"run", "tiny+style", recipe, folds=2)
    finish_run(run)
    assert len(list((tmp_path/"run"/"members").glob("tiny-*"))) == 3
    assert Detector.load(run.folder).predict("word "*200).truncated
    export_model(run.folder, tmp_path/"out")
    answers = [Detector.load(folder).predict(TEXTS) for folder in (run.folder, tmp_path/"out")]
    for before, after in zip(*answers, strict=True): assert abs(before.probability - after.probability) < 1e-4
    again = train_classifier(prepared, tmp_path/"run", "tiny+style", recipe, folds=2, resume=True)
    assert again.metrics["validation"] == run.metrics["validation"]


def test_an_export_refuses_what_it_would_ignore(run, tmp_path):
    for settings in ({"int8": True}, {"engine": "openvino"}):
        with pytest.raises(DataError, match="a baseline"): export_model(run.folder, tmp_path/"out", **settings)


def test_push_takes_the_members(run, monkeypatch):
    "All files of the members are uploaded, under their folders."
    from fakenews_nb import hub
    uploaded = {}
    monkeypatch.setattr(hub, "_upload", lambda repo, contents, public: uploaded.update(contents) or repo)
    push_model(run.folder, "somebody/detector")
    expected = {"ensemble.json", "1-style/baseline.json", "1-style/baseline.npz", "2-linear_svc/baseline.npz"}
    assert expected <= set(uploaded)
