"Evaluation, a baseline and the detector read the very same text of an article, whatever its title and body are like."
import shutil

import numpy as np
import pandas as pd
import pytest

from fakenews_nb import baselines, detector, evaluation, inference
from fakenews_nb.baselines import fit_baseline
from fakenews_nb.cleaning import RULES, clean_articles
from fakenews_nb.core import FAKE
from fakenews_nb.detector import Detector
from fakenews_nb.evaluation import predict
from fakenews_nb.scoring import predict_file
from fakenews_nb.tables import _text_dtype, read_table, write_table
from fakenews_nb.tokenization import TextPipeline

MISSING = object() # stands for None, nan or pd.NA
BODY = "The council met to review the budget."

# title, body, what is read under "keep", what is read under "empty"
ARTICLES = [
    ("Rain in Corvale", BODY, f"rain in corvale {BODY}", f"rain in corvale {BODY}"),
    (MISSING, BODY, BODY, ""),
    ("Rain in Corvale", MISSING, "rain in corvale", ""),
    (MISSING, MISSING, "", ""),
    (" ", BODY, BODY, f" {BODY}"),
    ("", BODY, BODY, f" {BODY}"),
    ("Rain in Corvale", "\t\n", "rain in corvale", "rain in corvale "),
    ("", "", "", " "),
]
WITH_NUMBERS = [
    (7, BODY, f"7 {BODY}", f"7 {BODY}"),
    ("Rain in Corvale", 3.5, "rain in corvale 3.5", "rain in corvale 3.5"),
    (7, MISSING, "7", ""),
]
MISSING_VALUES = {"None": None, "nan": float("nan"), "NA": pd.NA}


def article_table(rows, missing=None, dtype=object):
    "An article table of these titles and bodies."
    def column(position):
        cells = [missing if row[position] is MISSING else row[position] for row in rows]
        return pd.Series(cells, dtype=dtype)
    ids = np.arange(len(rows))
    return pd.DataFrame({"id": ids, "title": column(0), "text": column(1), "label": ids % 2})


def expected_texts(rows, missing_parts):
    "What has to be read of these articles."
    return [row[2 if missing_parts == "keep" else 3] for row in rows]


@pytest.fixture
def model_folder(run_folder, tmp_path):
    "Copies the trained model, with another policy for missing parts."
    def copy(missing_parts):
        folder = tmp_path/f"model-{missing_parts}"
        shutil.copytree(run_folder/"model", folder)
        assert TextPipeline.load(folder).rules == RULES
        TextPipeline(RULES, missing_parts).save(folder)
        return folder
    return copy


@pytest.fixture(scope="module")
def train(prepared):
    return pd.read_parquet(prepared/"train.parquet")


def spy(monkeypatch, owner, name):
    "Record the first argument of every call of a function, as a flat list of texts."
    original = getattr(owner, name)
    seen = []

    def recording(texts, *args, **settings):
        seen.extend(texts)
        return original(texts, *args, **settings)
    monkeypatch.setattr(owner, name, recording)
    return seen


def texts_of_evaluation(monkeypatch, folder, articles, cleaned_by=None):
    "The texts that reach the tokenizer in `evaluation.predict`."
    with monkeypatch.context() as patch:
        seen = spy(patch, inference, "encode")
        predict(folder, articles, cleaned_by)
    return seen


def texts_of_detector(monkeypatch, folder, articles):
    "The texts that reach the tokenizer in `Detector.predict`."
    with monkeypatch.context() as patch:
        seen = spy(patch, inference, "encode")
        Detector.load(folder).predict(articles.text, articles.title)
    return seen


def texts_of_file(monkeypatch, folder, path):
    "The texts that reach the tokenizer in `predict_file`."
    with monkeypatch.context() as patch:
        seen = spy(patch, inference, "encode")
        predict_file(Detector.load(folder), path, path.with_name("verdicts.jsonl"), overwrite=True)
    return seen


def texts_of_baseline(monkeypatch, baseline, articles):
    "The texts that reach the linear model of a baseline."
    model_class = type(baseline.model)
    original = model_class.run
    seen = []

    def recording(model, texts):
        seen.extend(texts)
        return original(model, texts)
    with monkeypatch.context() as patch:
        patch.setattr(model_class, "run", recording)
        predict(baseline, articles)
    return seen


def check_same_texts(texts, expected):
    "Every reader reads the expected texts; the message names the one that does not."
    for name, seen in texts.items(): assert seen == expected, f"{name} reads other texts"


def all_texts(monkeypatch, folder, articles, baseline):
    "What each of the three reads of the same articles."
    return {
        "evaluation": texts_of_evaluation(monkeypatch, folder, articles),
        "detector": texts_of_detector(monkeypatch, folder, articles),
        "baseline": texts_of_baseline(monkeypatch, baseline, articles)}


@pytest.mark.parametrize("missing", MISSING_VALUES)
def test_missing_parts_kept(missing, monkeypatch, model_folder, train):
    rows = ARTICLES + WITH_NUMBERS
    articles = article_table(rows, MISSING_VALUES[missing])
    baseline = fit_baseline("linear_svc", train, RULES)
    texts = all_texts(monkeypatch, model_folder("keep"), articles, baseline)
    check_same_texts(texts, expected_texts(rows, "keep"))


@pytest.mark.parametrize("missing", MISSING_VALUES)
def test_missing_parts_empty(missing, monkeypatch, model_folder):
    "A baseline has no such policy."
    rows = ARTICLES + WITH_NUMBERS
    articles = article_table(rows, MISSING_VALUES[missing])
    folder = model_folder("empty")
    texts = {
        "evaluation": texts_of_evaluation(monkeypatch, folder, articles),
        "detector": texts_of_detector(monkeypatch, folder, articles)}
    check_same_texts(texts, expected_texts(rows, "empty"))


@pytest.mark.parametrize("missing_parts", ["keep", "empty"])
def test_text_columns(missing_parts, monkeypatch, model_folder):
    "Columns of the text type, in which a missing cell is a nan of its own, are read like columns of objects."
    articles = article_table(ARTICLES, None, dtype=_text_dtype())
    folder = model_folder(missing_parts)
    texts = {
        "evaluation": texts_of_evaluation(monkeypatch, folder, articles),
        "detector": texts_of_detector(monkeypatch, folder, articles)}
    check_same_texts(texts, expected_texts(ARTICLES, missing_parts))


@pytest.mark.parametrize("missing_parts", ["keep", "empty"])
def test_cleaned_articles(missing_parts, monkeypatch, model_folder):
    "Articles that were cleaned before, as those of a prepared folder were, are read like the uncleaned ones."
    rows = ARTICLES + WITH_NUMBERS
    cleaned = clean_articles(article_table(rows), RULES)
    texts = texts_of_evaluation(monkeypatch, model_folder(missing_parts), cleaned, cleaned_by=RULES)
    check_same_texts({"evaluation": texts}, expected_texts(rows, missing_parts))


@pytest.mark.parametrize("missing_parts", ["keep", "empty"])
@pytest.mark.parametrize("ending, rows", [("jsonl", ARTICLES + WITH_NUMBERS), ("parquet", ARTICLES)])
def test_files(ending, rows, missing_parts, monkeypatch, model_folder, tmp_path):
    "A JSON Lines file and a Parquet file know missing cells, and are read like the table they were made of."
    path = tmp_path/f"articles.{ending}"
    write_table(article_table(rows)[["title", "text"]], path)
    texts = texts_of_file(monkeypatch, model_folder(missing_parts), path)
    check_same_texts({"predict_file": texts}, expected_texts(rows, missing_parts))


@pytest.mark.parametrize("missing_parts", ["keep", "empty"])
def test_probabilities(missing_parts, model_folder, tmp_path):
    "The same texts give the same probabilities."
    rows = ARTICLES + WITH_NUMBERS
    articles = article_table(rows)
    folder = model_folder(missing_parts)
    path = tmp_path/"articles.jsonl"
    write_table(articles[["title", "text"]], path)
    expected = predict(folder, articles).probabilities[:, FAKE]
    ours = Detector.load(folder)
    of_texts = ours.predict(articles.text, articles.title)
    predict_file(ours, path, tmp_path/"verdicts.jsonl")
    of_file = read_table(tmp_path/"verdicts.jsonl")
    assert np.allclose(probability_of_fake(of_texts.label, of_texts.probability), expected, atol=1e-6)
    assert np.allclose(probability_of_fake(of_file.predicted_label, of_file.predicted_probability), expected, atol=1e-6)


def probability_of_fake(labels, probabilities):
    "A detector reports the probability of the label that it predicts."
    return np.where(labels == "fake", probabilities, 1 - probabilities)


def own_joining(articles, missing_parts="keep"):
    "Another way to join title and body, of which only blanks tell, and only where a part is missing or blank."
    pairs = zip(articles["title"], articles["text"], strict=True)
    return [" ".join("" if pd.isna(part) else str(part) for part in pair) for pair in pairs]


class OwnPipeline:
    "A text pipeline that joins title and body in its own way."
    def __init__(self, rules=()): self.rules = rules

    @classmethod
    def load(cls, folder): return cls()

    def texts(self, articles, cleaned_by=None):
        table = pd.DataFrame({"title": articles["title"], "text": articles["text"]}, dtype=object)
        return own_joining(clean_articles(table, RULES))


OWN_JOINING = {
    "evaluation": (evaluation, "TextPipeline", OwnPipeline),
    "detector": (detector, "TextPipeline", OwnPipeline),
    "baseline": (baselines, "TextPipeline", OwnPipeline)}


@pytest.mark.parametrize("name", OWN_JOINING)
def test_the_check_notices_another_joining(name, monkeypatch, model_folder, train):
    "Negative control: give one of the three its own joining, and the check names it."
    rows = ARTICLES + WITH_NUMBERS
    articles = article_table(rows)
    folder = model_folder("keep")
    monkeypatch.setattr(*OWN_JOINING[name])
    baseline = fit_baseline("linear_svc", train, RULES)
    texts = all_texts(monkeypatch, folder, articles, baseline)
    with pytest.raises(AssertionError, match=f"{name} reads other texts"):
        check_same_texts(texts, expected_texts(rows, "keep"))
    del texts[name]
    check_same_texts(texts, expected_texts(rows, "keep"))
