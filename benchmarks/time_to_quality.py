"""How long the original recipe and `fast` take to the same F1, on one device, in one run.

`fast` is trained whole, for several seeds, and timed by the clock: training, evaluation and checkpoints. Of the original recipe only single steps are timed, before each training and after
the last: on a CPU all of it would take hours. Its time is the steps to the end of its best epoch, times the median step; its evaluations are given to it for free. Its F1 needs the whole
training, which is done once per seed by our quicker way of taking the same steps (packed, in the device's quick precision), and kept in WORK.

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
QUICKER = dict(padding="packed", fast_kernels=True, precision="auto")


class Enough(Exception): "So many steps were asked for."


def judged(run, data):
    "What a run reached on the test articles, with Wilson's interval of the accuracy, which weighted F1 hardly differs from where errors are few."
    from fakenews_nb.cleaning import Rule
    from fakenews_nb.evaluation import accuracy_interval, evaluate_predictions, predict
    from fakenews_nb.splits import load_prepared
    dataset, manifest = load_prepared(data)
    predictions = predict(run.model, dataset["test"].to_pandas(), tuple(Rule(**rule) for rule in manifest["rules"]))
    scores, (low, high) = evaluate_predictions(predictions), accuracy_interval(predictions)
    return {"f1": scores["f1"], "accuracy": scores["accuracy"], "low": low, "high": high, "wrong": scores["errors"], "n": scores["n"]}


def trained(name, recipe, data, model, work):
    "Train a recipe whole and judge it, or read what was found before."
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.training import finetune
    file = work/f"{name} {recipe.seed}.json"
    if not file.exists():
        run = finetune(data, work/file.stem, model, recipe, resume=(work/file.stem).exists())
        keys = ("train_seconds", "best_epoch", "epochs", "steps", "train_articles", "recipe", "versions", "history")
        write_json({"seed": recipe.seed, "name": name, **judged(run, data), **{key: run.metrics[key] for key in keys}}, file)
        shutil.rmtree(run.folder/"checkpoints")
    return read_json(file)


def original_steps(data, model, n, work):
    "Seconds of each of `n` steps of the original recipe, to the letter; the first is not counted."
    from fakenews_nb.training import RECIPES, finetune
    from transformers import TrainerCallback
    class Clock(TrainerCallback):
        def __init__(self): self.seconds = []
        def on_step_begin(self, args, state, control, **kwargs): self.start = time.perf_counter()
        def on_step_end(self, args, state, control, **kwargs):
            self.seconds.append(time.perf_counter() - self.start)
            if len(self.seconds) > n: raise Enough
    clock = Clock()
    try: finetune(data, work/"steps", model, RECIPES["published"], overwrite=True, callbacks=[clock])
    except Enough: pass
    shutil.rmtree(work/"steps", ignore_errors=True)
    return clock.seconds[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("--model", required=True, help="a pretrained encoder")
    parser.add_argument("--work", type=Path, required=True, help="where trainings of the original recipe are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="of `fast`")
    parser.add_argument("--original-seeds", type=int, nargs="+", default=[42, 43, 44], help="of the original recipe, each of which trains for an hour or more")
    parser.add_argument("--steps", type=int, default=3, help="of the original recipe, timed before each training and after the last")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"time_to_quality.json")
    args = parser.parse_args()
    import torch
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.runtime import this_machine, versions
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.training import RECIPES
    torch.set_num_threads(args.threads)
    originals = [trained("original", replace(RECIPES["published"], seed=seed, **QUICKER), args.data, args.model, args.work) for seed in args.original_seeds]
    step_seconds, fast = original_steps(args.data, args.model, args.steps, args.work), []
    for seed in args.seeds:
        (args.work/f"fast {seed}.json").unlink(missing_ok=True) # its time counts only beside the original's steps
        shutil.rmtree(args.work/f"fast {seed}", ignore_errors=True)
        fast.append(trained("fast", replace(RECIPES["fast"], seed=seed), args.data, args.model, args.work))
        step_seconds += original_steps(args.data, args.model, args.steps, args.work)
    step, manifest = float(np.median(step_seconds)), load_prepared(args.data)[1]
    for run in originals: run["seconds_to_best"], run["seconds"] = step*run["steps"]*run["best_epoch"]/run["epochs"], step*run["steps"]
    write_json({"original": originals, "fast": fast, "step_seconds": step_seconds, "threads": args.threads, "model": Path(args.model).parent.name, "data": {key: manifest[key] for key in ("source", "protocol", "cleaning", "split", "counts")},
        "machine": asdict(this_machine()), "versions": versions()}, args.out)
    to_best = float(np.median([run["seconds_to_best"] for run in originals]))
    for run in originals: print(f"original, seed {run['seed']}: F1 {run['f1']:.4f} ({run['low']:.4f}–{run['high']:.4f}), {run['wrong']} of {run['n']:,} wrong; best epoch {run['best_epoch']:g}, {run['seconds_to_best']:,.0f} s to its end, by {step:.1f} s a step")
    for run in fast: print(f"fast,     seed {run['seed']}: F1 {run['f1']:.4f} ({run['low']:.4f}–{run['high']:.4f}), {run['wrong']} of {run['n']:,} wrong; {run['train_seconds']:,.0f} s, 1/{to_best/run['train_seconds']:.1f} of the original's median to its best epoch")


if __name__ == "__main__": main()
