"Two processes that share each batch take the steps of one, however they are started."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import COMMAND

TORCHRUN = Path(sys.executable).parent/"torchrun"
SETTINGS = ("--limit", "96", "--epochs", "2", "--lr", "1e-3", "--max-length", "64", "--precision", "fp32")
IN_A_NOTEBOOK = """
import json, sys
from dataclasses import replace
from accelerate import notebook_launcher
from fakenews_nb.training import RECIPES, finetune
def share(data, out, model, recipe): finetune(data, out, model, replace(RECIPES["fast"], **recipe), limit=96)
notebook_launcher(share, (*sys.argv[1:4], json.loads(sys.argv[4])), num_processes=2, use_port="29517")
"""


@pytest.fixture(scope="module")
def no_dropout(tmp_path_factory, prepared):
    "A tiny model folder without dropout, which every process would draw for itself."
    from fakenews_nb.models import _make_tiny
    from fakenews_nb.splits import load_prepared
    model, tokenizer = _make_tiny(list(load_prepared(prepared)[0]["train"]["text"]), 64)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.
    folder = tmp_path_factory.mktemp("no-dropout")/"model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory, prepared, no_dropout):
    "The run of one process."
    folder = tmp_path_factory.mktemp("alone")/"run"
    return launched([COMMAND], prepared, no_dropout, folder)


def launched(launcher, data, model, out, *more):
    "The metrics of `fakenews train`, however it was started."
    done = subprocess.run([*map(str, launcher), "train", str(data), "--model", str(model), "--out", str(out), *SETTINGS, *more], capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weighted F1") == 1, "the first process alone speaks"
    return json.loads((out/"metrics.json").read_text())


def logged(metrics, name): return np.array([entry[name] for entry in metrics["history"] if name in entry])


def same(alone, shared):
    "The same losses, step by step, and the same judgement; not because nothing was learned."
    assert (alone["processes"], shared["processes"]) == (1, 2) and np.ptp(logged(alone, "loss")) > .01
    for name in ("loss", "grad_norm", "eval_f1"): assert len(logged(alone, name)) and np.allclose(logged(alone, name), logged(shared, name), atol=1e-5), name


def test_torchrun(prepared, no_dropout, alone, tmp_path):
    "accelerate launch sets the same variables, but on a CPU it starts more than one process through MPI alone."
    same(alone, launched([TORCHRUN, "--nproc-per-node", "2", "--no-python", COMMAND], prepared, no_dropout, tmp_path/"run"))


def test_started_by_the_command(prepared, no_dropout, alone, tmp_path):
    same(alone, launched([COMMAND], prepared, no_dropout, tmp_path/"run", "--processes", "2"))


def test_from_a_notebook(prepared, no_dropout, alone, tmp_path):
    from fakenews_nb.training import load_run
    recipe = dict(epochs=2, min_steps=0, learning_rate=1e-3, max_length=64, precision="fp32")
    subprocess.run([sys.executable, "-c", IN_A_NOTEBOOK, str(prepared), str(tmp_path/"run"), str(no_dropout), json.dumps(recipe)], check=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    same(alone, load_run(tmp_path/"run").metrics)


def test_stopped_and_resumed(prepared, no_dropout, tmp_path):
    "SIGTERM ends both at the same step, after a checkpoint, and --resume goes on from it."
    from fakenews_nb.training import load_run
    command = [str(COMMAND), "train", str(prepared), "--model", str(no_dropout), "--out", str(tmp_path/"run"), "--processes", "2", "--batch-size", "4", "--epochs", "2", "--max-length", "64"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not list((tmp_path/"run").glob("checkpoints/checkpoint-*")) and running.poll() is None: time.sleep(.1)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 2 and "a checkpoint is saved" in said, said
    step = max(int(path.name.rpartition("-")[2]) for path in (tmp_path/"run").glob("checkpoints/checkpoint-*"))
    assert step % 10 == 0 and 102 < step < 204
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and f"checkpoint-{step}" in done.stderr, done.stderr
    assert load_run(tmp_path/"run").metrics["steps"] == 204
