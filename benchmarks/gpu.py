"""Measure on a GPU what the other benchmarks measure on a CPU, in one command that is meant to take ten minutes.

    python benchmarks/gpu.py                 # writes results/gpu.json, section by section
    python benchmarks/gpu.py --rehearse      # every section once on the CPU, small, to see that the script works

The model has TinyBERT's shape and random weights; the articles have ISOT's lengths and random words.

- equality: how far logits move from those of fp32 on the CPU, in each precision, with and without fast kernels
- attention: the kernel that PyTorch runs for TinyBERT's head size of 26, plain and padded
- training: published against fast, and larger batches: time, articles per second, memory, part of the peak
- compiled: fast with torch.compile, with and without CUDA graphs
- prediction: articles per second
- full run: a training of 31,428 articles with the recipe fast, by the clock

A section that would begin after eight minutes is skipped and named (--minutes); one that has begun is not cut off.
So far the script has been rehearsed on a CPU only.
"""
import argparse
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from speed import SHAPE, computed_tokens, forward_gflop, make_batches, sample_lengths, write_training_inputs

from fakenews_nb.files import write_json
from fakenews_nb.runtime import this_machine, versions

RESULTS = Path(__file__).resolve().parent/"results"/"gpu.json"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
FULL_RUN = 31_428 # training articles of the source notebook's split


@dataclass(frozen=True)
class Plan:
    "How much is measured."
    device: str
    steps: int # per training measurement
    predicted: int # articles per prediction measurement
    batch_sizes: tuple # of the recipe fast
    full_run: int # articles
    rounds: int # of each measurement


def synchronize(device):
    "Wait until the device has done its work."
    import torch
    if device == "cuda": torch.cuda.synchronize()


def timed(device, call, *args):
    "Seconds that a call takes, with all that it has started on the device."
    synchronize(device)
    start = time.perf_counter()
    call(*args)
    synchronize(device)
    return time.perf_counter() - start


def new_model(device):
    "A classifier of TinyBERT's shape, the same each time."
    from transformers import BertConfig, BertForSequenceClassification

    from fakenews_nb.runtime import set_seed
    set_seed(0)
    return BertForSequenceClassification(BertConfig(**SHAPE)).to(device)


def precision_context(device, precision):
    "Autocast for bf16 and fp16; fp32 and tf32 are settings of the matrix products."
    import torch
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device, dtype) if dtype else nullcontext()


# ---- equality and kernels --------------------------------------------------------------------------------------------

def padded_batch(n, max_length, device):
    "Token ids and mask of some random articles."
    import torch
    rng = np.random.default_rng(2)
    lengths = sample_lengths(n, max_length)
    ids = np.zeros((n, max_length), dtype=np.int64)
    mask = np.zeros((n, max_length), dtype=np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = rng.integers(1000, 30000, length)
        mask[row, :length] = 1
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


def logits_of(model, batch, device, precision, fast):
    "Logits in one precision, with or without fast kernels."
    import torch

    from fakenews_nb.kernels import fast_kernels
    model.eval()
    kernels = fast_kernels(model) if fast else nullcontext()
    with torch.inference_mode(), kernels, precision_context(device, precision): logits = model(**batch).logits
    return logits.float().cpu()


def measure_equality(plan):
    "The largest difference of a logit from fp32 on the CPU, and the labels that agree."
    expected = logits_of(new_model("cpu"), padded_batch(32, 256, "cpu"), "cpu", "fp32", fast=False)
    model, batch = new_model(plan.device), padded_batch(32, 256, plan.device)
    rows = []
    for precision in PRECISIONS:
        if plan.device == "cpu" and precision in ("tf32", "fp16"): continue
        for fast in (False, True):
            logits = logits_of(model, batch, plan.device, precision, fast)
            agree = (logits.argmax(1) == expected.argmax(1)).float().mean()
            rows.append({"precision": precision, "fast_kernels": fast, "labels_agree": float(agree),
                "largest_difference": float((logits - expected).abs().max())})
    return rows


def measure_attention(plan):
    "The names of the kernels that ran in the attention, by torch's profiler."
    import torch
    from torch.profiler import ProfilerActivity, profile
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if plan.device == "cuda" else [])
    rows = []
    for precision in ("fp32", "bf16" if plan.device == "cpu" else this_machine().reduced_precision):
        for fast in (False, True):
            model, batch = new_model(plan.device), padded_batch(32, 256, plan.device)
            with profile(activities=activities) as profiler: logits_of(model, batch, plan.device, precision, fast)
            names = sorted({event.key for event in profiler.key_averages() if "attention" in event.key.lower()
                or "fmha" in event.key.lower() or "flash" in event.key.lower()})
            rows.append({"precision": precision, "fast_kernels": fast, "kernels": names})
    torch.set_float32_matmul_precision("highest")
    return rows


# ---- training and prediction -----------------------------------------------------------------------------------------

def recipes(plan):
    "The training sides: name -> recipe."
    from fakenews_nb.training import RECIPES
    published, fast = RECIPES["published"], RECIPES["fast"]
    if plan.device == "cpu": published = replace(published, max_length=64)
    sides = {"published": published, "fast, 512 tokens": replace(fast, max_length=published.max_length)}
    for batch_size in plan.batch_sizes: sides[f"fast, batch {batch_size}"] = replace(fast, batch_size=batch_size)
    return sides


def peak_tflops(device, dtype):
    "TFLOP/s of a large product of two matrices: the best of twelve."
    import torch
    size = 8192 if device == "cuda" else 1024
    matrix = torch.randn(size, size, device=device).to(dtype)
    seconds = [timed(device, torch.matmul, matrix, matrix) for _ in range(12)]
    return 2*size**3/min(seconds)/1e12


def open_training(recipe, plan):
    "A model, the recipe as resolved, and batches for the warm-up and the measured steps."
    from transformers import BertTokenizer

    from fakenews_nb.tokenization import make_collator
    from fakenews_nb.training import _resolve_recipe
    model = new_model(plan.device)
    used = _resolve_recipe(recipe, model, recipe.batch_size*(plan.steps + 2))
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(special_tokens)})
    collate = make_collator(tokenizer, used.max_length, used.padding)
    batches = make_batches(used, used.batch_size*(plan.steps + 2))
    return model, used, tokenizer, collate, batches


def training_steps(recipe, plan, compiled=None):
    "Seconds of each training step, and the memory at its peak."
    import torch
    from speed import make_trainer

    from fakenews_nb.kernels import fast_kernels
    model, used, tokenizer, collate, batches = open_training(recipe, plan)
    kernels = fast_kernels(model) if used.fast_kernels else nullcontext()
    with tempfile.TemporaryDirectory() as folder, kernels:
        trainer = make_trainer(model, used, tokenizer, collate=collate, folder=Path(folder), compiled=False)
        if compiled: trainer.model = torch.compile(trainer.model, mode=compiled)
        if plan.device == "cuda": torch.cuda.reset_peak_memory_stats()

        def step(rows):
            trainer.current_gradient_accumulation_steps = 1
            trainer.training_step(trainer.model, collate(rows))
            trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
            trainer.model.zero_grad()

        for rows in batches[:2]: step(rows)
        seconds = [timed(plan.device, step, rows) for rows in batches[2:]]
    megabytes = torch.cuda.max_memory_allocated()/1e6 if plan.device == "cuda" else None
    gflop = 3*sum(forward_gflop(computed_tokens(used, rows), used.fast_kernels) for rows in batches[2:])
    n_articles = sum(len(rows) for rows in batches[2:])
    return {"precision": used.precision, "padding": used.padding, "batch_size": used.batch_size,
        "step_seconds": median(seconds), "articles_per_second": n_articles/sum(seconds),
        "tflops": float(gflop)/sum(seconds)/1e3, "megabytes": megabytes}


def measure_training(plan):
    "All sides in turn, for several rounds; the medians."
    import torch
    found = {}
    for _ in range(plan.rounds):
        for name, recipe in recipes(plan).items():
            found.setdefault(name, []).append(training_steps(recipe, plan))
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    rows = []
    for name, measured in found.items():
        row = {key: median(one[key] for one in measured) for key in ("step_seconds", "articles_per_second", "tflops")}
        peak = peak_tflops(plan.device, dtypes[measured[0]["precision"]])
        rows.append({"side": name, **measured[0], **row, "part_of_peak": row["tflops"]/peak})
    return rows


def measure_compiled(plan):
    "The recipe fast, compiled; a mode that fails is named with its error."
    from fakenews_nb.training import RECIPES
    rows = []
    for mode in ("default", "reduce-overhead"): # the latter uses CUDA graphs
        try: rows.append({"mode": mode, **training_steps(RECIPES["fast"], plan, compiled=mode)})
        except Exception as error: rows.append({"mode": mode, "error": f"{type(error).__name__}: {str(error)[:200]}"})
    return rows


def measure_prediction(plan):
    "Articles per second of predict_logits, at two lengths."
    from transformers import BertTokenizer

    from fakenews_nb.models import predict_logits
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(special_tokens)})
    model, rng, rows = new_model(plan.device), np.random.default_rng(3), []
    for max_length in (128, 512):
        ids = [rng.integers(1000, 30000, length).tolist() for length in sample_lengths(plan.predicted, max_length)]
        seconds = []
        for _ in range(plan.rounds + 1):
            seconds.append(timed(plan.device, lambda ids=ids: predict_logits(model, tokenizer, ids, progress=False)))
        rows.append({"max_length": max_length, "articles_per_second": plan.predicted/median(seconds[1:])})
    return rows


def measure_full_run(plan):
    "A whole training with the recipe fast: tokenization, epochs, evaluations and checkpoints."
    from fakenews_nb.training import RECIPES, finetune
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_training_inputs(folder, plan.full_run)
        recipe = RECIPES["fast"] if plan.device == "cuda" else replace(RECIPES["fast"], epochs=1, min_steps=0)
        start = time.perf_counter()
        run = finetune(folder/"data", folder/"run", folder/"model", recipe)
        seconds = time.perf_counter() - start
    return {"articles": plan.full_run, "seconds": seconds, "train_seconds": run.metrics["train_seconds"]}


SECTIONS = {
    "equality": measure_equality,
    "attention": measure_attention,
    "training": measure_training,
    "prediction": measure_prediction,
    "full_run": measure_full_run,
    "compiled": measure_compiled,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="Run every section on the CPU, small.")
    parser.add_argument("--out", type=Path, help="JSON file to write (default: results/gpu.json; none if rehearsed).")
    parser.add_argument("--minutes", type=float, default=8, help="Begin no section after these (default: %(default)s).")
    args = parser.parse_args()
    machine = this_machine()
    if machine.device != "cuda" and not args.rehearse: sys.exit("no NVIDIA GPU was found; --rehearse runs on the CPU")
    plan = Plan("cuda", steps=20, predicted=4096, batch_sizes=(32, 64, 128, 256), full_run=FULL_RUN, rounds=3)
    if args.rehearse: plan = Plan("cpu", steps=2, predicted=32, batch_sizes=(16,), full_run=64, rounds=1)
    out = args.out or (None if args.rehearse else RESULTS)
    results = {"machine": asdict(machine), "versions": versions(), "skipped": []}
    began = time.perf_counter()
    for name, measure in SECTIONS.items():
        start = time.perf_counter()
        if start - began > 60*args.minutes:
            results["skipped"].append(name)
            print(f"{name}: skipped, {args.minutes:g} minutes are over", flush=True)
            if out: write_json(results, out)
            continue
        results[name] = measure(plan)
        shown = results[name] if isinstance(results[name], list) else [results[name]]
        print(f"{name} ({time.perf_counter() - start:.0f} s)", *shown, sep="\n  ", flush=True)
        if out: write_json(results, out)


if __name__ == "__main__": main()
