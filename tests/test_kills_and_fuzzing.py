"Trainings that are killed, and inputs that are drawn at random: parts of the benchmarks of the same names."
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import COMMAND, ONE_THREAD

BENCHMARKS = Path(__file__).parent.parent/"benchmarks"
TINY = ("--model", "tiny", "--lr", "2e-3", "--max-length", "64", "--batch-size", "16")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and forks")
def test_killed_trainings_end_in_the_same_files(tmp_path):
    "Kills as run.json is written and after early stopping, Ctrl-C past the best epoch, and most damages."
    out = tmp_path/"kills.json"
    kills = ["--at", "/run/.run.json", "/run/.model", "--random", "0"]
    kills += ["--without", "no scheduler", "no random state", "no checksums"] # as no optimizer
    command = [sys.executable, str(BENCHMARKS/"kills.py"), *kills, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    outcomes = {trial["outcome"] for trial in json.loads(out.read_text())["trials"]}
    assert outcomes == {"equal"}


def descendants(process):
    "Process ids of the children of a process, and of theirs."
    children = [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return children + [other for child in children for other in descendants(child)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_rank_ends_in_one_message(prepared, tmp_path):
    out = tmp_path/"run"
    command = [COMMAND, "train", prepared, *TINY, "--epochs", "40", "--processes", "2", "--out", out]
    with open(tmp_path/"log.txt", "w") as log:
        running = subprocess.Popen(list(map(str, command)), stderr=log, stdout=log, env=ONE_THREAD)
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/checkpoint-*/checksums.json")):
        assert running.poll() is None, (tmp_path/"log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(.05)
    ranks = [pid for pid in descendants(running.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(ranks[-1], 9)
    assert running.wait(timeout=60) == 2
    message = (tmp_path/"log.txt").read_text()
    assert "one of the processes was killed" in message
    assert "--resume" in message
    assert "Traceback" not in message


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and needs SIGALRM")
def test_random_inputs_end_in_a_result_or_a_message(tmp_path):
    "A few of the inputs of the benchmark, of all kinds."
    command = [sys.executable, str(BENCHMARKS/"fuzz.py"), "--inputs", "500", "--out", str(tmp_path/"fuzz.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    targets = json.loads((tmp_path/"fuzz.json").read_text())["targets"]
    assert sum(target["inputs"] for target in targets) >= 490
    assert sum(target["outcomes"].get("used", 0) for target in targets) > 50
