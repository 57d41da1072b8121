"Two processes that share each batch take the same steps as one, however they are started."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import COMMAND, save_without_dropout

TORCHRUN = Path(sys.executable).parent/"torchrun"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"} # two processes with two threads each slow each other down
PATIENCE = 900 # seconds, for a busy machine
SETTINGS = ("--limit", "96", "--epochs", "2", "--lr", "1e-3", "--max-length", "64", "--precision", "fp32")
RECIPE = dict(epochs=2, min_steps=0, learning_rate=1e-3, max_length=64, precision="fp32") # the same, for `finetune`
# The launcher's own default is a fixed port; this endpoint is any free one.
IN_A_NOTEBOOK = """
import json
import sys
from dataclasses import replace

from accelerate import notebook_launcher
from fakenews_nb.training import RECIPES, finetune


def train(data, out, model, changes):
    finetune(data, out, model, replace(RECIPES["fast"], **changes), limit=96)


arguments = (*sys.argv[1:4], json.loads(sys.argv[4]))
notebook_launcher(train, arguments, num_processes=2, rdzv_backend="c10d", rdzv_endpoint="localhost:0")
"""


@pytest.fixture(scope="module")
def no_dropout(tmp_path_factory, prepared):
    "A tiny model folder without dropout, because each process would draw other random numbers for it."
    from fakenews_nb.models import _make_tiny
    from fakenews_nb.splits import load_prepared
    dataset, _ = load_prepared(prepared)
    model, tokenizer = _make_tiny(list(dataset["train"]["text"]), 64)
    return save_without_dropout(model, tokenizer, tmp_path_factory.mktemp("no-dropout")/"model")


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, prepared, no_dropout):
    "The metrics of a run of one process."
    folder = tmp_path_factory.mktemp("one")/"run"
    return train([COMMAND], prepared, no_dropout, folder)


def train(launcher, data, model, out, *options):
    "Run `fakenews train`, however it is started, and return its metrics."
    command = [*launcher, "train", data, "--model", model, "--out", out, *SETTINGS, *options]
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weighted F1") == 1, "only the first process prints the scores"
    return json.loads((out/"metrics.json").read_text())


def run(command):
    "Run a command to its end."
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT)


def logged(metrics, name):
    "The values that `Trainer` logged under a name, in order."
    return np.array([entry[name] for entry in metrics["history"] if name in entry])


def check_same_steps(one, two):
    "Check that two processes took the steps of one, and that these steps learned something."
    assert one["processes"] == 1
    assert two["processes"] == 2
    assert np.ptp(logged(one, "loss")) > .01, "the loss changes from step to step"
    for name in ("loss", "grad_norm", "eval_f1"):
        expected = logged(one, name)
        assert len(expected), f"{name} is logged"
        assert np.allclose(expected, logged(two, name), atol=1e-5), name


def test_torchrun(prepared, no_dropout, one_process, tmp_path):
    "accelerate launch sets the same variables, but without a GPU it starts several processes through MPI only."
    launcher = [TORCHRUN, "--standalone", "--nproc-per-node", "2", "--no-python", COMMAND]
    check_same_steps(one_process, train(launcher, prepared, no_dropout, tmp_path/"run"))


def test_started_by_the_command(prepared, no_dropout, one_process, tmp_path):
    check_same_steps(one_process, train([COMMAND], prepared, no_dropout, tmp_path/"run", "--processes", "2"))


def test_from_a_notebook(prepared, no_dropout, one_process, tmp_path):
    from fakenews_nb.training import load_run
    done = run([sys.executable, "-c", IN_A_NOTEBOOK, prepared, tmp_path/"run", no_dropout, json.dumps(RECIPE)])
    assert done.returncode == 0, done.stderr
    check_same_steps(one_process, load_run(tmp_path/"run").metrics)


def saved_steps(folder):
    "The training steps after which a checkpoint was saved."
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoints/checkpoint-*"))


def stop_after_first_checkpoint(command, folder, errors):
    "Start a training, send SIGTERM as soon as there is a checkpoint, and return the exit code."
    with errors.open("w") as stderr, subprocess.Popen(command, stderr=stderr, env=ENVIRONMENT) as running:
        deadline = time.monotonic() + PATIENCE
        while not saved_steps(folder) and running.poll() is None and time.monotonic() < deadline: time.sleep(.1)
        running.send_signal(signal.SIGTERM)
        return running.wait(timeout=PATIENCE)


def test_stopped_and_resumed(prepared, no_dropout, tmp_path):
    "SIGTERM ends both processes at the same step, after a checkpoint, and --resume continues from there."
    from fakenews_nb.training import load_run
    folder, errors = tmp_path/"run", tmp_path/"errors.txt"
    options = ["--processes", "2", "--batch-size", "4", "--epochs", "3", "--max-length", "64"]
    command = [str(COMMAND), "train", str(prepared), "--model", str(no_dropout), "--out", str(folder), *options]
    code = stop_after_first_checkpoint(command, folder, errors)
    message = errors.read_text()
    assert code == 2, message
    assert "a checkpoint is saved" in message
    first, *_, last = saved_steps(folder)
    assert first == 102, "one epoch"
    assert 102 < last < 306
    assert last % 10 == 0, "the processes agree every ten steps"
    done = run([*command, "--resume"])
    assert done.returncode == 0, done.stderr
    assert f"checkpoint-{last}" in done.stderr, "the checkpoint that it resumes from"
    assert load_run(folder).metrics["steps"] == 306
