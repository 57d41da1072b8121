"Bad input ends in one readable message and exit code 2; no file is left half-written or overwritten."
import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import typer
from conftest import COMMAND

from fakenews_nb.cli import _guarded

HEADER = "title,text,label\n"
LABELS = ("fake", "real")
GOOD = HEADER + "".join(f"Title {i},Body number {i} of the council.,{LABELS[i % 2]}\n" for i in range(40))
ONE_BODY = HEADER + "".join(f"A,The same body.,{LABELS[i % 2]}\n" for i in range(100))


def refused(result, *words):
    "The command ended with code 2 and a message that holds all of these words."
    code, out, error = result
    assert code == 2, (code, out, error)
    assert "Traceback" not in error, error
    assert re.search(r"(^|[\n\r]|\x1b\[A)error: ", error), error
    for word in words: assert word in error, (word, error)


def files(folder):
    "Every file below a folder with its bytes."
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name, content, words", [
    ("columns", "headline,label\na,1\n", ["missing columns", "title", "headline", "bad.csv"]),
    ("no label", "title,text\na,b\n", ["missing columns", "label", "bad.csv"]),
    ("broken quote", GOOD + '"never closed,b,real\n', ["broken quotes", "row 41", "line 42", "bad.csv"]),
    ("quote inside", GOOD + '"a"b,c,real\n', ["broken quotes", "row 41", "bad.csv"]),
    ("short row", GOOD + "a,real\n", ["2 cells", "3", "row 41", "bad.csv"]),
    ("latin-1", (GOOD + "Caf\u00e9,b,real\n").encode("latin-1"), ["0xe9", "line 42", "--encoding", "bad.csv"]),
    ("utf-16", GOOD.encode("utf-16"), ["UTF-16", "--encoding", "bad.csv"]),
    ("utf-16 without mark", GOOD.encode("utf-16-le"), ["NUL", "line 1", "UTF-16", "bad.csv"]),
    ("nul", GOOD + "a\0b,c,real\n", ["NUL", "line 42", "bad.csv"]),
    ("empty file", "", ["empty", "bad.csv"]),
    ("zero rows", "title,text,label\n", ["no rows", "bad.csv"]),
    ("one class", GOOD.replace(",fake\n", ",real\n"), ["0 fake articles", "bad.csv"]),
    ("duplicates with both labels", ONE_BODY, ["0 fake articles", "100 with both labels", "bad.csv"]),
    ("label outside the mapping", GOOD + "a,b,satire\n", ["'satire'", "row 41", "'label'", "--labels", "bad.csv"]),
    ("ids twice", "id," + GOOD.replace("\n", "\nsame,").removesuffix("same,"), ["same", "more than one row"]),
])
def test_bad_csv(here, tmp_path, name, content, words):
    (tmp_path/"bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = files(tmp_path)
    refused(here("prepare", tmp_path/"bad.csv", "--out", tmp_path/"out"), *words)
    assert files(tmp_path) == before
    assert not (tmp_path/"out").exists()


def test_the_good_file_is_accepted_and_a_bom_is_harmless(here, tmp_path):
    (tmp_path/"good.csv").write_text(GOOD, encoding="utf-8-sig")
    assert here("prepare", tmp_path/"good.csv", "--out", tmp_path/"out")[0] == 0
    assert len(pd.read_parquet(tmp_path/"out"/"train.parquet")) == 28


def test_stated_encodings(here, tmp_path):
    for encoding in ("latin-1", "utf-16"):
        (tmp_path/"other.csv").write_bytes((GOOD + "Caf\u00e9,b,real\n").encode(encoding))
        assert here("prepare", tmp_path/"other.csv", "--encoding", encoding, "--out", tmp_path/encoding)[0] == 0
        titles = pd.concat([pd.read_parquet(file) for file in (tmp_path/encoding).glob("*.parquet")]).title
        assert "caf\u00e9" in set(titles), "cleaning lower-cases titles"


def test_missing_file_and_folder(here, tmp_path):
    refused(here("prepare", tmp_path/"no.csv", "--out", tmp_path/"out"), "does not exist", "no.csv")
    out = ("--out", tmp_path/"out")
    refused(here("prepare", "isot", "--path", tmp_path/"no", *out), "does not exist", str(tmp_path/"no"))
    refused(here("prepare", "isot", "--path", tmp_path, *out), "no True.csv and Fake.csv", str(tmp_path))
    refused(here("train", tmp_path/"no", *out), "no corpus", "sample")
    refused(here("train", tmp_path, *out), "not a prepared folder", "fakenews prepare")
    refused(here("predict", tmp_path/"no", "text"), "no such model folder", str(tmp_path/"no"))
    refused(here("errors", tmp_path/"no"), "not a run folder", "fakenews train")
    assert list(tmp_path.iterdir()) == []


def test_bad_options(here, prepared, tmp_path):
    out = ("--out", tmp_path/"out")
    refused(here("prepare", "sample", "--columns", "title", *out), "is not a pair", "--columns")
    refused(here("prepare", "sample", "--labels", "a=maybe", *out), "neither fake nor real", "--labels")
    refused(here("train", prepared, "--recipe", "slow", *out), "no recipe", "published")
    assert here("train", prepared, "--epochs", "0", *out)[0] == 2
    refused(here("predict", tmp_path), "texts or a file")


def test_hub_unreachable(here, prepared, tmp_path):
    result = here("train", prepared, "--out", tmp_path/"out")
    refused(result, "huawei-noah/TinyBERT_General_4L_312D", "--model FOLDER", "Kaggle", "--model tiny")
    assert list(tmp_path.iterdir()) == []


def test_article_of_ten_megabytes(here, run_folder, tmp_path):
    huge = "The council met on Monday. "*400_000
    pd.DataFrame({"text": ["The council met.", huge]}).to_parquet(tmp_path/"in.parquet")
    code, _, error = here("predict", run_folder, "--file", tmp_path/"in.parquet", "--out", tmp_path/"out.parquet")
    assert code == 0
    assert "1 of 2 texts have more than 128 tokens" in error
    assert len(huge) > 10_000_000
    assert len(pd.read_parquet(tmp_path/"out.parquet")) == 2


@pytest.mark.parametrize("text", ["12345 !!! ...", "\U0001f600\U0001f602\U0001f30d", " "])
def test_no_letters(here, run_folder, tmp_path, text):
    refused(here("predict", run_folder, text), "the text has no letters")
    pd.DataFrame({"text": ["The council met.", text]}).to_json(tmp_path/"in.jsonl", orient="records", lines=True)
    code, _, error = here("predict", run_folder, "--file", tmp_path/"in.jsonl", "--out", tmp_path/"out.csv")
    assert code == 0
    assert "1 of 2 texts have no letters (the first is text 2)" in error
    notes = pd.read_csv(tmp_path/"out.csv", keep_default_na=False).predicted_note
    assert notes.tolist() == ["", "no letters: the verdict has no meaning"]


def test_changed_and_missing_splits(here, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path/"data")
    whole = (tmp_path/"data"/"train.parquet").read_bytes()
    (tmp_path/"data"/"train.parquet").write_bytes(whole[:-1] + b"x")
    train = ("train", tmp_path/"data", "--model", "tiny", "--out", tmp_path/"out")
    refused(here(*train), "changed", "train.parquet", "prepare")
    (tmp_path/"data"/"train.parquet").write_bytes(whole)
    (tmp_path/"data"/"test.parquet").unlink()
    refused(here(*train), "test split is missing", "test.parquet")
    (tmp_path/"data"/"manifest.json").write_text("{")
    refused(here(*train), "not readable as JSON", "manifest.json")
    assert not (tmp_path/"out").exists()


def change_config(folder, **changes):
    "Write other values into a model folder's config.json."
    path = folder/"config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def bad_models(run_folder, tmp_path):
    "Copies of a model folder, each damaged in one way, and the words of the message."
    names = ("pickled", "cut", "head", "encoder")
    folders = {name: shutil.copytree(run_folder/"model", tmp_path/name) for name in names}
    for folder in folders.values(): # as if they came from elsewhere
        for name in ("checksums.json", "text_pipeline.json"): (folder/name).unlink()
    (folders["pickled"]/"model.safetensors").rename(folders["pickled"]/"pytorch_model.bin")
    weights = folders["cut"]/"model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    change_config(folders["head"], id2label={"0": "REAL", "1": "FAKE"}, label2id={"REAL": 0, "FAKE": 1})
    change_config(folders["encoder"], architectures=["BertModel"])
    (tmp_path/"empty").mkdir()
    (tmp_path/"begun").mkdir()
    (tmp_path/"begun"/"run.json").write_text("{}")
    return {
        folders["pickled"]: ["pickle", "not opened"],
        folders["cut"]: ["damaged or cut short", "model.safetensors"],
        folders["head"]: ["wrong head", "REAL"],
        folders["encoder"]: ["wrong head", "BertModel"],
        tmp_path/"empty": ["no config.json"],
        tmp_path/"begun": ["not finished", "--resume"]}


def test_bad_model_folders(here, prepared, bad_models, tmp_path):
    for folder, words in bad_models.items():
        refused(here("predict", folder, "The council met."), *words)
        refused(here("evaluate", folder, prepared), *words)
    for name, word in (("pickled", "pickle"), ("cut", "cut short")):
        refused(here("train", prepared, "--model", tmp_path/name, "--out", tmp_path/"out"), word)
    assert not (tmp_path/"out").exists()


def test_output_that_is_not_ours(here, prepared, run_folder, tmp_path):
    (tmp_path/"thesis").mkdir()
    (tmp_path/"thesis"/"chapter.txt").write_text("mine")
    (tmp_path/"file").write_text("mine")
    pd.DataFrame({"text": ["The council met."]}).to_csv(tmp_path/"in.csv", index=False)
    before = files(tmp_path)
    for more in ([], ["--overwrite"]):
        refused(here("prepare", "sample", "--out", tmp_path/"thesis", *more), "not ours", "thesis")
        refused(here("train", prepared, "--model", "tiny", "--out", tmp_path/"thesis", *more), "not ours", "thesis")
        refused(here("evaluate", run_folder, prepared, "--out", tmp_path/"thesis", *more), "not ours", "thesis")
        refused(here("prepare", "sample", "--out", tmp_path/"file", *more), "a folder was expected", "file")
    onto_itself = here("predict", run_folder, "--file", tmp_path/"in.csv", "--out", tmp_path/"in.csv")
    refused(onto_itself, "the file exists", "in.csv")
    refused(here("demo", "--out", tmp_path/"file"), "file")
    assert files(tmp_path) == before


def test_a_finished_run_is_not_overwritten(here, prepared, run_folder):
    before = files(run_folder)
    refused(here("train", prepared, "--model", "tiny", "--out", run_folder), "already holds a result", "--overwrite")
    assert files(run_folder) == before


def test_an_unfinished_run_is_not_overwritten(here, prepared, run_folder, tmp_path):
    "The message names --resume: --overwrite would throw the work away."
    shutil.copytree(run_folder, tmp_path/"run")
    (tmp_path/"run"/"metrics.json").unlink()
    before = files(tmp_path)
    refused(here("train", prepared, "--model", "tiny", "--out", tmp_path/"run"), "unfinished run", "--resume")
    assert files(tmp_path) == before


def test_two_rules_of_one_name():
    from fakenews_nb import load_articles
    from fakenews_nb.cleaning import Rule, count_rules
    from fakenews_nb.core import DataError
    twice = (Rule("same", "a", "b", "a test"), Rule("same", "c", "d", "a test"))
    with pytest.raises(DataError, match="two cleaning rules have one name: same"):
        count_rules(load_articles("sample"), twice)


def test_a_table_in_place_of_a_file(tmp_path):
    from fakenews_nb import load_articles, prepare, run_audit
    from fakenews_nb.core import DataError
    table = load_articles("sample")
    for use in (load_articles, run_audit, lambda source: prepare(source, tmp_path/"out")):
        with pytest.raises(DataError, match=r"(?s)name of a corpus or a file, got a DataFrame.*to_parquet"): use(table)
    assert not (tmp_path/"out").exists()


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from fakenews_nb.cli import main
main(sys.argv[2:])
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits")
@pytest.mark.parametrize("limit, args", [
    (20_000, ["prepare", "sample", "--out", "OUT"]),
    (200_000, ["train", "DATA", "--model", "tiny", "--epochs", "1", "--max-length", "32", "--out", "OUT"]),
    (20_000, ["evaluate", "RUN", "DATA", "--out", "OUT"]),
    (1_000, ["predict", "RUN", "--file", "IN", "--out", "OUT.csv"]),
])
def test_full_disk(prepared, run_folder, tmp_path, limit, args):
    "The system refuses to write beyond a size, as a full disk does."
    pd.DataFrame({"text": ["The council met."]*100}).to_csv(tmp_path/"in.csv", index=False)
    outputs = {"OUT": tmp_path/"out", "OUT.csv": tmp_path/"out.csv"}
    inputs = {"DATA": prepared, "RUN": run_folder, "IN": tmp_path/"in.csv"}
    names = outputs | inputs
    command = [str(names.get(arg, arg)) for arg in args]
    python = [sys.executable, "-c", FULL, str(limit)]
    done = subprocess.run(python + command, capture_output=True, text=True, timeout=900)
    refused((done.returncode, done.stdout, done.stderr), "could not write", str(tmp_path/"out"))
    for name in ("out.csv", "out/model", "out/manifest.json"): assert not (tmp_path/name).exists()
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("args", [
    ["prepare", "sample", "--out", "OUT"],
    ["train", "DATA", "--model", "tiny", "--epochs", "1", "--max-length", "32", "--out", "OUT"],
    ["evaluate", "RUN", "DATA", "--out", "OUT"],
    ["export", "RUN", "--out", "OUT"],
    ["audit", "DATA", "--out", "OUT.html"],
    ["predict", "RUN", "--file", "IN", "--out", "OUT.csv"],
], ids=lambda args: args[0])
def test_read_only_folder(prepared, run_folder, tmp_path, args):
    "A folder that may not be written to ends in a message that names it."
    pd.DataFrame({"text": ["The council met."]*100}).to_csv(tmp_path/"in.csv", index=False)
    names = {"OUT": "read_only/out", "OUT.csv": "read_only/out.csv", "OUT.html": "read_only/out.html",
        "DATA": prepared, "RUN": run_folder, "IN": "in.csv"}
    command = [str(COMMAND), *(str(names.get(arg, arg)) for arg in args)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None: pytest.skip("root may write everywhere")
        command = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command]
    (tmp_path/"read_only").mkdir()
    (tmp_path/"read_only").chmod(0o555)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    (tmp_path/"read_only").chmod(0o755)
    refused((done.returncode, done.stdout, done.stderr), "could not write", "read_only", "ermission denied")
    assert files(tmp_path/"read_only") == {}


def test_debug_shows_the_traceback(tmp_path):
    command = [str(COMMAND), "prepare", str(tmp_path/"no.csv"), "--out", str(tmp_path/"out"), "--debug"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode
    assert "Traceback" in done.stderr
    assert "does not exist" in done.stderr


def test_the_smallest_corpus_is_trained_and_reported(here, tmp_path):
    "Nine articles of each class leave about six to train on: enough for a run."
    from fakenews_nb.sample import sample_articles
    sample_articles().groupby("label").head(9)[["title", "text", "label"]].to_csv(tmp_path/"a.csv", index=False)
    labels = ("--labels", "0=fake,1=real")
    assert here("prepare", tmp_path/"a.csv", *labels, "--out", tmp_path/"data")[0] == 0
    train = ("train", tmp_path/"data", "--model", "tiny", "--epochs", 1, "--max-length", 32, "--out", tmp_path/"run")
    assert here(*train)[0] == 0
    assert (tmp_path/"run"/"report.html").is_file()


def test_the_name_of_a_file_is_no_text(here, run_folder, tmp_path):
    file = tmp_path/"news.csv"
    file.write_text("text\nThe council met.\n")
    refused(here("predict", run_folder, file), "name of a file", f"--file {file}")


def test_a_missing_package_is_named(capsys):
    "As in a light installation, which has neither pandas nor scipy."
    def command(): raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
    with pytest.raises(typer.Exit): _guarded(command)()
    assert "needs the package pandas" in capsys.readouterr().err
    def broken(): raise ModuleNotFoundError("No module named 'fakenews_nb.gone'", name="fakenews_nb.gone")
    with pytest.raises(ModuleNotFoundError): _guarded(broken)()


def test_a_run_is_not_resumed_with_another_model(here, prepared, tmp_path):
    "Nor is that other model looked for first, on the Hub, say."
    (tmp_path/"begun").mkdir()
    (tmp_path/"begun"/"run.json").write_text(json.dumps({"made_by": "fakenews_nb", "model": "tiny"}))
    before = files(tmp_path)
    refused(here("train", prepared, "--resume", "--out", tmp_path/"begun"), "model was 'tiny' and is 'tinybert'")
    assert files(tmp_path) == before
