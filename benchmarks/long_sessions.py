"""A long session on a machine that is not idle: memory when cells run again, and threads beside other programs.

- Memory: a process trains, evaluates and predicts again and again, as a notebook does whose cells run again.
- Threads: a training with one thread, with the default number, and with the default number that wait for each other as
  PyTorch's do by themselves; on an idle machine, and beside as many busy processes as there are processors. All ways
  in turn; the medians of some rounds.

Writes results/long_sessions.json. Needs Linux.

    python benchmarks/long_sessions.py
"""
import argparse
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
from determinism import make_model

from fakenews_nb.files import write_json
from fakenews_nb.runtime import this_machine, versions
from fakenews_nb.splits import prepare

RESULTS = Path(__file__).parent/"results"/"long_sessions.json"
FAKENEWS = Path(sys.executable).parent/"fakenews"
RERUNS = 12
TRAINING = ("--limit", "160", "--epochs", "1", "--lr", "5e-4", "--max-length", "128", "--precision", "fp32")


def memory_megabytes():
    "What this process holds in memory."
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages*os.sysconf("SC_PAGE_SIZE")/1e6


def rerun(prepared, out):
    "Train, finish and predict, as the cells of a notebook do; gives the memory after each time."
    from fakenews_nb import Detector, Recipe, finetune, finish_run
    recipe = Recipe("tiny", epochs=2, learning_rate=3e-3, max_length=64, precision="fp32")
    memory = []
    for _ in range(RERUNS):
        run = finetune(prepared, out, "tiny", recipe, overwrite=True)
        finish_run(run)
        Detector.load(run.model).predict(["The council met on Monday.", "They lie to you!"])
        memory.append(memory_megabytes())
        print(f"{memory[-1]:.0f} MB", flush=True)
    return memory


def be_busy():
    "Compute until the process is ended."
    while True: sum(range(1_000_000))


WAYS = {"default": {}, "1": {"OMP_NUM_THREADS": "1"}, "as PyTorch waits": {"GOMP_SPINCOUNT": "300000"}}


def seconds_of(prepared, model, out, way):
    "How long a training takes, as the run itself states it."
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | WAYS[way]
    words = [FAKENEWS, "train", prepared, "--model", model, *TRAINING, "--out", out, "--overwrite"]
    done = subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr)
    return json.loads((out/"metrics.json").read_text())["train_seconds"]


def compare_threads(prepared, model, out, rounds):
    "Medians of the seconds of a training, by what else the machine does and by the number of threads."
    n_busy = os.cpu_count() or 1
    seconds = {(busy, way): [] for busy in (0, n_busy) for way in WAYS}
    for _ in range(rounds):
        for (busy, way), taken in seconds.items():
            others = [multiprocessing.Process(target=be_busy, daemon=True) for _ in range(busy)]
            for other in others: other.start()
            taken.append(seconds_of(prepared, model, out, way))
            for other in others: other.terminate()
            print(busy, way, f"{taken[-1]:.1f} s", flush=True)
    return [{"busy_processes": busy, "threads": way, "seconds": float(np.median(taken)), "rounds": len(taken)}
        for (busy, way), taken in seconds.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each way")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    about = {"machine": asdict(this_machine()), "versions": versions()}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare("sample", work/"prepared")
        model = make_model(work/"encoder", work/"prepared")
        threads = compare_threads(work/"prepared", model, work/"run", args.rounds)
        begin = time.perf_counter()
        memory = rerun(work/"prepared", work/"rerun")
        seconds = time.perf_counter() - begin
    reruns = {"memory_megabytes": memory, "seconds": seconds}
    write_json(about | {"reruns": reruns, "threads": threads}, args.out)


if __name__ == "__main__": main()
