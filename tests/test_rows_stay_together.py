"An article keeps its title, body, label and other cells, whatever index, column order and types its table has."
import random
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from fakenews_nb.cleaning import LEVELS, clean_articles, count_rules
from fakenews_nb.splits import (
    SPLITS,
    SPLITTERS,
    drop_duplicates,
    duplicate_groups,
    load_prepared,
    prepare_clean,
    read_dates,
    save_prepared,
)

WORDS = [a + b + c for a in ("ba", "de", "fo", "gu", "ki") for b in ("lan", "mer", "nos", "put") for c in ("ta", "ri")]
N = 44 # articles, before the repeated ones
NUMBERED = ("id", "title", "text", "url", "Author name") # columns whose cells hold the number of the article
thorough = settings(max_examples=200, deadline=None, derandomize=True)


def label_of(number): return number//3 % 2


def body_of(number):
    "A body that resembles no other; all digits belong to its number."
    words = random.Random(number).sample(WORDS, 12)
    return f"Number {number}, {' '.join(words)}."


def make_rows(numbers):
    return pd.DataFrame({
        "id": [f"a{number}" for number in numbers],
        "title": [f"Title {number}" for number in numbers],
        "text": [body_of(number) for number in numbers],
        "label": [label_of(number) for number in numbers],
        "date": [f"2016-{1 + number//28:02}-{1 + number % 28:02}" for number in numbers],
        "subject": [f"subject {number % 4}" for number in numbers],
        "source": [f"source {number % 4}" for number in numbers],
        "url": [f"example/{number}" for number in numbers],
        "Author name": [f"Author {number}" for number in numbers],
    })


ALL = make_rows(range(N))


def rows_of(numbers): return ALL.iloc[list(numbers)].reset_index(drop=True)


def with_index(table, kind, rng):
    "The same rows with an index of some kind."
    order = rng.sample(range(len(table)), len(table))
    indexes = {
        "range": pd.RangeIndex(len(table)),
        "shuffled": pd.Index(order),
        "duplicated": pd.Index([position//2 for position in order]),
        "text": pd.Index([f"row {position}" for position in order]),
        "dates": pd.to_datetime([f"2020-01-{1 + position % 28:02}" for position in order]),
        "levels": pd.MultiIndex.from_tuples([(position % 3, position//2) for position in order], names=["id", "label"]),
        "named like a column": pd.Index(order, name="label"),
    }
    return table.set_index(indexes[kind])


@st.composite
def tables(draw, repeated=True):
    "An article table with some repeated rows."
    rng = random.Random(draw(st.integers(0, 10**6)))
    numbers = list(range(N))
    if repeated: numbers += [rng.randrange(N) for _ in range(draw(st.integers(0, 6)))]
    rng.shuffle(numbers)
    table = rows_of(numbers)
    names = list(table.columns)
    rng.shuffle(names)
    text_type = draw(st.sampled_from(["object", "string", "category"]))
    label_type = draw(st.sampled_from(["int64", "int8", "Int64", "category", "bool"]))
    types = {name: label_type if name == "label" else text_type for name in names}
    kind = draw(st.sampled_from(
        ["range", "shuffled", "duplicated", "text", "dates", "levels", "named like a column"]))
    table = with_index(table[names].astype(types), kind, rng)
    if draw(st.booleans()): table["date"] = pd.to_datetime(table.date.astype(object))
    table.attrs["origin"] = "a test"
    return table


def number_in(cell): return int(re.search(r"\d+", str(cell))[0])


def numbers_of(table):
    "The numbers of the articles; `AssertionError` if a row holds cells of two articles."
    numbers = [number_in(cell) for cell in table["id"]]
    for name in (*NUMBERED, "original_title"):
        if name in table: assert [number_in(cell) for cell in table[name]] == numbers, name
    assert [int(label) for label in table["label"]] == [label_of(number) for number in numbers]
    for name in ("subject", "source"): assert [number_in(cell) for cell in table[name]] == [i % 4 for i in numbers]
    expected = ALL.date.iloc[numbers].tolist()
    assert [str(cell)[:10] for cell in table["date"]] == expected
    return numbers


@thorough
@given(table=tables(), level=st.sampled_from(list(LEVELS)))
def test_clean_articles(table, level):
    rules = tuple(rule for rule in LEVELS[level] if rule.name != "numbers")
    cleaned = clean_articles(table, rules)
    assert numbers_of(cleaned) == numbers_of(table)
    assert cleaned.index.equals(table.index)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(table=tables())
def test_count_rules(table):
    counts = count_rules(table)
    plain = count_rules(rows_of(numbers_of(table)))
    assert counts.equals(plain)
    marked = rows_of(numbers_of(table))
    marked["text"] = ["HARBORVIEW (Reuters) - " + text if label else text
        for text, label in zip(marked.text, marked.label, strict=True)]
    by_label = count_rules(marked.set_index(table.index))
    assert by_label.fraction_of_real["dateline"] == 1
    assert by_label.fraction_of_fake["dateline"] == 0


@thorough
@given(table=tables())
def test_drop_duplicates(table):
    kept, dropped = drop_duplicates(table)
    numbers = numbers_of(table)
    assert numbers_of(kept) == list(dict.fromkeys(numbers))
    assert dropped == {"repeated": len(numbers) - N, "labels_disagree": 0}


@thorough
@given(table=tables(), other=st.integers(0, N - 1))
def test_duplicates_whose_labels_disagree(table, other):
    flipped = rows_of([other]).assign(label=1 - label_of(other))
    mixed = pd.concat([rows_of(numbers_of(table)), flipped]).set_index(pd.Index([0]*(len(table) + 1)))
    kept, dropped = drop_duplicates(mixed)
    assert set(numbers_of(kept)) == set(range(N)) - {other}
    assert dropped["labels_disagree"] == numbers_of(table).count(other) + 1


@thorough
@given(table=tables())
def test_duplicate_groups(table):
    numbers = numbers_of(table)
    groups = duplicate_groups(table)
    assert len(groups) == len(numbers)
    assert len(set(zip(numbers, groups, strict=True))) == N, "the rows of an article are in one group"
    assert len(set(groups)) == N, "different articles are in different groups"


@thorough
@given(table=tables())
def test_read_dates(table):
    dates = read_dates(table)
    assert dates.index.equals(table.index)
    assert dates.dt.strftime("%Y-%m-%d").tolist() == rows_of(numbers_of(table)).date.tolist()


HELD_OUT = {"by_subject": ("subject 1", "subject 3"), "by_source": ("source 0", "source 3")}


def held_out_by(split): return HELD_OUT.get(split, ())


def with_publishers(table, split):
    "The split by publisher needs more publishers than the other tests have subjects."
    if split != "by_publisher": return table
    return table.assign(subject=[f"{number % 4}: publisher {number}" for number in numbers_of(table)])


@thorough
@given(split=st.sampled_from(list(SPLITTERS)), table=tables(), seed=st.integers(0, 99))
def test_splitters(split, table, seed):
    table = with_publishers(table, split)
    splits = SPLITTERS[split](table, seed, held_out_by(split))
    assert list(splits) == list(SPLITS)
    numbers = {name: numbers_of(part) for name, part in splits.items()}
    placed = sorted(sum(numbers.values(), []))
    assert placed == sorted(numbers_of(table))
    if split != "stratified":
        assert sum(len(set(members)) for members in numbers.values()) == N, "no article is in two splits"
    if split == "by_date":
        assert max(numbers["train"]) < min(numbers["validation"])
        assert max(numbers["validation"]) < min(numbers["test"])
    if split in HELD_OUT:
        column = split.removeprefix("by_")
        assert set(splits["test"][column]) == set(HELD_OUT[split])
        assert not set(splits["train"][column]) & set(HELD_OUT[split])
    if split == "by_publisher": assert not set(splits["train"].subject) & set(splits["test"].subject)
    for part in splits.values(): assert part.index.equals(pd.RangeIndex(len(part)))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(table=tables(), split=st.sampled_from(list(SPLITTERS)))
def test_the_index_changes_no_split(table, split):
    table = with_publishers(table, split)
    plain = with_publishers(rows_of(numbers_of(table)), split)
    expected = SPLITTERS[split](plain, 42, held_out_by(split))
    splits = SPLITTERS[split](table, 42, held_out_by(split))
    for name in SPLITS: assert splits[name]["id"].tolist() == expected[name]["id"].tolist()


@thorough
@given(table=tables(), split=st.sampled_from(list(SPLITTERS)), level=st.sampled_from(["none", "light", "standard"]))
def test_prepare_clean(table, split, level):
    table = with_publishers(table, split)
    splits, steps = prepare_clean(table, 0, level, split, held_out_by(split))
    numbers = [number for part in splits.values() for number in numbers_of(part)]
    assert sorted(numbers) == list(range(N))
    assert steps["duplicates_dropped"] == {"repeated": len(table) - N, "labels_disagree": 0}
    titles = [title for part in splits.values() for title in part.original_title]
    assert titles == [f"Title {number}" for number in numbers]


@thorough
@given(table=tables(), level=st.sampled_from(["none", "standard"]), cut=st.integers(1, N - 2))
def test_a_prepared_folder(table, level, cut):
    cleaned = clean_articles(table, LEVELS[level]).assign(original_title=table["title"], published_label=1)
    cuts = np.split(np.arange(len(cleaned)), [cut, cut + 1])
    splits = {name: cleaned.iloc[rows] for name, rows in zip(SPLITS, cuts, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        save_prepared(splits, Path(folder)/"data", {"rules": []})
        dataset, _ = load_prepared(Path(folder)/"data")
        loaded = {name: dataset[name].to_pandas() for name in SPLITS}
    for name in SPLITS:
        assert numbers_of(loaded[name]) == numbers_of(splits[name])
        assert set(loaded[name].columns) == set(cleaned.columns)
        assert (loaded[name].published_label == 1).all()


def test_missing_cells_of_other_columns_stay_missing(tmp_path):
    table = rows_of(range(N))
    table["url"] = table.url.where(table.index % 2 == 0)
    table["rank"] = pd.array([None, 3]*(N//2), dtype="Int64")
    splits, _ = prepare_clean(table.set_index(pd.Index([7]*N)))
    save_prepared(splits, tmp_path/"data", {"rules": []})
    loaded = load_prepared(tmp_path/"data")[0]["train"].to_pandas()
    odd = np.array([number_in(cell) % 2 == 1 for cell in loaded["id"]])
    assert (loaded.url.isna().to_numpy() == odd).all()
    assert (loaded["rank"].notna().to_numpy() == odd).all()
    assert set(loaded["rank"].dropna()) == {"3"}
