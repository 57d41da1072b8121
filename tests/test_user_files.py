"Files as users have them, from end to end: read rightly, or refused in words that say what to do."
import json
import random
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakenews_nb.articles import _read_labels, article_table
from fakenews_nb.core import FAKE, REAL, DataError

WORDS = {"fake": "shocking secret hoax hide truth".split(), "real": "officials said report minister council".split()}
FILLERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
TINY = ("--model", "tiny", "--epochs", "1", "--max-length", "32")


def news(n=60):
    "Articles whose titles and words show their label; half of them fake."
    rng = random.Random(1)
    rows = []
    for row in range(n):
        label = "fake" if row % 2 else "real"
        words = [rng.choice(WORDS[label] + FILLERS) for _ in range(30)]
        rows.append({"title": f"{label} story {row}", "text": " ".join(words), "label": label})
    return pd.DataFrame(rows)


def articles_in(folder):
    "All articles of a prepared folder."
    return pd.concat([pd.read_parquet(file) for file in sorted(Path(folder).glob("*.parquet"))], ignore_index=True)


def each_has_its_own_label(articles):
    shown = articles.original_title.str[:4].map({"fake": FAKE, "real": REAL})
    return (shown == articles.label).all()


@pytest.fixture
def prepare(here, tmp_path, monkeypatch):
    "Prepare a file in a folder of its own; returns the exit code and what was printed."
    monkeypatch.chdir(tmp_path)

    def run(file, *options, out="out"):
        code, printed, shown = here("prepare", file, "--out", out, "--overwrite", *options)
        assert "Traceback" not in shown
        return code, printed + shown
    return run


# ---- rows, texts and labels stay together ----------------------------------------------------------------------------

def shapes_of_index():
    table = news()
    thirds = [part.reset_index(drop=True) for _, part in table.groupby("label")]
    levels = pd.MultiIndex.from_product([range(6), range(10)], names=["day", "item"])
    addresses = pd.Index([f"url{row}" for row in table.index])
    days = pd.date_range("2020-01-01", periods=60)
    shapes = {"shuffled": table.sample(frac=1, random_state=0), "filtered": table[table.index % 3 != 0]}
    shapes |= {"concatenated": pd.concat(thirds), "text": table.set_index(addresses)}
    shapes |= {"levels": table.set_index(levels), "dates": table.set_index(days)}
    shapes["named"] = table.set_index(pd.Index(range(60, 0, -1), name="number"))
    return shapes


@pytest.mark.parametrize("shape", shapes_of_index())
def test_the_index_of_a_parquet_file_moves_nothing(prepare, tmp_path, shape):
    frame = shapes_of_index()[shape]
    frame.to_parquet(tmp_path/"news.parquet")
    code, _ = prepare("news.parquet")
    assert code == 0
    made = articles_in("out")
    assert len(made) == len(frame)
    assert each_has_its_own_label(made)


@pytest.mark.parametrize("dtype", ["category", "string", "object"])
def test_column_types_move_nothing(prepare, tmp_path, dtype):
    news().sample(frac=1, random_state=3).astype(dtype)[["label", "text", "title"]].to_parquet(tmp_path/"news.parquet")
    assert prepare("news.parquet")[0] == 0
    assert each_has_its_own_label(articles_in("out"))


INDEXES = st.sampled_from(["range", "shuffled", "duplicated", "text", "dates", "levels"])


def with_index(table, kind, order):
    "Give a table an index of some kind."
    n = len(table)
    days = [f"2020-01-{1 + position % 28:02}" for position in order]
    levels = [(position % 3, position) for position in order]
    indexes = {"range": range(n), "shuffled": order, "dates": pd.to_datetime(days)}
    indexes["duplicated"] = [position//2 for position in order]
    indexes["text"] = [f"url{position}" for position in order]
    indexes["levels"] = pd.MultiIndex.from_tuples(levels)
    return table.set_index(pd.Index(indexes[kind]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    labels=st.lists(st.sampled_from(["fake", "real"]), min_size=1, max_size=8),
    kind=INDEXES,
    dtype=st.sampled_from(["object", "string", "category"]),
    seed=st.integers(0, 9))
def test_an_article_keeps_its_cells(labels, kind, dtype, seed):
    rng = random.Random(seed)
    n = len(labels)
    columns = {"label": labels}
    for name in ("id", "title", "text", "url"): columns[name] = [f"{name} {row}" for row in range(n)]
    names = list(columns)
    rng.shuffle(names)
    table = pd.DataFrame(columns)[names].astype(dtype)
    articles = article_table(with_index(table, kind, rng.sample(range(n), n)), "mine")
    for row, article in enumerate(articles.itertuples()):
        assert article.id == f"id {row}"
        assert article.title == f"title {row}"
        assert article.text == f"text {row}"
        assert article.url == f"url {row}"
        assert article.label == {"fake": FAKE, "real": REAL}[labels[row]]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(labels=st.lists(st.sampled_from(["fake", "real", "satire", None]), min_size=1, max_size=10), kind=INDEXES)
def test_rows_that_are_left_out_move_nothing(labels, kind):
    usable = [row for row, label in enumerate(labels) if label in ("fake", "real")]
    table = pd.DataFrame({"text": [f"text {row}" for row in range(len(labels))], "label": labels}, dtype=object)
    table = with_index(table, kind, list(range(len(labels))))
    meanings = {"fake": FAKE, "real": REAL, "satire": None}
    if not usable:
        with pytest.raises(DataError, match="every row is left out"):
            article_table(table, "mine", labels=meanings, drop_unlabelled=True)
        return
    articles = article_table(table, "mine", labels=meanings, drop_unlabelled=True)
    assert articles.id.tolist() == [f"mine-{row}" for row in usable], "rows keep their numbers"
    assert articles.text.tolist() == [f"text {row}" for row in usable]
    assert articles.label.tolist() == [meanings[labels[row]] for row in usable]


# ---- meaning is never guessed ----------------------------------------------------------------------------------------

def numbered(one="fake", dtype=int):
    table = news()
    return table.assign(label=(table.label == one).astype(dtype))


@pytest.mark.parametrize("dtype", [int, float, bool, str])
@pytest.mark.parametrize("one", ["fake", "real"])
def test_labels_of_numbers_are_asked_about(prepare, tmp_path, one, dtype):
    numbered(one, dtype=int).astype({"label": dtype}).to_csv(tmp_path/"news.csv", index=False)
    code, shown = prepare("news.csv")
    assert code == 2
    asked = "--labels True=real,False=fake" if dtype is bool else "--labels 1=fake,0=real"
    assert asked in shown
    assert "np." not in shown
    zero = "real" if one == "fake" else "fake"
    assert prepare("news.csv", "--labels", f"1={one},0={zero}")[0] == 0
    assert each_has_its_own_label(articles_in("out"))


def test_evaluate_and_transfer_ask_as_well(here, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbered().to_csv("news.csv", index=False)
    for command in (["evaluate", run_folder, "news.csv"], ["transfer", "--train", "news.csv", "--out", "matrix"]):
        code, _, shown = here(*command)
        assert code == 2
        assert "--labels 1=fake,0=real" in shown
        code, _, shown = here(*command, "--labels", "1=fake,0=real")
        assert code == 0, shown


SPELLINGS = {"1": ["1", "1.0", "true", "TRUE", "1.00", " 1 "], "0": ["0", "0.0", "false", "False", "0.", "0 "]}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    cells=st.lists(st.tuples(st.sampled_from(["0", "1"]), st.integers(0, 5)), min_size=1, max_size=20),
    one=st.sampled_from([FAKE, REAL]),
    stated=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_numbers_mean_what_was_stated_however_they_are_written(cells, one, stated):
    written = pd.Series([SPELLINGS[number][variant] for number, variant in cells], dtype=object)
    with pytest.raises(DataError): _read_labels(written)
    meanings = {SPELLINGS["1"][stated[0]]: one, SPELLINGS["0"][stated[1]]: 1 - one}
    expected = [one if number == "1" else 1 - one for number, _ in cells]
    assert _read_labels(written, meanings) == expected


def european(n=160):
    table = news(n)
    days = pd.date_range("2016-01-01", periods=n, freq="2D")
    return table.assign(date=days.strftime("%d/%m/%Y"), day=days.strftime("%Y-%m-%d"))


def test_dates_of_a_column_are_read_in_one_way(prepare, tmp_path):
    european().to_csv(tmp_path/"news.csv", index=False)
    code, shown = prepare("news.csv", "--split", "by_date")
    assert code == 0
    assert "the day first" in shown
    made = articles_in("out")
    assert (made.date == made.day).all()
    newest = pd.read_parquet("out/train.parquet").day.max()
    assert (pd.read_parquet("out/test.parquet").day > newest).all()


def test_dates_that_may_be_read_in_two_ways_are_asked_about(prepare, tmp_path):
    table = european()
    table[table.day.str[-2:].astype(int) <= 12].to_csv(tmp_path/"news.csv", index=False)
    assert prepare("news.csv")[0] == 0, "dates that only describe end nothing"
    code, shown = prepare("news.csv", "--split", "by_date")
    assert code == 2
    assert "--dates dayfirst" in shown
    assert prepare("news.csv", "--split", "by_date", "--dates", "dayfirst")[0] == 0
    made = articles_in("out")
    assert (made.date == made.day).all()
    assert prepare("news.csv", "--dates", "dmy")[0] == 2


# ---- text is never silently left unread ------------------------------------------------------------------------------

def test_an_article_without_a_title_is_read_by_its_body(prepare, tmp_path):
    from fakenews_nb.tokenization import article_texts
    table = news()
    table["title"] = table.title.where(table.index % 4 < 2)
    table.to_json(tmp_path/"news.jsonl", orient="records", lines=True)
    table.to_csv(tmp_path/"news.csv", index=False)
    for name in ("news.jsonl", "news.csv"):
        assert prepare(name)[0] == 0
        texts = article_texts(articles_in("out"))
        assert len(texts) == 60
        assert "" not in texts


@pytest.mark.parametrize("body", ["content", "Body", "article", "maintext", "words of the article"])
def test_a_body_under_another_name_is_named(prepare, here, run_folder, tmp_path, body):
    long = news().assign(text=lambda table: table.text*5)
    long.rename(columns={"text": body}).to_csv(tmp_path/"news.csv", index=False)
    for code, shown in (prepare("news.csv"), here("predict", run_folder, "--file", "news.csv")[::2]):
        assert code == 2
        quote = '"' if " " in body else ""
        assert f"--columns {quote}text={body}{quote}" in shown
    assert prepare("news.csv", "--columns", f"text={body}")[0] == 0
    assert articles_in("out").text.str.len().min() > 100
    code, shown = prepare("news.csv", "--columns", "text=none")
    assert code == 0
    assert "no text" in shown


def test_names_that_mean_nothing_are_refused(prepare, tmp_path):
    news().to_csv(tmp_path/"news.csv", index=False)
    for columns in ("titel=title", "body=text", "title=headline", "text=text,text=title", "title=text,text=text"):
        code, shown = prepare("news.csv", "--columns", columns)
        assert code == 2, columns
        assert "--columns" in shown or "article table" in shown


def test_what_is_read_is_shown(prepare, tmp_path):
    news().rename(columns={"title": "headline"}).assign(url="example.org").to_csv(tmp_path/"news.csv", index=False)
    _, shown = prepare("news.csv", "--columns", "title=headline")
    assert "reads title from 'headline', text, label" in shown
    assert "keeps unread: url" in shown


def test_a_column_source_is_read(prepare, tmp_path):
    news(120).assign(source=lambda table: [f"paper {row % 4}" for row in table.index]).to_csv(tmp_path/"n.csv")
    code, shown = prepare("n.csv", "--split", "by_source", "--held-out", "paper 0,paper 1")
    assert code == 0, shown
    assert set(pd.read_parquet("out/test.parquet").source) == {"paper 0", "paper 1"}


def test_a_list_is_no_body(prepare, tmp_path):
    table = news()
    table["text"] = table.text.str.split()
    table.to_json(tmp_path/"news.jsonl", orient="records", lines=True)
    code, shown = prepare("news.jsonl")
    assert code == 2
    assert "a list where text was expected" in shown
    assert "row 1, column 'text'" in shown


# ---- files as they come ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("before", ["", "a, b ", 'say "x"; '])
def test_semicolons(prepare, tmp_path, before):
    table = news().assign(text=before + news().text)
    table.to_csv(tmp_path/"news.csv", sep=";", index=False)
    code, shown = prepare("news.csv", "--clean", "none")
    assert code == 0, shown
    assert "';'" in shown
    made = articles_in("out").set_index("id").loc[[f"news-{row}" for row in range(60)]]
    assert made.text.tolist() == table.text.tolist()


def test_broken_rows_are_left_out_only_on_demand(prepare, tmp_path):
    lines = news().to_csv(index=False).splitlines()
    broken = {"ragged": lines[30] + ",extra", "backslash": '"He shown \\"hi\\" to her","some text",fake'}
    for name, row in broken.items():
        (tmp_path/f"{name}.csv").write_text("\n".join(lines[:30] + [row] + lines[31:]) + "\n")
        code, shown = prepare(f"{name}.csv")
        assert code == 2
        assert "--skip-bad-rows" in shown
        code, shown = prepare(f"{name}.csv", "--skip-bad-rows")
        assert code == 0
        assert "line 31" in shown
        assert (tmp_path/f"{name}.rejected.csv").read_text().splitlines() == [lines[0], row]
        assert len(articles_in("out")) == 59
        assert each_has_its_own_label(articles_in("out").assign(original_title=lambda made: made.title))


def test_quotation_marks_that_are_ordinary_characters(prepare, tmp_path):
    rows = ["title\ttext\tlabel"]
    for row, article in enumerate(news().itertuples()):
        mark = '"' if row == 20 else ""
        rows.append(f"{mark}{article.title}\t{article.text}\t{article.label}")
    (tmp_path/"news.tsv").write_text("\n".join(rows) + "\n")
    code, shown = prepare("news.tsv")
    assert code == 2
    assert "--quotes none" in shown
    assert prepare("news.tsv", "--quotes", "none")[0] == 0
    assert len(articles_in("out")) == 60


def test_a_file_without_a_header_is_called_so(prepare, tmp_path):
    news().assign(text=news().text*20).to_csv(tmp_path/"news.csv", index=False, header=False)
    code, shown = prepare("news.csv")
    assert code == 2
    assert "no header line" in shown
    assert len(shown) < 1500


# ---- labels as they come ---------------------------------------------------------------------------------------------

def test_rows_without_a_label(prepare, tmp_path):
    table = news()
    table.assign(label=table.label.where(table.index != 5)).to_csv(tmp_path/"empty.csv", index=False)
    code, shown = prepare("empty.csv")
    assert code == 2
    assert "rows without a label: 1 of 60" in shown
    assert "row 6" in shown
    code, shown = prepare("empty.csv", "--drop-unlabelled")
    assert code == 0
    assert "no label: 1" in shown
    assert len(articles_in("out")) == 59
    assert each_has_its_own_label(articles_in("out"))


def test_a_class_that_is_not_wanted(prepare, tmp_path):
    table = news()
    table.assign(label=table.label.where(table.index % 10 > 0, "satire")).to_csv(tmp_path/"third.csv", index=False)
    code, shown = prepare("third.csv")
    assert code == 2
    assert "'satire' (6 rows)" in shown
    assert "satire=out" in shown
    for labels in ("satire=out", "fake=fake,real=real,satire=out"):
        code, shown = prepare("third.csv", "--labels", labels)
        assert code == 0
        assert "label 'satire': 6" in shown
    assert len(articles_in("out")) == 54


def test_whole_numbers_with_a_gap(prepare, tmp_path):
    table = numbered("real")
    table.assign(label=table.label.where(table.index != 7)).to_json("ints.jsonl", orient="records", lines=True)
    code, shown = prepare("ints.jsonl", "--labels", "0=fake,1=real")
    assert code == 2
    assert "row 8" in shown
    assert "np." not in shown
    assert prepare("ints.jsonl", "--labels", "0=fake,1=real", "--drop-unlabelled")[0] == 0
    assert len(articles_in("out")) == 59


# ---- advice can be followed, and no setting is ignored ---------------------------------------------------------------

def options_of(shown):
    return set(re.findall(r"--[a-z-]+", shown))


@pytest.mark.parametrize("command", [
    ["audit", "news.csv"], ["prepare", "news.csv", "--out", "out"], ["train", "news.csv", *TINY, "--out", "run"],
    ["transfer", "--train", "news.csv", "--out", "matrix"]])
def test_every_command_takes_the_options_that_it_advises(here, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    news(120).rename(columns={"label": "class"}).to_csv("news.csv", index=False)
    code, _, shown = here(*command)
    assert code == 2
    assert "--columns" in shown
    code, _, shown = here(*command, "--columns", "label=class")
    assert code == 0, shown


def test_evaluate_takes_them_too(here, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbered().rename(columns={"text": "body"}).to_csv("news.csv", index=False, encoding="utf-16")
    options = ["--columns", "text=body", "--labels", "1=fake,0=real", "--encoding", "utf-16"]
    code, out, _ = here("evaluate", run_folder, "news.csv", *options)
    assert code == 0
    assert "of 60" in out


@pytest.mark.parametrize("command", [
    ["prepare", "sample", "--columns", "text=body", "--out", "x"],
    ["prepare", "sample", "--dates", "dayfirst", "--out", "x"],
    ["prepare", "sample", "--held-out", "a", "--out", "x"],
    ["prepare", "sample", "--protocol", "published", "--clean", "light", "--out", "x"],
    ["prepare", "sample", "--skip-bad-rows", "--out", "x"],
    ["audit", "PREPARED", "--columns", "text=body"],
    ["audit", "PREPARED", "--held-out", "a"],
    ["audit", "sample", "--held-out", "a"],
    ["train", "PREPARED", "--labels", "1=fake,0=real", "--out", "x"],
    ["evaluate", "RUN", "PREPARED", "--encoding", "latin-1"],
    ["evaluate", "RUN", "sample", "--split", "test"],
    ["transfer", "--train", "sample", "--columns", "text=body", "--out", "x"],
    ["predict", "RUN", "A text.", "--encoding", "latin-1"],
    ["predict", "RUN", "A text.", "--columns", "text=body"],
    ["predict", "RUN", "A text.", "--out", "x.csv"],
])
def test_a_setting_that_would_be_ignored_is_an_error(here, prepared, run_folder, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    places = {"PREPARED": prepared, "RUN": run_folder}
    code, _, shown = here(*[places.get(word, word) for word in command])
    assert code == 2, shown
    assert options_of(shown) & set(command), shown
    assert list(tmp_path.iterdir()) == []


def test_train_notices_that_the_articles_are_read_in_another_way(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbered().to_csv("news.csv", index=False)
    train = ["train", "news.csv", *TINY, "--out", "run", "--overwrite"]
    assert here(*train, "--labels", "1=fake,0=real")[0] == 0
    code, _, shown = here(*train, "--labels", "1=fake,0=real")
    assert code == 0
    assert "reusing" in shown
    for change in (["--labels", "0=fake,1=real"], ["--labels", "1=fake,0=real", "--columns", "text=title,title=none"]):
        code, _, shown = here(*train, *change)
        assert code == 2
        assert "in another way" in shown
    numbered().iloc[:-1].to_csv("news.csv", index=False)
    assert here(*train, "--labels", "1=fake,0=real")[0] == 2


# ---- counts say what they count --------------------------------------------------------------------------------------

def test_rows_without_text_are_counted_as_such(prepare, tmp_path):
    table = news()
    table.loc[:19, ["title", "text"]] = ""
    table.to_csv(tmp_path/"blank.csv", index=False)
    code, shown = prepare("blank.csv")
    assert code == 0
    assert "dropped: 20 without text" in shown
    manifest = json.loads((tmp_path/"out"/"manifest.json").read_text())
    assert manifest["without_text_dropped"] == 20
    assert manifest["duplicates_dropped"] == {"repeated": 0, "labels_disagree": 0}


def test_titles_that_are_addresses(prepare, tmp_path):
    table = news()
    links = table.assign(title=[f"https://t.co/{row}" for row in table.index], text="")
    pd.concat([table, links]).to_csv(tmp_path/"links.csv", index=False)
    code, shown = prepare("links.csv")
    assert code == 0
    assert "dropped: 60 without text" in shown
    assert "both labels" not in shown


def test_an_audit_does_not_take_blank_rows_for_duplicates(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = news(120)
    table.loc[:39, ["title", "text"]] = ""
    table.to_csv("blank.csv", index=False)
    code, out, shown = here("audit", "blank.csv", "--no-levels")
    assert code == 0
    assert "40 without text" in out + shown
    assert "None of the" in out


# ---- finding the row again -------------------------------------------------------------------------------------------

def test_original_title_and_other_columns_stay(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = news(120)
    table["title"] = "WATCH: " + table.title.str.upper()
    table["url"] = [f"https://example.org/{row}" for row in table.index]
    table["author"] = "A. N. Other"
    table.to_csv("news.csv", index=False)
    assert here("prepare", "news.csv", "--out", "out")[0] == 0
    made = articles_in("out")
    assert made.original_title.str.startswith("WATCH: ").all()
    assert not made.title.str.contains("WATCH").any()
    numbers = made.id.str.removeprefix("news-")
    assert (made.url == "https://example.org/" + numbers).all()
    assert here("train", "out", *TINY, "--out", "run")[0] == 0
    predictions = pd.read_parquet("run/predictions/test.parquet")
    assert (predictions.url == "https://example.org/" + predictions.id.str.removeprefix("news-")).all()
    report = Path("run/report.html").read_text()
    wrong = predictions[(predictions.logit_real > predictions.logit_fake) != (predictions.label == REAL)]
    assert len(wrong), "an untrained model errs"
    assert any(url in report for url in wrong.url)
    assert "WATCH: " in report


# ---- predict ---------------------------------------------------------------------------------------------------------

def test_texts_that_begin_with_a_hyphen(here, run_folder):
    code, out, _ = here("predict", run_folder, "The council met.", "-5 degrees were measured", "It rained.")
    assert code == 0
    texts = [line.split("\t")[2] for line in out.splitlines()]
    assert texts == ["The council met.", "-5 degrees were measured", "It rained."]
    assert here("predict", run_folder, "--treshold", ".3", "A text.")[0] == 2


def test_standard_input(here, run_folder, monkeypatch):
    from io import StringIO
    monkeypatch.setattr("sys.stdin", StringIO("The council met\non Monday.\n"))
    code, out, _ = here("predict", run_folder, "-")
    assert code == 0
    assert out.split("\t")[2] == "The council met on Monday.\n"
    monkeypatch.setattr("sys.stdin", StringIO("\n"))
    assert here("predict", run_folder, "-")[0] == 2
