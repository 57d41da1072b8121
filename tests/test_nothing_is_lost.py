"Damaged folders, hostile inputs, two processes: the result is the same, or there is a message."
import gzip
import json
import os
import shutil
import subprocess
import time

import pandas as pd
import pytest
from conftest import COMMAND, ONE_THREAD, fakenews

from fakenews_nb.articles import article_table
from fakenews_nb.cleaning import clean_articles
from fakenews_nb.core import DataError, FakeNewsError, ModelError
from fakenews_nb.detector import Detector
from fakenews_nb.files import _git_hash, _write_checksums, sha256
from fakenews_nb.splits import _manifest_checksum, load_prepared
from fakenews_nb.streams import open_table
from fakenews_nb.tables import read_table

TINY = ("--model", "tiny", "--lr", "2e-3", "--max-length", "64", "--batch-size", "16")
TEXT = "The council met on Monday. They lie to you!"


# ---- two at once -----------------------------------------------------------------------------------------------------

@pytest.mark.skipif(os.name != "posix", reason="there are no locks on Windows")
def test_a_second_process_is_refused(prepared, tmp_path):
    out = tmp_path/"run"
    command = [COMMAND, "train", prepared, *TINY, "--epochs", "60", "--out", out]
    with open(tmp_path/"first.txt", "w") as log: first = subprocess.Popen(list(map(str, command)), stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not (out/"run.json").exists():
            assert first.poll() is None, (tmp_path/"first.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(.05)
        for option in ("--resume", "--overwrite"):
            _, message = fakenews("train", prepared, *TINY, "--epochs", "60", "--out", out, option, code=2)
            assert f"another process is writing here (process id {first.pid})" in message
    finally:
        first.kill()
        first.wait()
    _, message = fakenews("train", prepared, *TINY, "--epochs", "1", "--limit", "60", "--out", out, "--overwrite")
    assert "report:" in message, "the lock of a killed process is taken over"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.txt", "run"]


# ---- damaged folders -------------------------------------------------------------------------------------------------

def cut_short(file): file.write_bytes(file.read_bytes()[:file.stat().st_size//2])


def change_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content)//3] ^= 4
    file.write_bytes(content)


DAMAGES = {
    "deleted": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut short": cut_short,
    "a byte changed": change_a_byte,
    "a list": lambda file: file.write_text("[]"),
    "deep": lambda file: file.write_text("["*100_000),
}


@pytest.fixture(scope="module")
def folders(run_folder, exported, prepared, tmp_path_factory):
    "A folder of each kind."
    baseline = tmp_path_factory.mktemp("baseline")/"run"
    fakenews("train", prepared, "--model", "linear_svc", "--out", baseline)
    return {"model": run_folder/"model", "exported": exported, "baseline": baseline/"model", "prepared": prepared}


def read_folder(kind, folder):
    "Use a folder as a user would."
    if kind == "prepared": load_prepared(folder)
    else: Detector.load(folder).predict([TEXT])


@pytest.mark.parametrize("kind", ["model", "exported", "baseline", "prepared"])
def test_a_damaged_folder_is_refused(folders, tmp_path, kind):
    "Each file that is read, damaged in each way."
    names = [path.name for path in folders[kind].iterdir() if path.suffix in (".json", ".npz", ".safetensors", ".onnx",
        ".parquet")]
    unread = {"exported": ("config.json", "calibration.json")}.get(kind, ())
    for name in sorted(set(names) - set(unread)):
        for damage in DAMAGES.values():
            copy = tmp_path/"copy"
            shutil.copytree(folders[kind], copy)
            damage(copy/name)
            with pytest.raises(FakeNewsError): read_folder(kind, copy)
            shutil.rmtree(copy)


def test_a_folder_with_valid_checksums_is_checked_too(folders, tmp_path):
    "Whoever damages a folder can compute its checksums again: there is a verdict or a message, but no traceback."
    source = folders["model"]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "text_pipeline.json", "abstention.json"):
        for damage in DAMAGES.values():
            copy = tmp_path/"copy"
            shutil.copytree(source, copy)
            damage(copy/name)
            _write_checksums(copy)
            try: read_folder("model", copy)
            except FakeNewsError: pass
            shutil.rmtree(copy)


@pytest.mark.parametrize("change, words", [
    ({"num_hidden_layers": 10**9}, "layers"),
    ({"vocab_size": 10**9}, "cannot be loaded"),
    ({"hidden_size": "wide"}, "cannot be read"),
    ({"auto_map": {"AutoModelForSequenceClassification": "evil.Model"}, "model_type": "evil"}, "cannot be read"),
    ({"id2label": {"0": "real", "1": "fake"}}, "wrong head"),
])
def test_an_odd_config(folders, tmp_path, change, words):
    copy = tmp_path/"copy"
    shutil.copytree(folders["model"], copy)
    config = json.loads((copy/"config.json").read_text())
    (copy/"config.json").write_text(json.dumps(config | change))
    (copy/"evil.py").write_text(f"open({str(tmp_path/'executed')!r}, 'w')\nclass Model: pass\n")
    _write_checksums(copy)
    with pytest.raises(ModelError, match=words): read_folder("model", copy)
    assert not (tmp_path/"executed").exists()


def test_weights_that_are_no_numbers(folders, tmp_path):
    "A diverged training must not answer."
    from safetensors.torch import load_file, save_file
    copy = shutil.copytree(folders["model"], tmp_path/"copy")
    weights = load_file(copy/"model.safetensors")
    weights["classifier.weight"].fill_(float("nan"))
    save_file(weights, copy/"model.safetensors", metadata={"format": "pt"})
    _write_checksums(copy)
    with pytest.raises(ModelError, match="not finite"): read_folder("model", copy)


@pytest.mark.parametrize("change", [{"sha256": None}, {"rules": None}, {"counts": None}, {"rules": [{"name": 7}]}])
def test_an_odd_manifest(prepared, tmp_path, change):
    copy = shutil.copytree(prepared, tmp_path/"copy")
    manifest = json.loads((copy/"manifest.json").read_text()) | change
    signed = manifest | {"manifest_sha256": _manifest_checksum(manifest)} # as whoever changes it can
    (copy/"manifest.json").write_text(json.dumps(signed))
    with pytest.raises(FakeNewsError): load_prepared(copy)
    (copy/"manifest.json").write_text("[]")
    with pytest.raises(FakeNewsError): load_prepared(copy)


def stand_in_cache(model, cache):
    "A cache as the Hub's own program writes it, with the hashes that the Hub would state as the names of the files."
    repository = cache/"models--anna--encoder"
    snapshot = repository/"snapshots"/"0123456789012345678901234567890123456789"
    for folder in (snapshot, repository/"refs", repository/"blobs"): folder.mkdir(parents=True)
    (repository/"refs"/"main").write_text(snapshot.name)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        stated = sha256(model/name) if name == "model.safetensors" else _git_hash(model/name)
        shutil.copy(model/name, repository/"blobs"/stated)
        (snapshot/name).symlink_to(repository/"blobs"/stated)
    return repository/"blobs"/sha256(model/"model.safetensors")


@pytest.mark.skipif(os.name != "posix", reason="the cache holds copies where there are no links")
def test_a_download_is_what_the_hub_stated(run_folder, prepared, tmp_path, monkeypatch):
    weights = stand_in_cache(run_folder/"model", tmp_path/"cache")
    monkeypatch.setitem(ONE_THREAD, "HF_HUB_CACHE", str(tmp_path/"cache"))
    command = ("train", prepared, "--model", "anna/encoder", "--limit", "20", "--epochs", "1", "--max-length", "64")
    fakenews(*command, "--out", tmp_path/"run")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    _, message = fakenews(*command, "--out", tmp_path/"other", code=2)
    assert "not the one that the Hub stated" in message
    assert weights.name in message


def test_text_in_figures_is_no_formula(tmp_path):
    "A subject with two dollar signs would be read as a formula, an odd one would end in a traceback after training."
    from fakenews_nb.sample import sample_articles
    articles = sample_articles(400)
    articles["subject"] = ["politics" if number % 2 else "$x^$" for number in range(400)]
    articles[["title", "text", "label", "subject"]].to_csv(tmp_path/"news.csv", index=False)
    labels = ("--labels", "0=fake,1=real")
    fakenews("train", tmp_path/"news.csv", *labels, *TINY, "--epochs", "1", "--out", tmp_path/"run")
    assert (tmp_path/"run"/"report.html").is_file()


# ---- hostile inputs --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("texts, titles", [(None, None), (3, None), (b"bytes", None), (["A text."], 7)])
def test_a_prediction_of_nothing_that_is_a_text(exported, texts, titles):
    with pytest.raises(DataError, match="expected"): Detector.load(exported).predict(texts, titles)


def test_half_characters_in_a_table_are_replaced(capsys):
    "pandas cannot store them as text; an article table and cleaning replace them, and the table says so."
    halves = pd.DataFrame({"id": ["1\udfff", "2"], "title": ["a", "b"], "text": ["half \ud800", "whole \U0001f600"],
        "label": ["fake", "real"]}, dtype=object)
    articles = article_table(halves, "halves")
    assert articles.text.tolist() == ["half ?", "whole \U0001f600"]
    assert articles.id.tolist() == ["1?", "2"]
    assert "column 'text': half a character replaced by ? in 1 cell" in capsys.readouterr().err
    assert clean_articles(halves).text.tolist() == ["half ?", "whole \U0001f600"]


def test_a_damaged_archive_that_is_not_utf_8_either(tmp_path):
    "To name the line, the file is read once more, and that must not end in a traceback."
    content = gzip.compress(b"title,text\n\xff,b")
    (tmp_path/"news.csv.gz").write_bytes(content[:-6])
    with pytest.raises(DataError, match="0xff is not utf-8|not readable as gzip"): open_table(tmp_path/"news.csv.gz")


def test_integers_beside_other_numbers_stay_as_they_are(tmp_path):
    "The same cell must not be read differently because of the rows around it."
    lines = ['{"id": 9007199254740993, "text": "a"}', '{"id": 1.5, "text": "b"}', '{"text": "c"}']
    (tmp_path/"news.jsonl").write_text("\n".join(lines))
    assert str(read_table(tmp_path/"news.jsonl").id[0]) == "9007199254740993"
    first = next(open_table(tmp_path/"news.jsonl").batches(2))
    assert str(first.id[0]) == "9007199254740993"


# ---- what is shared --------------------------------------------------------------------------------------------------

SHARED_FILES = ("*.html", "manifest.json", "metrics.json", "scores.json", "transfer.*", "model/*", "exported/*")


def test_no_path_or_token_in_what_is_shared(here, tmp_path, monkeypatch):
    "Reports, model cards, manifests and scores name a file without its folder; run.json and checkpoints stay at home."
    from fakenews_nb.sample import sample_articles
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_seen")
    home = tmp_path/"alice"
    home.mkdir()
    sample_articles(400)[["title", "text", "label"]].to_csv(home/"news.csv", index=False)
    labels = ("--labels", "0=fake,1=real")
    commands = [
        ("prepare", home/"news.csv", *labels, "--out", home/"prepared"),
        ("train", home/"prepared", *TINY, "--epochs", "1", "--out", home/"run"),
        ("export", home/"run", "--out", home/"run"/"exported"),
        ("evaluate", home/"run", home/"news.csv", *labels, "--out", home/"elsewhere"),
        ("audit", home/"news.csv", *labels, "--out", home/"audit.html"),
        ("transfer", "--train", home/"news.csv", "--test", "sample", *labels, "--out", home/"transfer")]
    for command in commands:
        code, _, message = here(*command)
        assert code == 0, message
    found = {file for pattern in SHARED_FILES for file in home.rglob(pattern) if file.is_file()}
    assert len(found) > 20
    for file in sorted(found):
        content = file.read_bytes()
        for secret in (str(tmp_path), "alice", "hf_not_to_be_seen"): assert secret.encode() not in content, file
    assert b"news.csv" in (home/"run"/"model"/"README.md").read_bytes()


def test_two_files_of_one_name(here, tmp_path):
    "Their scores could not be told apart."
    for name in ("a", "b"):
        (tmp_path/name).mkdir()
        (tmp_path/name/"news.csv").touch()
    files = (tmp_path/"a"/"news.csv", tmp_path/"b"/"news.csv")
    code, _, message = here("transfer", "--train", files[0], "--test", files[1], "--out", tmp_path/"out")
    assert code == 2
    assert "two files have the same name" in message
