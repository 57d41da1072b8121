"Stopping a training run, politely and not, and going on with it."
import os
import signal
import subprocess
import time

import pytest
from conftest import COMMAND, fakenews


def start(prepared, out, *more):
    args = ["train", prepared, "--model", "tiny", "--epochs", "30", "--lr", "1e-3", "--max-length", "128", "--out", out, *more]
    ours = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run started in the background ignores Ctrl-C, and so would its children
    return subprocess.Popen([str(COMMAND), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=ours if os.name == "posix" else None)


def wait_for(condition, process):
    end = time.time() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.time() < end, "nothing happened"
        time.sleep(.05)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_and_resume(prepared, tmp_path):
    out = tmp_path/"run"
    process = start(prepared, out)
    wait_for(lambda: any((out/"checkpoints").glob("checkpoint-*")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "--resume" in errors and "Traceback" not in errors
    assert not (out/"model").exists() and not (out/"metrics.json").exists()
    assert "--resume" in fakenews("errors", out, code=2)[1]
    done = subprocess.run([str(COMMAND), "train", str(prepared), "--model", "tiny", "--epochs", "30", "--lr", "1e-3", "--max-length", "128", "--out", str(out), "--resume"], capture_output=True, text=True)
    assert done.returncode == 0 and "resuming from" in done.stderr and (out/"report.html").is_file()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_kill_and_resume(prepared, tmp_path):
    out = tmp_path/"run"
    process = start(prepared, out)
    wait_for(lambda: any(path.name != "checkpoint-13" for path in (out/"checkpoints").glob("checkpoint-*")), process)
    process.kill()
    process.communicate()
    assert not (out/"model").exists()
    _, errors = fakenews("train", prepared, "--model", "tiny", "--epochs", 30, "--lr", "1e-3", "--max-length", 128, "--out", out, "--resume")
    assert "resuming from" in errors and (out/"model"/"model.safetensors").is_file()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_before_training(prepared, tmp_path):
    "A Ctrl-C while libraries are still being loaded ends in a message too."
    process = start(prepared, tmp_path/"run")
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in errors
