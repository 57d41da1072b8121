"A Ray job over a folder: a worker is killed, then the whole job, and each row is predicted once."
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ONE_THREAD, fakenews

from fakenews_nb.files import output_lock

pytest.importorskip("ray")
FILES = 12
ROWS = 200 # per file


@pytest.fixture(scope="module")
def source(prepared, tmp_path_factory):
    "A folder of Parquet files with other columns, too."
    folder = tmp_path_factory.mktemp("cluster")/"articles"
    folder.mkdir()
    articles = pd.read_parquet(prepared/"train.parquet")[["title", "text"]]
    for number in range(FILES):
        part = articles.sample(ROWS, replace=True, random_state=number).reset_index(drop=True)
        part["text"] = part.text.str.repeat(10) # so that there are several blocks
        part["key"] = [f"{number}-{row}" for row in range(ROWS)]
        part["views"] = range(ROWS)
        part.to_parquet(folder/f"{number:02d}.parquet")
    return folder


def arguments(exported, source, out):
    "The command line of the job."
    return ["predict", exported, "--file", source, "--out", out, "--ray", "local", "--id-column", "key"]


def start(exported, source, out):
    "Start the job in a session of its own, so that all its processes can be found."
    command = [str(COMMAND), *map(str, arguments(exported, source, out))]
    settings = {"text": True, "env": ONE_THREAD, "start_new_session": True}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **settings)


def rows_written(out):
    "Rows of the files that are complete."
    return sum(len(pd.read_parquet(path)) for path in out.glob("*.parquet")) if out.exists() else 0


def wait_for_rows(job, out):
    "Wait until some rows are written, but not all."
    end = time.monotonic() + 240
    while time.monotonic() < end:
        assert job.poll() is None, "the job ended before it could be disturbed"
        try:
            if rows_written(out): return
        except (OSError, ValueError): pass # a file that is being written
        time.sleep(.1)
    raise AssertionError("no rows were written")


def processes(job):
    "The processes that a job has started: id -> command."
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit(): continue
        try:
            if os.getsid(int(entry.name)) == job.pid: found[int(entry.name)] = (entry/"cmdline").read_bytes()
        except OSError: pass # it has ended meanwhile
    return found


def kill_all(job):
    "Kill a job and all that it has started at once, as a power cut does."
    started = processes(job)
    job.kill()
    for process in started:
        try: os.kill(process, signal.SIGKILL)
        except OSError: pass
    job.communicate()


def check(source, out):
    "Each row of the source stands in the output once, with its own columns and a verdict."
    given = pd.read_parquet(source).set_index("key").sort_index()
    predicted = pd.read_parquet(sorted(out.glob("*.parquet"))).set_index("key").sort_index()
    assert predicted.index.is_unique
    assert predicted.index.equals(given.index)
    assert predicted[list(given)].equals(given)
    assert set(predicted.predicted_label) <= {"fake", "real"}


def test_a_killed_worker_loses_and_doubles_no_row(exported, source, tmp_path):
    out = tmp_path/"out"
    job = start(exported, source, out)
    wait_for_rows(job, out)
    workers = [process for process, command in processes(job).items() if command.startswith(b"ray::MapWorker")]
    assert workers, "no worker was found"
    os.kill(workers[0], signal.SIGKILL)
    _, messages = job.communicate(timeout=400)
    assert job.returncode == 0, messages
    check(source, out)
    assert json.loads((out/"_fakenews.json").read_text())["finished"]
    assert not (out/"_checkpoint").exists()
    _, messages = fakenews(*arguments(exported, source, out), code=2)
    assert "finished prediction" in messages


def test_a_second_job_is_refused(exported, source, tmp_path):
    with output_lock(tmp_path/"out"): _, message = fakenews(*arguments(exported, source, tmp_path/"out"), code=2)
    assert f"another process is writing here (process id {os.getpid()})" in message


def test_a_killed_job_goes_on(exported, source, tmp_path):
    out = tmp_path/"out"
    job = start(exported, source, out)
    wait_for_rows(job, out)
    kill_all(job)
    assert rows_written(out) < FILES*ROWS
    _, messages = fakenews(*arguments(exported, source, out), "--threshold", ".7", code=2)
    assert "unfinished prediction with another" in messages
    _, messages = fakenews(*arguments(exported, source, out))
    assert "continues after" in messages
    check(source, out)


def test_ids_must_be_different(exported, source, tmp_path):
    _, messages = fakenews("predict", exported, "--file", source, "--out", tmp_path/"out", "--ray", "local",
        "--id-column", "views", code=2)
    assert "stands in" in messages
    _, messages = fakenews("predict", exported, "--file", source, "--out", tmp_path/"out", "--ray", "local", code=2)
    assert "no column 'id'" in messages
