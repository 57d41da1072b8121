"A training run is stopped, by Ctrl-C or by a kill, and continued."
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import COMMAND, fakenews

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 900 # seconds, for a busy machine
SETTINGS = ("--model", "tiny", "--epochs", "12", "--lr", "1e-3", "--max-length", "64")


@pytest.fixture
def start(prepared, tmp_path):
    "A function that starts a training in the background; what still runs at the end of a test is killed."
    started = []

    def run(out):
        command = [COMMAND, "train", prepared, *SETTINGS, "--out", out]
        words = [str(word) for word in command]
        with (tmp_path/"errors.txt").open("w") as errors: # a pipe that nobody reads would fill up and block
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, env=ENVIRONMENT,
                preexec_fn=obey_ctrl_c)
        started.append(process)
        return process
    yield run
    for process in started:
        process.kill()
        process.wait()


def obey_ctrl_c():
    "Restore the usual effect of Ctrl-C: a test run in the background ignores it, and so would its children."
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition, process):
    "Wait until a condition holds, while a process runs."
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"the training ended early, with {process.returncode}"
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(.05)


def checkpoints(out):
    "The names of the checkpoints of a run."
    return {path.name for path in (out/"checkpoints").glob("checkpoint-*")}


def test_ctrl_c_and_resume(start, prepared, tmp_path):
    out, errors = tmp_path/"run", tmp_path/"errors.txt"
    process = start(out)
    wait_for(lambda: checkpoints(out), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 2
    assert "--resume" in errors.read_text()
    assert "Traceback" not in errors.read_text()
    assert not (out/"model").exists()
    assert not (out/"metrics.json").exists()
    _, message = fakenews("errors", out, code=2)
    assert "--resume" in message, "an unfinished run has no misclassified articles to show"
    _, message = fakenews("train", prepared, *SETTINGS, "--out", out, "--resume")
    assert "resuming from" in message
    assert (out/"report.html").is_file()


def test_kill_and_resume(start, prepared, tmp_path):
    out = tmp_path/"run"
    process = start(out)
    wait_for(lambda: checkpoints(out) - {"checkpoint-13"}, process)
    process.kill()
    process.wait()
    assert not (out/"model").exists()
    _, message = fakenews("train", prepared, *SETTINGS, "--out", out, "--resume")
    assert "resuming from" in message
    assert (out/"model"/"model.safetensors").is_file()


def loads_torch(process):
    "Whether a process has begun to load PyTorch; only Linux shows this."
    maps = Path(f"/proc/{process.pid}/maps")
    return maps.exists() and "libtorch" in maps.read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="cannot see what another process loads")
def test_ctrl_c_before_training(start, tmp_path):
    "A Ctrl-C while libraries are being loaded ends in a message too."
    process = start(tmp_path/"run")
    wait_for(lambda: loads_torch(process), process)
    process.send_signal(signal.SIGINT)
    message = tmp_path/"errors.txt"
    assert process.wait(timeout=PATIENCE) == 2, message.read_text()
    assert "Traceback" not in message.read_text()
