"Table files as people have them are read rightly, or refused in words that help; broken rows never turn into articles."
import csv
import gzip
import io
import json
import os
import re
import sys
import zipfile

import pandas as pd
import pytest
from conftest import SHARED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakenews_nb.core import DataError
from fakenews_nb.tables import (
    _READABLE,
    _READERS,
    _is_table_name,
    _list_names,
    _looks_headerless,
    _short_name,
    read_table,
    write_table,
)

ROWS = [["Rain, at last", 'It "rained", and\nrained.', "real"], ["Aliens; landed", "They did, he said.", "fake"]]
NAMES = ["title", "text", "label"]


def delimited(rows, separator=",", ends="\n"):
    "The text of a well-formed CSV file."
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=ends).writerows(rows)
    return out.getvalue()


def read(folder, name, content, **options):
    "Write a file and read it."
    path = folder/name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


def refused(folder, name, content, *words, **options):
    "The file is refused with a message that holds all of these words and is no longer than a few lines."
    with pytest.raises(DataError) as error: read(folder, name, content, **options)
    message = str(error.value)
    for word in words: assert word in message, (word, message)
    assert len(message) < 1200, message
    assert "what to do" in message
    return message


def cells(table): return table.to_numpy(dtype=object).tolist()


def notes(table): return " | ".join(table.attrs["notes"])


# ---- formats ---------------------------------------------------------------------------------------------------------

def zipped(**files):
    "A zip archive with these files; two underscores stand for a dot."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items(): archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


OBJECTS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
CSV = delimited([NAMES, *ROWS])
JSONL = "\n".join(map(json.dumps, OBJECTS))
CONTENTS = {
    ".csv": CSV.encode(),
    ".tsv": delimited([NAMES, *ROWS], "\t").encode(),
    ".jsonl": JSONL.encode(),
    ".json": json.dumps(OBJECTS, indent=2).encode(),
    ".csv.gz": gzip.compress(CSV.encode()),
    ".tsv.gz": gzip.compress(delimited([NAMES, *ROWS], "\t").encode()),
    ".jsonl.gz": gzip.compress(JSONL.encode()),
    ".json.gz": gzip.compress(json.dumps(OBJECTS).encode()),
    ".zip": zipped(news__csv=CSV),
}


def content_of(ending, folder):
    "A table file with this ending."
    if ending in CONTENTS: return CONTENTS[ending]
    table, path = pd.DataFrame(ROWS, columns=NAMES), folder/f"made{ending}"
    if ending == ".xlsx": table.to_excel(path, index=False)
    else: table.to_parquet(path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", _READABLE)
def test_every_format_gives_the_same_table(tmp_path, ending):
    for name in (f"news{ending}", f"NEWS{ending.upper()}"):
        table = read(tmp_path, name, content_of(ending, tmp_path))
        assert list(table) == NAMES
        assert cells(table) == ROWS
        assert table.attrs["notes"] == []
        assert _is_table_name(name)


def test_names_of_tables():
    assert set(_READERS) < set(_READABLE)
    for name in ("news.txt", "news.gz", "news.parquet.gz", ".csv", "csv", "news", "news.csv.bak"):
        assert not _is_table_name(name), name


def test_archives(tmp_path):
    mac = {"data/news__csv": CSV, "__MACOSX/data/._news__csv": "x", "data/.hidden__csv": "x", "readme__txt": "x"}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in mac.items(): archive.writestr(re.sub("(?<!^)__", ".", name), content)
    assert cells(read(tmp_path, "mac.zip", out.getvalue())) == ROWS
    assert cells(read(tmp_path, "twice.zip", zipped(news__csv__gz=gzip.compress(CSV.encode())))) == ROWS
    refused(tmp_path, "two.zip", zipped(Fake__csv=CSV, True__csv=CSV), "2 tables", "Fake.csv, True.csv", "unpack")
    refused(tmp_path, "none.zip", zipped(readme__txt="x"), "no table", "readme.txt")
    refused(tmp_path, "empty.zip", zipped(), "no table", "nothing")
    refused(tmp_path, "page.zip", zipped(news__csv="<html></html>"), "page.zip (news.csv)", "a web page")
    for name, raw in [("cut.zip", CONTENTS[".zip"][:-30]), ("cut.csv.gz", CONTENTS[".csv.gz"][:-12])]:
        refused(tmp_path, name, raw, "not readable as", name)
    damaged = bytearray(CONTENTS[".csv.gz"])
    damaged[20] ^= 255
    refused(tmp_path, "damaged.csv.gz", bytes(damaged), "not readable as gzip")


@pytest.mark.parametrize("ending", [".parquet", ".xlsx"])
def test_damaged_binary_files(tmp_path, ending):
    whole = content_of(ending, tmp_path)
    for size in (4, len(whole)//2, len(whole) - 1):
        refused(tmp_path, f"cut{ending}", whole[:size], "not readable as", f"cut{ending}")


def test_settings_that_mean_nothing_are_refused(tmp_path):
    for ending in (".parquet", ".xlsx"):
        raw = content_of(ending, tmp_path)
        refused(tmp_path, f"a{ending}", raw, "--encoding means nothing", encoding="latin-1")
        refused(tmp_path, f"a{ending}", raw, "--quotes means nothing", quotes="none")
        refused(tmp_path, f"a{ending}", raw, "--skip-bad-rows means nothing", skip_bad_rows=True)
        assert len(read(tmp_path, f"a{ending}", raw, encoding="utf-8")) == len(ROWS)
    refused(tmp_path, "a.json", CONTENTS[".json"], "--skip-bad-rows means nothing", "array", skip_bad_rows=True)
    refused(tmp_path, "a.jsonl", JSONL, "--quotes means nothing", quotes="none")
    refused(tmp_path, "a.csv", CSV, "double or none", quotes="single")


# ---- not what the name says ------------------------------------------------------------------------------------------

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 62789876\n"
STRANGERS = [
    ("news.csv", LFS, "Git LFS pointer", "git lfs pull"),
    ("news.parquet", LFS, "Git LFS pointer", "git lfs pull"),
    ("news.xlsx", LFS, "Git LFS pointer", "git lfs pull"),
    ("news.csv.gz", LFS, "Git LFS pointer", "git lfs pull"),
    ("news.csv", "\ufeff\n\n  <!DOCTYPE html>\n<p>Sign in", "a web page", "download"),
    ("news.jsonl", "<HTML lang=en>", "a web page", "download"),
    ("news.parquet", "<html>", "a web page", "download"),
    ("news.csv", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file", "save"),
    ("news.csv", CONTENTS[".csv.gz"], "a gzip file", ".csv.gz"),
    ("news.tsv", CONTENTS[".zip"], "a zip archive", ".zip"),
    ("news.xlsx", CSV, "text", ".csv"),
    ("news.parquet", CSV, "text", ".csv"),
    ("news.zip", CSV, "text", ".csv"),
    ("news.jsonl.gz", JSONL, "text", ".jsonl"),
    ("news.csv", b"%PDF-1.7\n", "a PDF document", ".csv"),
    ("news.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old Excel", ".xlsx"),
    ("news.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "password", ".csv"),
    ("news.parquet", b"\x80\x04\x95" + bytes(90), "pickle", ".parquet"),
    ("news.csv", JSONL, "JSON", ".jsonl"),
    ("news.tsv", CONTENTS[".json"], "JSON", ".json"),
]


@pytest.mark.parametrize("name, content, kind, fix", STRANGERS)
def test_a_file_is_called_what_it_is(tmp_path, name, content, kind, fix):
    refused(tmp_path, name, content, kind, fix, name)


def test_binary_tables_under_another_name(tmp_path):
    parquet, workbook = content_of(".parquet", tmp_path), content_of(".xlsx", tmp_path)
    for name in ("news.csv", "news.jsonl", "news.xlsx"):
        refused(tmp_path, name, parquet, "a Parquet file", "ends in .parquet")
    for name in ("news.csv", "news.json", "news.parquet", "news.zip"):
        refused(tmp_path, name, workbook, "an Excel workbook", "ends in .xlsx")


def test_an_empty_file_is_called_empty_in_every_format(tmp_path):
    for ending in _READABLE: refused(tmp_path, f"none{ending}", b"", "the file is empty")
    refused(tmp_path, "none.csv.gz", gzip.compress(b""), "the file is empty")
    for ending in (".csv", ".jsonl", ".json"): refused(tmp_path, f"blank{ending}", " \n\n", "the file is empty")
    refused(tmp_path, "header.csv", "title,text\n", "no rows")
    refused(tmp_path, "array.json", "[]", "no rows")


@pytest.mark.parametrize("suffix", [".xls", ".txt", ".ods", ".pkl", ".ndjson", ".gz", ".doc", ""])
def test_other_formats(tmp_path, suffix):
    refused(tmp_path, f"news{suffix}", "x", "no reader", ".csv")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    (tmp_path/"news.csv").write_text(CSV)
    (tmp_path/"news.csv").chmod(0)
    with pytest.raises(DataError, match="cannot be read"): read_table(tmp_path/"news.csv")


# ---- separators, names, headers --------------------------------------------------------------------------------------

@pytest.mark.parametrize("separator, shown", [(",", ""), (";", "';'"), ("\t", "tabs"), ("|", "'|'")])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_separators(tmp_path, separator, shown, suffix):
    table = read(tmp_path, f"news{suffix}", delimited([NAMES, *ROWS*9], separator))
    assert cells(table) == ROWS*9
    own = {".csv": ",", ".tsv": "\t"}[suffix]
    expected = [f"the cells are separated by {shown or repr(separator)}"] if separator != own else []
    assert table.attrs["notes"] == expected


def test_separators_that_are_none(tmp_path):
    commas = "title;text\n" + "Rain;Wet, cold, long, and dark\n"*3
    assert list(read(tmp_path, "a.csv", commas)) == ["title", "text"]
    assert list(read(tmp_path, "b.csv", '"title; as published",text\nRain,Wet\n')) == ["title; as published", "text"]
    assert cells(read(tmp_path, "c.csv", "text\nRain\nSun; moon\n")) == [["Rain"], ["Sun; moon"]]
    assert cells(read(tmp_path, "d.tsv", "text, as published\nRain\nSun, moon\n")) == [["Rain"], ["Sun, moon"]]
    assert list(read(tmp_path, "e.csv", "sep=;\ntitle;text,long\nRain;Wet\n")) == ["title", "text,long"]
    excel = read(tmp_path, "f.csv", ("\ufeffsep=\t\r\ntitle\ttext\r\nRain\tWet\r\n").encode("utf-16-le"),
        encoding="utf-16-le")
    assert cells(excel) == [["Rain", "Wet"]]


def test_names_of_columns(tmp_path):
    table = read(tmp_path, "a.csv", "\ufeff,Unnamed: 0, title ,text,,\n0,0,Rain,Wet,,\n1,1,Sun,Dry,,\n")
    assert list(table) == ["title", "text"]
    assert notes(table) == "2 columns without a name ignored"
    refused(tmp_path, "b.csv", "title,title ,text\na,b,c\n", "same name: title", "rename")
    refused(tmp_path, "c.csv", '"a","b, c",,\n1,2,3\n', "3 cells, the header has 4")
    refused(tmp_path, "d.csv", "Rain,Rain,0\nSun,Moon,1\n", "no header line", "title,text,label")
    article = "It rained in the night, and all were glad. "*400
    message = refused(tmp_path, "e.csv", delimited([[article, article, "1"]]*2), "no header line")
    assert len(message) < 300


def test_lists_of_names_are_short():
    assert len(_short_name("word "*10_000)) <= 40
    assert _list_names([]) == ""
    assert len(_list_names(["word "*100]*1000)) < 1000
    assert _list_names(map(str, range(1000))).endswith(" and 980 more")


def test_headers_and_articles_are_told_apart():
    for row in (["Rain", "It rained all night, and all were glad of it.", "0"], ["1", "2", "title of it"], ["a", "a"],
        ["2635.json", "false", "Says the group supports it."], ["x"*200, "y"]): assert _looks_headerless(row), row
    for row in (NAMES, ["headline", "body", "class"], ["text"], ["id", "statement", "", "speaker"], ["title", "fake"],
        ["Unnamed: 0", "tweet", "target"], ["2016", "headline", "body"]): assert not _looks_headerless(row), row


# ---- text ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path, encoding):
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    for name, content in [("a.csv", "title,text\nCafé,Fünf\n"), ("a.jsonl", '{"title": "Café", "text": "Fünf"}')]:
        table = read(tmp_path, name, (mark + content).encode(encoding), encoding=encoding)
        assert list(table) == ["title", "text"]
        assert cells(table) == [["Café", "Fünf"]]


def test_texts_that_are_none(tmp_path):
    refused(tmp_path, "a.csv", CSV.encode("utf-16"), "UTF-16", "--encoding")
    refused(tmp_path, "a.jsonl", JSONL.encode("utf-16"), "UTF-16", "--encoding")
    refused(tmp_path, "a.csv", "Title\n\nCaf\xe9".encode("latin-1"), "0xe9", "line 3", "--encoding")
    refused(tmp_path, "a.csv", CSV.encode("utf-16-le"), "NUL", "UTF-16")
    refused(tmp_path, "a.csv", "title\n\0\n", "NUL", "line 2")
    refused(tmp_path, "a.csv", CSV.encode("utf-8-sig"), "byte order mark", encoding="latin-1")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(tmp_path, ends, last):
    for name, content in [("a.csv", f"title,text{ends}Rain,Wet{ends}{ends}Sun,Dry{ends}"),
        ("a.jsonl", f'{{"title": "Rain", "text": "Wet"}}{ends}{{"title": "Sun", "text": "Dry"}}{ends}')]:
        table = read(tmp_path, name, content if last else content.removesuffix(ends))
        assert cells(table) == [["Rain", "Wet"], ["Sun", "Dry"]]


def test_cells_of_several_megabytes(tmp_path):
    article = 'It "rained", and\nrained. '*200_000
    for skip in (False, True):
        table = read(tmp_path, "a.csv", delimited([NAMES, ["Rain", article, "real"]]), skip_bad_rows=skip)
        assert table.text[0] == article
    assert read(tmp_path, "a.jsonl", json.dumps({"text": article})).text[0] == article


# ---- JSON, Parquet, Excel --------------------------------------------------------------------------------------------

def test_json_of_the_other_form(tmp_path):
    for name, content, note in [("a.jsonl", json.dumps(OBJECTS, indent=1), "array"), ("a.json", JSONL, "JSON Lines")]:
        for mark in ("", "\ufeff", "\n "):
            table = read(tmp_path, name, mark + content)
            assert cells(table) == ROWS
            assert note in notes(table)
    by_column = pd.DataFrame(OBJECTS).to_json()
    refused(tmp_path, "b.json", by_column, "one JSON object", 'orient="records"')
    refused(tmp_path, "b.json", '{"data": [{"title": "a"}]}', "one JSON object")
    refused(tmp_path, "b.json", CONTENTS[".json"][:-20], "not a JSON array", "b.json")
    refused(tmp_path, "b.json", '[{"a": 1, "a": 2}]', "'a' occurs twice")
    refused(tmp_path, "b.jsonl", CSV, "not JSON", "line 1")
    refused(tmp_path, "b.json", "[[1, 2]]", "a JSON object was expected, got list", "element 1")


def test_json_values(tmp_path):
    table = read(tmp_path, "a.jsonl", '{"a": NaN, "b": {"c": [1]}, "id": 1152921504606846977}\n{"b": null, "id": null}')
    assert table.a.isna().all()
    assert table.b[0] == {"c": [1]}
    assert table.id[0] == 1152921504606846977
    assert pd.isna(table.id[1])
    broken = read(tmp_path, "half.jsonl", '{"text": "a \\ud800 b"}')
    broken.text[0].encode()
    assert notes(broken) == "1 half character replaced by �"


@pytest.mark.parametrize("index", [
    pd.Index([7, 7]), pd.Index(["b", "a"]), pd.DatetimeIndex(["2020", "2019"]),
    pd.MultiIndex.from_tuples([("a", 1), ("a", 1)]), pd.RangeIndex(5, 1, -2)])
def test_any_index(tmp_path, index):
    table = pd.DataFrame(ROWS, columns=NAMES).set_axis(index)
    table.to_parquet(tmp_path/"pandas.parquet")
    paths = [tmp_path/"pandas.parquet"]
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        paths.append(tmp_path/f"ours{suffix}")
        write_table(table, paths[-1])
    for path in paths:
        copy = read_table(path)
        assert list(copy) == NAMES
        assert cells(copy) == ROWS
        assert copy.index.equals(pd.RangeIndex(2))


def test_parquet_as_it_comes(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet
    pd.DataFrame(OBJECTS).set_index(["title", "label"]).to_parquet(tmp_path/"index.parquet")
    table = read_table(tmp_path/"index.parquet")
    assert list(table) == ["title", "label", "text"]
    assert table.title.tolist() == [row[0] for row in ROWS]
    parquet.write_table(pa.table([[1], [2]], names=["title", "title"]), tmp_path/"twice.parquet")
    with pytest.raises(DataError, match="same name: title"): read_table(tmp_path/"twice.parquet")
    nested = pa.table({"text": [{"en": "Rain"}], "tags": [["a", "b"]], "id": pa.array([None], pa.int64())})
    parquet.write_table(nested, tmp_path/"nested.parquet")
    assert read_table(tmp_path/"nested.parquet").text[0] == {"en": "Rain"}
    assert list(read_table(tmp_path/"nested.parquet").tags[0]) == ["a", "b"]
    long = pa.table({"id": [1152921504606846977, None]})
    parquet.write_table(long, tmp_path/"long.parquet")
    assert read_table(tmp_path/"long.parquet").id[0] == 1152921504606846977


def test_names_that_hold_separators_come_back(tmp_path):
    for names in (["a;b"], ["a|b;c", "d"], [";"]):
        table = pd.DataFrame([["x;y"]*len(names)]*3, columns=names)
        for suffix in (".csv", ".tsv"):
            write_table(table, tmp_path/f"a{suffix}")
            assert list(read_table(tmp_path/f"a{suffix}")) == names


def test_notes_are_not_stored(tmp_path):
    table = read(tmp_path, "a.csv", "title;text\nRain;Wet\n")
    assert table.attrs["notes"]
    write_table(table, tmp_path/"a.parquet")
    assert read_table(tmp_path/"a.parquet").attrs["notes"] == []


def workbook(path, **sheets):
    "An Excel file whose cells are as given."
    with pd.ExcelWriter(path) as book:
        for name, rows in sheets.items(): pd.DataFrame(rows).to_excel(book, sheet_name=name, index=False, header=False)
    return path


def test_excel_as_it_comes(tmp_path):
    header = [None, "title ", "text", "label"]
    rows = [[None]*4, header, [0, "Rain", "NA", 1], [1, 2016, "", 0], [None]*4, [2, "x", "y", 1]]
    table = read_table(workbook(tmp_path/"a.xlsx", articles=rows, notes=[["x"]]))
    assert list(table) == ["title", "text", "label"]
    assert table.title.tolist() == ["Rain", 2016, "x"]
    assert table.text[0] == "NA"
    assert pd.isna(table.text[1])
    assert table.label.tolist() == [1, 0, 1]
    for word in ("2 sheets", "'articles'", "1 column without a name", "1 row without any content"):
        assert word in notes(table), word
    book = workbook(tmp_path/"b.xlsx", cover=[], news=rows)
    with pytest.raises(DataError, match="'cover', is empty"): read_table(book)
    with pytest.raises(DataError, match="same name: a"): read_table(workbook(tmp_path/"c.xlsx", s=[["a", "a"], [1, 2]]))
    cut = read_table(workbook(tmp_path/"d.xlsx", s=[["text"], ["x"*32_767], ["y"]]))
    assert "32,767 characters: 1 cell" in notes(cut)


def test_excel_without_openpyxl(tmp_path, monkeypatch):
    raw = content_of(".xlsx", tmp_path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refused(tmp_path, "a.xlsx", raw, "pip install 'fakenews_nb[excel]'")


# ---- broken rows -----------------------------------------------------------------------------------------------------

def many(n=60):
    "Articles without commas."
    return [NAMES, *([f"story {row}", f"It rained {row} times", "fake" if row % 2 else "real"] for row in range(n))]


def lines_of(rows, separator=","): return delimited(rows, separator).splitlines(keepends=True)


BREAKAGES = {
    "an extra cell": "story 29,It rained,fake,extra\n",
    "a cell too few": "story 29,It rained\n",
    "backslashes": '"He said \\"hi\\" to her",some text,fake\n',
    "an open quote": '"story 29,It rained,fake\n',
    "an open quote in the last cell": 'story 29,It rained,"fake\n',
    "a quote in a quoted cell": '"story "29",It rained,fake\n',
    "several lines": 'story 29,"It rained,\nhe said, and he said,\nshe "said", he said.\nIt rained, long, ago",fake\n',
    "backslashes over several lines": 'story 29,"One, two, three\nHe said \\"hi\\", and, left\nfour, five, six",fake\n',
}


@pytest.mark.parametrize("broken", BREAKAGES.values(), ids=BREAKAGES)
@pytest.mark.parametrize("place", [1, 30, 60])
def test_one_broken_row(tmp_path, broken, place):
    lines = lines_of(many())
    lines[place] = broken
    words = ("--skip-bad-rows", f"row {place} (starts on line {place + 1})")
    message = refused(tmp_path, "news.csv", "".join(lines), *words)
    assert ("--quotes none" in message) == ("broken quotes" in message)
    table = read(tmp_path, "news.csv", "".join(lines), skip_bad_rows=True)
    rows = many()
    assert cells(table) == [*rows[1:place], *rows[place + 1:]]
    assert f"the first is on line {place + 1}: " in notes(table)
    rejected = tmp_path/"news.rejected.csv"
    assert str(rejected) in notes(table)
    assert rejected.read_text() == lines[0] + broken


def test_three_broken_rows_of_many(tmp_path):
    lines = lines_of(many(20_000))
    for place, broken in zip((700, 9_000, 19_000), BREAKAGES.values(), strict=False): lines[place] = broken
    table = read(tmp_path, "news.csv", "".join(lines), skip_bad_rows=True)
    assert len(table) == 19_997
    assert notes(table).startswith("3 of 20,000 rows left out as broken; the first is on line 701: 4 cells")


def test_ordinary_quotation_marks(tmp_path):
    lines = lines_of(many(), "\t")
    lines[20] = '"' + lines[20]
    refused(tmp_path, "news.tsv", "".join(lines), "line 21", "--quotes none", "--skip-bad-rows")
    table = read(tmp_path, "news.tsv", "".join(lines), quotes="none")
    assert len(table) == 60
    assert table.title[19] == '"story 19'
    assert len(read(tmp_path, "news.tsv", "".join(lines), skip_bad_rows=True)) == 59


@pytest.mark.parametrize("separator, suffix", [(",", ".csv"), ("\t", ".tsv"), (";", ".csv")])
def test_rows_swallowed_by_a_cell(tmp_path, separator, suffix):
    "A quotation mark that opens a cell, and one that ends a cell five rows later."
    lines = lines_of(many(), separator)
    lines[20] = '"' + lines[20]
    lines[25] = lines[25].replace(separator, '"' + separator, 1)
    content = "".join(lines)
    refused(tmp_path, f"news{suffix}", content, "row 20 (starts on line 21)", "6 lines in one cell", "--quotes none")
    table = read(tmp_path, f"news{suffix}", content, skip_bad_rows=True)
    rows = many()
    assert cells(table) == [*rows[1:20], *rows[26:]]
    assert len(read(tmp_path, f"news{suffix}", content, quotes="none")) == 60


def test_articles_with_tabs_are_no_swallowed_rows(tmp_path):
    "Each line of the first article has one tab, like a row; nothing else speaks for rows."
    rows = [["title", "text"], ["Rain", "Wet:\tmuch\nDry:\tlittle"], ["Sun", "It shone."], ["Wind", "It blew."]]
    assert cells(read(tmp_path, "news.tsv", delimited([rows[0], ["Rain", "Wet\nDry:\tno"], *rows[2:]], "\t"))) == [
        ["Rain", "Wet\nDry:\tno"], *rows[2:]]
    assert cells(read(tmp_path, "news.tsv", delimited(rows, "\t"))) == rows[1:]


def test_no_row_is_good(tmp_path):
    words = ("no row can be read, of 2 rows", "line 2: 1 cell")
    refused(tmp_path, "news.csv", "title,text\na\nb\n", *words, skip_bad_rows=True)
    assert not (tmp_path/"news.rejected.csv").exists()


def test_broken_lines_of_json(tmp_path):
    lines = [json.dumps(row) + "\n" for row in OBJECTS]
    content = lines[0] + '{"title": \n[1]\n' + lines[1]
    refused(tmp_path, "news.jsonl", content, "line 2", "--skip-bad-rows")
    table = read(tmp_path, "news.jsonl.gz", gzip.compress(content.encode()), skip_bad_rows=True)
    assert cells(table) == ROWS
    assert notes(table).startswith("2 of 4 rows left out as broken; the first is on line 2: not JSON")
    assert (tmp_path/"news.rejected.jsonl").read_text() == '{"title": \n[1]\n'


def test_the_file_of_broken_rows(tmp_path):
    content = delimited([NAMES, *ROWS]) + "a,b\n"
    read(tmp_path, "news.zip", zipped(inner__csv=content), skip_bad_rows=True)
    read(tmp_path, "old.csv", content.encode("utf-16"), skip_bad_rows=True, encoding="utf-16")
    assert (tmp_path/"news.rejected.csv").read_text() == "title,text,label\na,b\n"
    assert (tmp_path/"old.rejected.csv").read_text("utf-16") == "title,text,label\na,b\n"
    read(tmp_path, "news.csv", content, skip_bad_rows=True)
    assert not (tmp_path/"news.rejected2.csv").exists(), "the same lines"
    (tmp_path/"news.rejected.csv").write_text("title,text,label\na,b,mended\n")
    assert "news.rejected2.csv" in notes(read(tmp_path, "news.csv", content, skip_bad_rows=True))
    assert "mended" in (tmp_path/"news.rejected.csv").read_text()


def test_a_place_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(path): raise OSError(30, "Read-only file system")
    monkeypatch.setattr("fakenews_nb.tables.new_file", refuse)
    table = read(tmp_path, "news.csv", delimited([NAMES, *ROWS]) + "a,b\n", skip_bad_rows=True)
    assert cells(table) == ROWS
    assert "the lines left out are not kept" in notes(table)


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_liar_has_ordinary_quotation_marks(tmp_path, name):
    path = SHARED/"external"/"liar"/f"{name}.tsv"
    if not path.exists(): pytest.skip("no real data")
    raw = path.read_bytes()
    columns = [f"column {place}" for place in range(14)]
    content = "\t".join(columns).encode() + b"\n" + raw
    refused(tmp_path, "news.tsv", content, "broken quotes", "--quotes none")
    expected = raw.decode().splitlines()
    assert len(read(tmp_path, "news.tsv", content, quotes="none")) == len(expected)
    table = read(tmp_path, "news.tsv", content, skip_bad_rows=True)
    ids = {line.split("\t")[0] for line in expected}
    assert set(table["column 0"]) <= ids
    assert not table["column 2"].str.contains("\n").any()


# ---- no garbage: rows that are accepted are rows of the file ---------------------------------------------------------

SEPARATORS = st.sampled_from([",", ";", "\t", "|"])
PIECES = [
    "he said", " and left", "\n", "\n\n", ", ", ",", ";", "\t", '"', ' "no" ', "|", "end.", "two, three\nfour, five"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
QUICK = settings(max_examples=200, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@st.composite
def tables(draw):
    "A header and rows; each cell but the label starts with a mark of its own."
    n_rows, n_texts = draw(st.integers(2, 14)), draw(st.integers(1, 3))
    rows = [[f"column {place}" for place in range(n_texts)] + ["label"]]
    for row in range(n_rows):
        marked = []
        for place in range(n_texts):
            before = draw(st.sampled_from(["", "\n", ", "]))
            marked.append(f"{before}<{row}.{place}>{draw(TEXTS)}")
        rows.append(marked + ["fake" if row % 2 else "real"])
    return rows


ROWS_IN_A_CELL = "look like rows of their own" # a cell whose lines are rows is refused, although it may be meant so


@QUICK
@given(rows=tables(), separator=SEPARATORS, ends=st.sampled_from(["\n", "\r\n"]), skip=st.booleans())
def test_well_formed_files_are_read_whole(tmp_path, rows, separator, ends, skip):
    try: table = read(tmp_path, "a.csv", f"sep={separator}\n" + delimited(rows, separator, ends), skip_bad_rows=skip)
    except DataError as error:
        assert ROWS_IN_A_CELL in str(error)
        return
    if ROWS_IN_A_CELL in notes(table): return
    assert cells(table) == rows[1:]
    assert not re.search("left out", notes(table))


def marks(cell): return re.findall(r"<(\d+)\.(\d+)>", cell)


def is_part_of(row, number):
    "No cell holds anything of another row or of another column: the damaged row itself, or what is left of it."
    allowed = [{(str(number), str(place))} for place in range(len(row))]
    return all(set(marks(cell)) <= own for cell, own in zip(row, allowed, strict=True))


@st.composite
def faults(draw):
    "A well-formed file of which one row was damaged: the text, the good rows, the damaged row, and the separator."
    rows, separator = draw(tables()), draw(SEPARATORS)
    number = draw(st.integers(1, len(rows) - 1))
    before, row, after = (delimited(part, separator) for part in (rows[:number], [rows[number]], rows[number + 1:]))
    spans = [range(match.start() + 1, match.end()) for match in re.finditer(r"<\d+\.\d+>", row)]
    inside = set().union(*spans) # the marks themselves stay whole
    start = draw(st.sampled_from([place for place in range(spans[0].stop, len(row)) if place not in inside]))
    without_mark = '"' + row
    places = [place for place, char in enumerate(row) if char == '"']
    if places:
        place = draw(st.sampled_from(places))
        without_mark = row[:place] + row[place + 1:]
    inserted = [row[:start] + mark + row[start:] for mark in ('"', '\\"', separator, "\n")]
    damaged = draw(st.sampled_from([without_mark, *inserted, row[:start] + "\n"]))
    return before + damaged + after, rows, number, separator


@QUICK
@given(fault=faults())
def test_a_damaged_file_of_labelled_articles_gives_no_garbage(tmp_path, fault):
    content, rows, number, separator = fault
    try: table = read(tmp_path, "a.csv", f"sep={separator}\n" + content, skip_bad_rows=True)
    except DataError: return
    good = [row for place, row in enumerate(rows) if place not in (0, number)]
    strange = [row for row in cells(table) if row not in good]
    for row in strange: assert is_part_of(row, number - 1), (row, content)
    read_good = [row for row in cells(table) if row in good]
    assert read_good == [row for row in good if row in read_good], "in the order of the file"
    kept = (tmp_path/"a.rejected.csv").read_text() if "left out as broken" in notes(table) else ""
    for path in tmp_path.glob("a.rejected*"): path.unlink()
    for row in good:
        if row not in read_good: assert f"<{marks(row[0])[0][0]}.0>" in kept, "it is kept and counted"


@QUICK
@given(raw=st.one_of(st.binary(max_size=60), st.text(alphabet='a,;"\n\r\t|\\{}[]:1 ', max_size=60).map(str.encode)),
    ending=st.sampled_from(_READABLE), skip=st.booleans())
def test_any_bytes_give_a_table_or_a_message(tmp_path, raw, ending, skip):
    if ending.endswith("gz"): raw = gzip.compress(raw)
    try: table = read(tmp_path, f"a{ending}", raw, skip_bad_rows=skip)
    except DataError as error: assert str(error)
    else: assert len(table)


NAME_OF_COLUMN = st.text(alphabet="ab;|,\t \"'", min_size=1, max_size=6).filter(str.strip)
NAMES_OF_COLUMNS = st.lists(NAME_OF_COLUMN, min_size=1, max_size=4, unique_by=str.strip)


@QUICK
@given(names=NAMES_OF_COLUMNS, data=st.data(), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_what_we_write_we_read(tmp_path, names, data, suffix):
    row = st.lists(st.text(alphabet="ab;|,\t\n\r \"'é", max_size=8).map(lambda cell: "x" + cell),
        min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, min_size=3, max_size=5))
    write_table(pd.DataFrame(rows, columns=names), tmp_path/f"a{suffix}")
    try: table = read_table(tmp_path/f"a{suffix}")
    except DataError as error:
        assert ROWS_IN_A_CELL in str(error)
        return
    assert list(table) == [name.strip() for name in names]
    assert cells(table) == rows
