"The audit as a user calls it: exit codes, real findings, and input that is not fit for it."
import json

import pandas as pd
import pytest
from conftest import SHARED

NEEDS = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the folder {SHARED.name} is not there")
ROWS = "title,text,label\n" + "".join(f"Title {i},{word} {i} spoke of item {i * 7} to the council {i % 5}.,{i % 2}\n" for i in range(120) for word in ["Speaker"])


def test_strict_decides_the_exit_code(here, tmp_path):
    code, out, error = here("audit", "sample", "--no-levels", "--strict", "--out", tmp_path/"a.html", "--out", tmp_path/"a.json")
    assert code == 1 and "northwire" in out and "What to do" in out and "a.html" in error
    found = json.loads((tmp_path/"a.json").read_text())
    assert not found["passed"] and len(found["verdict"]) == 3 and found["shortcuts"][0]["verdict"] == "giveaway"
    assert here("audit", "sample", "--no-levels")[0] == 0, "without --strict a finding is no failure"
    assert here("audit", "sample", "--no-levels", "--strict", "--clean", "standard", "--split", "grouped")[0] == 0
    assert here("audit", "sample", "--no-levels", "--out", tmp_path/"a.txt")[0] == 2


@pytest.mark.parametrize("name, content, code, words", [
    ("corrupted", b"title,text,label\n\x00\xff\xfe,1\n", 2, ["a.csv"]),
    ("empty", b"", 2, ["empty", "a.csv"]),
    ("no rows", b"title,text,label\n", 2, ["no rows", "a.csv"]),
    ("one class", ROWS.replace(",0\n", ",1\n").encode(), 2, ["0 fake articles", "a.csv"]),
    ("five rows", "\n".join(ROWS.splitlines()[:6]).encode(), 2, ["at least 7", "a.csv"]),
    ("all copies", ("title,text,label\n" + "".join(f"A,The same body.,{i % 2}\n" for i in range(100))).encode(), 0, ["repeat a training article", "100.0 %"]),
    ("no words", ("title,text,label\n" + "".join(f"?,,{i % 2}\n" for i in range(100))).encode(), 0, ["No single feature"]),
    ("nothing wrong", ROWS.encode(), 0, ["No single feature"]),
])
def test_unfit_input(here, tmp_path, name, content, code, words):
    (tmp_path/"a.csv").write_bytes(content)
    found, out, error = here("audit", tmp_path/"a.csv", "--no-levels", "--out", tmp_path/"a.html")
    assert found == code and "Traceback" not in out + error, (out, error)
    for word in words: assert word in out + error, (word, out, error)
    assert (tmp_path/"a.html").exists() == (code == 0)


def test_copies_of_one_text_cannot_be_split_by_group(here, tmp_path):
    (tmp_path/"a.csv").write_text("title,text,label\n" + "".join(f"A,The same body.,{i % 2}\n" for i in range(100)))
    code, _, error = here("audit", tmp_path/"a.csv", "--split", "grouped")
    assert code == 2 and "that differ" in error


@NEEDS
def test_isot_raw_and_cleaned():
    from fakenews_nb.audit import run_audit
    raw = run_audit(SHARED/"isot", levels=False)
    for where, what in (("text", "reuters"), ("text", "right single quotation mark"), ("text", "left double quotation mark"), ("text", "featured image"), ("text", "pic twitter"),
                        ("title", "starts with a blank"), ("date", "ends with a blank"), ("subject", "subject")):
        named = raw.giveaways[raw.giveaways["where"] == where]
        assert (named.what + "; " + named["also"]).str.contains(what, regex=False).any(), what
    cleaned = run_audit(SHARED/"isot", clean="standard", levels=False)
    assert not cleaned.giveaways["where"].isin(["title", "text"]).any() and set(cleaned.giveaways["where"]) == {"subject", "date"}


@NEEDS
def test_title_index_published_and_grouped():
    from fakenews_nb.audit import find_duplicates
    from fakenews_nb.data import load_articles
    from fakenews_nb.splits import split_grouped, split_stratified
    titles = load_articles("isot", SHARED/"isot_titles")
    published, grouped = split_stratified(titles), split_grouped(titles)
    counts, _ = find_duplicates(published["train"], published["test"])
    assert (counts["test articles that are copies of training articles"], counts["test articles that are near-copies of training articles"]) == (1211, 4)
    assert not len(find_duplicates(grouped["train"], pd.concat([grouped["validation"], grouped["test"]], ignore_index=True))[1])
    assert [len(part) for part in grouped.values()] == [31429, 6734, 6735]


@NEEDS
@pytest.mark.parametrize("name, rows, real", [("liar", 12836, 7167), ("covid_constraint2021", 10700, 5600), ("fakenewsamt", 480, 240), ("horne2017", 251, 128)])
def test_real_corpora(name, rows, real):
    from fakenews_nb.data import load_articles
    articles = load_articles(name, SHARED)
    assert len(articles) == rows and articles.label.sum() == real and articles.published_label.notna().all()


@NEEDS
def test_no_real_covid_tweet_holds_a_comma():
    "The audit found this; the corpus's card and the audit's chapter say it."
    from fakenews_nb.audit import run_audit
    from fakenews_nb.data import load_articles
    commas = load_articles("covid_constraint2021", SHARED).pipe(lambda tweets: tweets.text.str.contains(",", regex=False).groupby(tweets.label).sum())
    assert commas.to_dict() == {0: 922, 1: 0}
    assert run_audit("covid_constraint2021", SHARED, levels=False).giveaways.what.tolist() == [", (comma)"]
