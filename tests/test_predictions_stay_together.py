"Whatever the index and the types of a table: id, title, label and logits of an article stay together."
import re
import tempfile
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakenews_nb.core import FAKE, ID2LABEL, REAL, DataError
from fakenews_nb.error_analysis import (
    error_report,
    find_slices,
    least_confident,
    misclassified,
    nearest_articles,
    slice_columns,
)
from fakenews_nb.evaluation import (
    Predictions,
    _file_columns,
    compare,
    load_predictions,
    save_predictions,
    score_intervals,
)

MANY = settings(max_examples=200, derandomize=True, deadline=None, database=None)
FEW = settings(max_examples=6, derandomize=True, deadline=None, database=None)
INDEXES = ("range", "shuffled", "duplicated", "text", "multi-level", "dates", "floats", "categories")
LABELS = ("int64", "int8", "float", "object", "Int64", "category", "bool")
WRONG_LABELS = (None, pd.NA, 2, -1, .5, "fake", "0")
TEXTS = ("object", "string", "category", "missing")


def index_of(kind, n, rng):
    "An index of a kind that users' tables have."
    order = rng.permutation(n)
    if kind == "range": return pd.RangeIndex(n)
    if kind == "shuffled": return pd.Index(order)
    if kind == "duplicated": return pd.Index(order//3)
    if kind == "text": return pd.Index([f"row {number}" for number in order], dtype=object)
    if kind == "multi-level": return pd.MultiIndex.from_arrays([order//2, order % 2], names=["id", "label"])
    if kind == "dates": return pd.Timestamp("2020-01-01") + pd.to_timedelta(order//2, "D")
    if kind == "floats": return pd.Index(np.where(order == 0, np.nan, order/2))
    return pd.CategoricalIndex([f"c{number % 3}" for number in order])


def label_column(kind, labels):
    "Labels of a type that users' tables have."
    if kind == "float": return labels.astype(float)
    if kind == "object": return labels.astype(object)
    if kind == "category": return pd.Categorical(labels)
    if kind == "Int64": return pd.array(labels, dtype="Int64")
    return labels.astype(kind)


def text_column(kind, texts):
    "Texts of a type that users' tables have."
    if kind == "missing": return np.array([None, *texts[1:]], dtype=object)
    if kind == "category": return pd.Categorical(texts)
    return pd.array(texts, dtype="string") if kind == "string" else np.array(texts, dtype=object)


@st.composite
def predicted_tables(draw, least=1):
    "Predictions in which everything is known from the id: article i has the title `title i` and the logits (i, x)."
    n = draw(st.integers(least, 24))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    numbers = rng.permutation(n)
    labels = rng.integers(0, 2, n)
    table = pd.DataFrame({
        "id": text_column("object", [f"a{number}" for number in numbers]),
        "title": text_column(draw(st.sampled_from(TEXTS)), [f"title {number}" for number in numbers]),
        "text": text_column(draw(st.sampled_from(TEXTS)), [f"text {number} word" for number in numbers]),
        "label": label_column(draw(st.sampled_from(LABELS)), labels),
        "date": "2020-01-01",
        "subject": text_column("category", [f"subject {number % 2}" for number in numbers]),
        "source": "",
        "original_title": [f"TITLE {number}" for number in numbers],
        "url": [f"https://example.org/{number}" for number in numbers],
        "confidence": [f"confidence {number}" for number in numbers]})
    table.index = index_of(draw(st.sampled_from(INDEXES)), n, rng)
    log_odds = np.where(rng.random(n) < .4, -1, 1)*(2*labels - 1)*(1 + numbers/n)
    return Predictions(table, np.column_stack([numbers, numbers + log_odds]).astype(float))


def number_of(ids): return np.array([int(one[1:]) for one in ids])


def check_together(predictions, whole):
    "Every article has its own title, label and logits."
    numbers = number_of(predictions.articles.id)
    label_of = dict(zip(number_of(whole.articles.id), whole.labels, strict=True))
    logits_of = dict(zip(number_of(whole.articles.id), whole.logits.tolist(), strict=True))
    assert predictions.articles.original_title.tolist() == [f"TITLE {number}" for number in numbers]
    assert predictions.articles.url.tolist() == [f"https://example.org/{number}" for number in numbers]
    assert predictions.labels.tolist() == [label_of[number] for number in numbers]
    assert predictions.logits.tolist() == [logits_of[number] for number in numbers]


def check_rows(table, predictions):
    "A table of articles shows of each article what belongs to it."
    rows = {one: row for row, one in enumerate(predictions.articles.id)}
    for shown in table.to_dict("records"):
        row = rows[shown["id"]]
        number = shown["id"][1:]
        assert shown["title"] == f"TITLE {number}"
        assert shown["url"] == f"https://example.org/{number}"
        assert shown["file_confidence"] == f"confidence {number}"
        assert shown["true"] == ID2LABEL[predictions.labels[row]]
        assert shown["predicted"] == ID2LABEL[predictions.predicted[row]]
        assert np.isclose(shown["confidence"], predictions.confidence[row], atol=1e-4)
        assert shown["words"] in (0, 3)


@MANY
@given(predictions=predicted_tables(), seed=st.integers(0, 1000), kind=st.sampled_from(INDEXES))
def test_take(predictions, seed, kind):
    "A mask or row numbers, in any container and with any index of their own, select by position."
    n = len(predictions)
    rng = np.random.default_rng(seed)
    mask = rng.random(n) < .5
    rows = rng.permutation(n)[:mask.sum()]
    own_index = index_of(kind, n, rng)
    masks = [mask, mask.tolist(), pd.Series(mask, index=own_index), pd.Series(mask, index=own_index, dtype="boolean")]
    expected = predictions.articles.id.to_numpy()[mask].tolist()
    for selection in masks:
        taken = predictions.take(selection)
        assert taken.articles.id.tolist() == expected
        check_together(taken, predictions)
    for selection in (rows, rows.tolist(), pd.Series(rows, index=own_index[:len(rows)]), pd.Index(rows)):
        taken = predictions.take(selection)
        assert taken.articles.id.tolist() == predictions.articles.id.to_numpy()[rows].tolist()
        check_together(taken, predictions)


@MANY
@given(predictions=predicted_tables())
def test_save_and_load(predictions):
    "What was saved comes back, in the same order."
    with tempfile.TemporaryDirectory() as folder:
        save_predictions(predictions, Path(folder)/"p.parquet")
        loaded = load_predictions(Path(folder)/"p.parquet")
    assert loaded.articles.id.tolist() == predictions.articles.id.tolist()
    assert set(predictions.articles) == set(loaded.articles)
    assert sorted(_file_columns(loaded.articles)) == ["confidence", "url"]
    check_together(loaded, predictions)


@MANY
@given(predictions=predicted_tables())
def test_tables_of_articles(predictions):
    "Each row of a table shows one article; together the errors are the misclassified articles."
    errors = misclassified(predictions)
    check_rows(errors, predictions)
    assert sorted(errors.id) == sorted(predictions.articles.id.to_numpy()[predictions.wrong])
    assert errors.confidence.is_monotonic_decreasing
    uncertain = least_confident(predictions, len(predictions))
    check_rows(uncertain, predictions)
    assert sorted(uncertain.id) == sorted(predictions.articles.id)


@MANY
@given(predictions=predicted_tables(least=4), kind=st.sampled_from(INDEXES))
def test_slices(predictions, kind):
    "A slice counts its own articles, also if its feature is a column with another index."
    numbers = number_of(predictions.articles.id)
    own_index = index_of(kind, len(numbers), np.random.default_rng(0))
    parity = pd.Series([f"parity {number % 2}" for number in numbers], index=own_index)
    columns = slice_columns(predictions.articles, {"parity": parity})
    assert columns.subject.str[-1].tolist() == columns.parity.str[-1].tolist()
    for feature in ("subject", "parity"):
        slices = find_slices(predictions, columns[[feature]].set_axis(own_index), min_articles=1)
        for row in slices.itertuples():
            in_slice = numbers % 2 == int(row.slice[-1])
            assert row.n == in_slice.sum()
            assert row.errors == predictions.wrong[in_slice].sum()


@MANY
@given(predictions=predicted_tables())
def test_nearest_articles(predictions):
    "An article and its neighbour keep their ids, titles and labels; here each article's neighbour is itself."
    articles = predictions.articles
    vectors = np.eye(len(articles))
    backwards = predictions.take(np.arange(len(articles))[::-1])
    found = nearest_articles(articles, backwards.articles, vectors=(vectors, vectors[::-1]))
    assert found.id.tolist() == articles.id.tolist()
    assert found.nearest_id.tolist() == articles.id.tolist()
    assert found.title.tolist() == found.nearest_title.tolist() == articles.original_title.tolist()
    assert found.url.tolist() == found.nearest_url.tolist() == articles.url.tolist()
    names = [ID2LABEL[label] for label in predictions.labels]
    assert found.label.tolist() == found.nearest_label.tolist() == names


def cells(page, heading):
    "The rows of a table of a report, as texts."
    table = page[page.index(f"<h2>{heading}</h2>"):].split("</table>")[0]
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]:
        found = re.findall(r"<td.*?>(.*?)</td>", row, re.S)
        texts = [re.sub("<.*?>", "", cell) for cell in found]
        yield [unescape(text).strip() for text in texts]


@FEW
@given(predictions=predicted_tables(least=4))
def test_report(predictions):
    "The tables of the page hold the same rows, with a link to each article."
    with tempfile.TemporaryDirectory() as folder:
        error_report(predictions).save(Path(folder)/"report.html")
        page = (Path(folder)/"report.html").read_text(encoding="utf-8")
    expected = misclassified(predictions)
    shown = list(cells(page, "Misclassified articles")) if len(expected) else []
    assert len(shown) == len(expected)
    for cell, row in zip(shown, expected.itertuples(), strict=True):
        assert cell[:3] == [row.title, row.true, row.predicted]
        assert cell[4] == row.id
        assert f'<a href="{row.url}"' in page


@MANY
@given(predictions=predicted_tables(), kind=st.sampled_from(INDEXES))
def test_another_index_changes_nothing(predictions, kind):
    "The index of a table has no influence on scores and comparisons."
    other_index = index_of(kind, len(predictions), np.random.default_rng(1))
    other = Predictions(predictions.articles.set_axis(other_index), predictions.logits)
    first = score_intervals(predictions, n_resamples=5)
    assert first.equals(score_intervals(other, n_resamples=5))
    comparison = compare(predictions, other, n_resamples=5)
    assert (comparison.difference, comparison.low, comparison.high) == (0, 0, 0)
    assert comparison.discordant == (0, 0)


@MANY
@given(predictions=predicted_tables(), row=st.integers(0, 23), label=st.sampled_from(WRONG_LABELS))
def test_wrong_labels_are_named(predictions, row, label):
    "A label that is missing, or neither 0 nor 1, is an error that names its row."
    row = row % len(predictions)
    labels = predictions.labels.astype(object)
    labels[row] = label
    damaged = predictions.articles.assign(label=labels)
    with pytest.raises(DataError, match=rf"row {row + 1}, article a\d+"):
        Predictions(damaged, predictions.logits)


def test_labels_of_a_nullable_column():
    table = pd.DataFrame({"id": ["a", "b"], "label": pd.array([FAKE, None], dtype="Int64")}, index=[5, 5])
    with pytest.raises(DataError, match="row 2, article b"): Predictions(table, np.zeros((2, 2)))
    assert Predictions(table.assign(label=[FAKE, REAL]), np.zeros((2, 2))).labels.tolist() == [0, 1]
