"""How long the published recipe and the recipe `fast` take to the same F1, on one device, in one run.

`fast` is trained whole, with several seeds, and timed by the clock: training, evaluations and checkpoints.

The published recipe, "original" in the results, would take hours on a CPU. We time single steps of it,
before each training of `fast` and after the last. Its time is the number of steps to the end of its best epoch
times the median step, and we count no time for its evaluations. Its F1 needs the whole training: once per seed,
we take the same steps in a faster way (packed, in reduced precision) and keep the result in --work.

    python benchmarks/time_to_quality.py prepared --model FOLDER --work /tmp/quality
"""
import argparse
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

os.environ.update(HF_HUB_OFFLINE="1")

SAME_STEPS_FASTER = {"padding": "packed", "fast_kernels": True, "precision": "auto"}
KEPT_METRICS = ("train_seconds", "best_epoch", "epochs", "steps", "train_articles", "recipe", "versions", "history")


class EnoughSteps(Exception):
    "Ends a training of which only some steps are timed."


def test_scores(run, data):
    """The scores of a run on the test articles, with Wilson's interval of the accuracy.

    Weighted F1 hardly differs from the accuracy where errors are few.
    """
    from fakenews_nb.cleaning import Rule
    from fakenews_nb.evaluation import accuracy_interval, evaluate_predictions, predict
    from fakenews_nb.splits import load_prepared
    dataset, manifest = load_prepared(data)
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    predictions = predict(run.model, dataset["test"].to_pandas(), rules)
    scores = evaluate_predictions(predictions)
    low, high = accuracy_interval(predictions)
    return {
        "f1": scores["f1"],
        "accuracy": scores["accuracy"],
        "low": low,
        "high": high,
        "wrong": scores["errors"],
        "n": scores["n"],
    }


def train(name, recipe, args):
    "Train a recipe whole and score it, or read the result that is kept in --work."
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.training import finetune
    folder = args.work/f"{name} {recipe.seed}"
    result_file = args.work/f"{name} {recipe.seed}.json"
    if result_file.exists(): return read_json(result_file)
    run = finetune(args.data, folder, args.model, recipe, resume=folder.exists())
    metrics = {key: run.metrics[key] for key in KEPT_METRICS}
    write_json({"seed": recipe.seed, "name": name, **test_scores(run, args.data), **metrics}, result_file)
    shutil.rmtree(folder/"checkpoints")
    return read_json(result_file)


def train_fast(seed, args):
    "Train `fast` anew: its time counts only beside the steps of the published recipe that were timed with it."
    from fakenews_nb.training import RECIPES
    (args.work/f"fast {seed}.json").unlink(missing_ok=True)
    shutil.rmtree(args.work/f"fast {seed}", ignore_errors=True)
    return train("fast", replace(RECIPES["fast"], seed=seed), args)


def train_original(seed, args):
    "Train the published recipe, or read the result that is kept in --work."
    from fakenews_nb.training import RECIPES
    return train("original", replace(RECIPES["published"], seed=seed, **SAME_STEPS_FASTER), args)


def time_original_steps(args):
    "Seconds of each of some steps of the published recipe; a first step is not counted."
    from fakenews_nb.training import RECIPES, finetune
    clock = make_clock(args.steps)
    folder = args.work/"steps"
    try: finetune(args.data, folder, args.model, RECIPES["published"], overwrite=True, callbacks=[clock])
    except EnoughSteps: pass
    shutil.rmtree(folder, ignore_errors=True)
    return clock.seconds[1:]


def make_clock(n_steps):
    "A callback that times steps and ends the training after `n_steps` of them and one."
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self): self.seconds = []

        def on_step_begin(self, args, state, control, **kwargs): self.start = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            self.seconds.append(time.perf_counter() - self.start)
            if len(self.seconds) > n_steps: raise EnoughSteps

    return Clock()


def measure(args):
    "All that is measured: trainings of the published recipe, trainings of `fast`, and steps of the published recipe."
    originals = [train_original(seed, args) for seed in args.original_seeds]
    step_seconds = time_original_steps(args)
    fast = []
    for seed in args.seeds:
        fast.append(train_fast(seed, args))
        step_seconds += time_original_steps(args)
    median_step = float(np.median(step_seconds))
    for run in originals:
        run["seconds_to_best"] = median_step*run["steps"]*run["best_epoch"]/run["epochs"]
        run["seconds"] = median_step*run["steps"]
    return {"original": originals, "fast": fast, "step_seconds": step_seconds}


def circumstances(args):
    "On what was measured: threads, model, data, machine and versions."
    from fakenews_nb.runtime import this_machine, versions
    from fakenews_nb.splits import load_prepared
    _, manifest = load_prepared(args.data)
    return {
        "threads": args.threads,
        "model": Path(args.model).parent.name,
        "data": {name: manifest[name] for name in ("source", "protocol", "cleaning", "split", "counts")},
        "machine": asdict(this_machine()),
        "versions": versions(),
    }


def describe_scores(run):
    "The scores of one run, in words."
    interval = f"{run['low']:.4f}–{run['high']:.4f}"
    return f"seed {run['seed']}: F1 {run['f1']:.4f} ({interval}), {run['wrong']} of {run['n']:,} wrong"


def print_results(measured):
    "One line per training."
    median_step = float(np.median(measured["step_seconds"]))
    median_original = float(np.median([run["seconds_to_best"] for run in measured["original"]]))
    for run in measured["original"]:
        seconds = f"{run['seconds_to_best']:,.0f} s to its end at {median_step:.1f} s per step"
        print(f"original, {describe_scores(run)}; best epoch {run['best_epoch']:g}, {seconds}")
    for run in measured["fast"]:
        ratio = median_original/run["train_seconds"]
        seconds = f"{run['train_seconds']:,.0f} s, 1/{ratio:.1f} of the original's median to its best epoch"
        print(f"fast,     {describe_scores(run)}; {seconds}")


def available_processors():
    "The number of processors that this process may use."
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def read_arguments():
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_out = Path(__file__).parent/"results"/"time_to_quality.json"
    parser.add_argument("data", type=Path, help="prepared folder")
    parser.add_argument("--model", required=True, help="folder of a pretrained encoder")
    parser.add_argument("--work", type=Path, required=True,
        help="folder in which trainings of the published recipe are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="seeds of fast (default: 42 43 44)")
    parser.add_argument("--original-seeds", type=int, nargs="+", default=[42, 43, 44],
        help="seeds of the published recipe, each of which trains for an hour or more (default: 42 43 44)")
    parser.add_argument("--steps", type=int, default=3,
        help="steps of the published recipe timed before each training and after the last (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=available_processors(),
        help="threads of PyTorch (default: one per processor)")
    parser.add_argument("--out", type=Path, default=default_out, help="file of the results (default: %(default)s)")
    return parser.parse_args()


def main():
    args = read_arguments()
    import torch

    from fakenews_nb.files import write_json
    torch.set_num_threads(args.threads)
    measured = measure(args)
    write_json(measured | circumstances(args), args.out)
    print_results(measured)


if __name__ == "__main__": main()
