"Files of any size: killed and resumed, two at once, in bounded memory, with bad rows; and damaged exported folders."
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from conftest import COMMAND, ONE_THREAD, fakenews

from fakenews_nb.scoring import _BATCH_ROWS
from fakenews_nb.tables import read_table

N_ROWS = 3*_BATCH_ROWS + 7
COLUMNS = ["predicted_label", "predicted_probability", "predicted_abstain", "predicted_ood_score",
    "predicted_out_of_distribution", "predicted_truncated", "predicted_note"]


@pytest.fixture(scope="module")
def news(tmp_path_factory):
    "A CSV file with many short articles, each with an id of its own."
    folder = tmp_path_factory.mktemp("news")
    draw = random.Random(0)
    words = "council report budget crooked agency secret rain harbor vote said Monday".split()
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 30))) for _ in range(N_ROWS)]
    ids = [f"a{number}" for number in range(N_ROWS)]
    pd.DataFrame({"id": ids, "text": texts}).to_csv(folder/"news.csv", index=False)
    return folder/"news.csv"


@pytest.fixture(scope="module")
def unbroken(exported, news, tmp_path_factory):
    "What a prediction without a stop gives."
    out = tmp_path_factory.mktemp("unbroken")/"out.csv"
    fakenews("predict", exported, "--file", news, "--out", out)
    return out.read_bytes()


def start(*args):
    "Start the command, and return its process."
    command = [str(COMMAND), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)


def wait_for_parts(process, folder, count):
    "Wait until a prediction has stored some parts."
    for _ in range(3000):
        if len(list(folder.glob("0*.csv"))) >= count: return
        assert process.poll() is None, process.stderr.read()
        time.sleep(.02)
    raise AssertionError("no part in a minute")


def test_killed_twice_and_resumed(exported, news, unbroken, tmp_path):
    "No row is lost or doubled, and the result is that of an unbroken prediction, byte by byte."
    out = tmp_path/"out.csv"
    parts = tmp_path/".out.csv.parts"
    for count in (1, 2):
        process = start("predict", exported, "--file", news, "--out", out)
        wait_for_parts(process, parts, count)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists()
    _, error = fakenews("predict", exported, "--file", news, "--out", out)
    assert "continues after" in error
    assert out.read_bytes() == unbroken
    assert read_table(out).id.tolist() == [f"a{number}" for number in range(N_ROWS)]
    assert not parts.exists()


def test_two_at_once(exported, news, unbroken, tmp_path):
    "The second is refused and names the first one's process, which goes on."
    out = tmp_path/"out.csv"
    first = start("predict", exported, "--file", news, "--out", out)
    wait_for_parts(first, tmp_path/".out.csv.parts", 1)
    first.send_signal(signal.SIGSTOP) # or it might end before the second begins
    try: _, error = fakenews("predict", exported, "--file", news, "--out", out, code=2)
    finally: first.send_signal(signal.SIGCONT)
    assert f"another process is writing here (process id {first.pid})" in error
    assert first.wait() == 0
    assert out.read_bytes() == unbroken


def test_another_model_does_not_continue(exported, run_folder, news, unbroken, tmp_path):
    out = tmp_path/"out.csv"
    process = start("predict", exported, "--file", news, "--out", out)
    wait_for_parts(process, tmp_path/".out.csv.parts", 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, error = fakenews("predict", run_folder, "--file", news, "--out", out, code=2)
    assert "an unfinished prediction with another model is here" in error
    _, error = fakenews("predict", exported, "--file", news, "--out", out, "--threshold", ".3", code=2)
    assert "another threshold" in error
    fakenews("predict", exported, "--file", news, "--out", out)
    assert out.read_bytes() == unbroken


def peak_megabytes(exported, path, out):
    "The peak memory of a process that predicts a file."
    code = ("import resource, sys; from fakenews_nb import Detector, predict_file; "
        "predict_file(Detector.load(sys.argv[1]), sys.argv[2], sys.argv[3]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)")
    command = [sys.executable, "-c", code, str(exported), str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(ending, exported, news, tmp_path):
    "A file twelve times as long, of more than 70 MB, needs little more memory."
    table = read_table(news).assign(page="x"*6000)
    write = {"csv": lambda rows, path: rows.to_csv(path, index=False),
        "jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True),
        "parquet": lambda rows, path: rows.to_parquet(path, index=False, row_group_size=2000)}[ending]
    write(table.head(1000), tmp_path/f"small.{ending}")
    write(pd.concat([table]*2), tmp_path/f"large.{ending}")
    small = peak_megabytes(exported, tmp_path/f"small.{ending}", tmp_path/f"small_out.{ending}")
    large = peak_megabytes(exported, tmp_path/f"large.{ending}", tmp_path/f"large_out.{ending}")
    assert len(table)*2*6000 > 70_000_000
    assert large < small + 60, (small, large)


def test_broken_row_is_found_first(exported, news, tmp_path):
    "A broken row near the end is found before anything is predicted; when left out, it is kept, with the reason."
    lines = news.read_text().splitlines(keepends=True)
    broken = 'a1,"never closed\n'
    lines.insert(N_ROWS - 20, broken)
    (tmp_path/"broken.csv").write_text("".join(lines))
    _, error = fakenews("predict", exported, "--file", tmp_path/"broken.csv", "--out", tmp_path/"out.csv", code=2)
    assert f"row {N_ROWS - 20} (starts on line {N_ROWS - 19})" in error
    assert not (tmp_path/".out.csv.parts").exists()
    fakenews("predict", exported, "--file", tmp_path/"broken.csv", "--out", tmp_path/"out.csv", "--skip-bad-rows")
    kept = (tmp_path/"broken.rejected.csv").read_text()
    assert broken in kept
    assert f"line {N_ROWS - 19}: broken quotes" in (tmp_path/"broken.rejected.reasons.txt").read_text()
    assert len(read_table(tmp_path/"out.csv")) == N_ROWS


HOSTILE = {
    "control characters": "The council \x01\x02\x1b[31m met.\x7f",
    "half a character": "The council \ud800 met.",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)> The council met.",
    "formula": "=HYPERLINK(\"x\") The council met.",
    "right to left": "\u202eThe council met.\u202c",
    "only combining marks": "\u0301"*1000}


def test_hostile_texts(exported, tmp_path):
    "Each text gets its verdict, and stays as it is in JSON Lines."
    lines = [json.dumps({"id": name, "text": text}) for name, text in HOSTILE.items()]
    (tmp_path/"in.jsonl").write_text("\n".join(lines) + "\n")
    fakenews("predict", exported, "--file", tmp_path/"in.jsonl", "--out", tmp_path/"out.jsonl")
    table = read_table(tmp_path/"out.jsonl")
    assert table.id.tolist() == list(HOSTILE)
    assert table.text.tolist() == [text.replace("\ud800", "\ufffd") for text in HOSTILE.values()]
    assert table.predicted_label.isin(["fake", "real"]).all()


def test_pipe(exported, news):
    "JSON Lines in, JSON Lines out."
    articles = read_table(news).head(250)
    lines = articles.to_json(orient="records", lines=True)
    command = [str(COMMAND), "predict", str(exported), "--file", "-", "--out", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, env=ONE_THREAD, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == articles.id.tolist()
    assert list(answers[0]) == ["id", "text", *COLUMNS]


def test_pipe_has_two_ends(exported):
    for options in (["--file", "-"], ["--file", "-", "--out", "x.csv"], ["--file", "x.csv", "--out", "-"]):
        _, error = fakenews("predict", exported, *options, code=2)
        assert "--file - and --out - go together" in error


@pytest.mark.parametrize("change", ["cut short", "changed", "missing"])
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "text_pipeline.json", "abstention.json",
    "out_of_distribution.npz", "config.json"])
def test_damaged_exported_folder(name, change, exported, tmp_path):
    "Every file of an exported folder is checked before it is believed."
    folder = tmp_path/"damaged"
    shutil.copytree(exported, folder)
    content = (folder/name).read_bytes()
    if change == "missing": (folder/name).unlink()
    else: (folder/name).write_bytes(content[:-10] if change == "cut short" else content[:-1] + b"#")
    _, error = fakenews("predict", folder, "The council met.", code=2)
    assert name in error
    assert "Traceback" not in error
