"""How fast training and prediction are, step by step from the original recipe to ours, and how near to what the machine can do.

Every side runs in processes of its own, all sides in turn, several rounds; medians are shown. The model has TinyBERT's shape and random weights, the articles have ISOT's lengths
and random words: neither changes the time. A training step is what Trainer does (collate, forward, backward, clip, optimizer), with 16 articles, as on each of the notebook's two
GPUs. One step goes before, unmeasured. Prediction is over 128 articles, after 16. Work is counted by formula, so that a share of the machine's measured matrix-product peak can be stated. Memory is what a process
takes at its peak beyond what it took with the model loaded.

    python benchmarks/speed.py            # ten minutes on two cores; writes results/speed.json
    python benchmarks/speed.py --full     # and how cost grows with articles and tokens: as long again; writes results/growth.json
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

SHAPE = dict(vocab_size=30522, hidden_size=312, num_hidden_layers=4, num_attention_heads=12, intermediate_size=1200, max_position_embeddings=512)
BATCH, MEASURED, PREDICTED = 16, 2, 128 # articles per step, steps, articles to predict
PLAIN = dict(padding="dynamic", group_by_length=False, precision="fp32", fast_kernels=False)
PACKED = PLAIN | dict(padding="packed", fast_kernels=True)
SIDES = { # name -> what is changed in the published recipe, which of `fast_kernels` is used, and whether freed memory is kept
    "original recipe": ({}, {}),
    "padded to the longest of the batch": (PLAIN, {}),
    "and grouped by length": (PLAIN | dict(group_by_length=True), {}),
    "and the last layer for [CLS] alone": (PLAIN | dict(group_by_length=True, fast_kernels=True), dict(attention=False, dropout=False)),
    "packed, attention by text": (PACKED, dict(dropout=False)),
    "and quick dropout": (PACKED, {}),
    "and the device's quick precision": (PACKED | dict(precision="auto"), {}),
    "and freed memory is kept": (PACKED | dict(precision="auto"), dict(memory=True)),
}
FIRST, LAST = list(SIDES)[0], list(SIDES)[-1]
LENGTHS = Path(__file__).parent/"isot_lengths.json" # tokens at each per cent of ISOT's articles, before they are cut
KINDS = { # of operations, by their names in torch's profiler
    "matrix products": ("mm", "addmm", "bmm", "baddbmm"), "softmax": ("softmax", "exp2_", "exp2"), "dropout": ("bernoulli", "dropout", "random_", "bitwise", "rshift", "masked"), "GELU, norms": ("gelu", "norm"),
    "embeddings": ("embedding", "index"), "optimizer": ("adam", "lerp", "addcdiv", "addcmul", "sqrt"), "copies, casts, zeros": ("copy_", "fill_", "zero", "cat", "clone")}


def lengths(n, max_length, seed=0):
    "Article lengths as ISOT's, cut."
    quantiles = np.array(json.loads(LENGTHS.read_text()))
    return np.minimum(np.interp(np.random.default_rng(seed).random(n)*100, np.arange(101), quantiles), max_length).astype(int)


def forward_work(computed, first_alone):
    "Multiplications and additions of one forward pass, in GFLOP, for texts of so many tokens computed."
    hidden, inner, layers = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["num_hidden_layers"]
    tokens, squares = np.sum(computed, dtype=float), np.sum(np.square(computed), dtype=float)
    whole = 2*tokens*(4*hidden**2 + 2*hidden*inner) + 4*squares*hidden
    return (layers - first_alone)*whole/1e9 + first_alone*4*tokens*hidden*SHAPE["num_attention_heads"]/1e9


def peak(kind):
    "GFLOP/s of a matrix product of side 2,048: the best of several."
    import torch
    a, times = torch.randn(2048, 2048).to(kind), []
    for _ in range(12):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2*2048**3/min(times)/1e9


def batches(recipe, n):
    "Rows of `n` articles in batches as the recipe makes them."
    from fakenews_nb.training import _length_grouped_order
    rng, long = np.random.default_rng(1), lengths(n, recipe.max_length)
    order = _length_grouped_order(long, recipe.batch_size, 0, 0) if recipe.group_by_length else np.arange(n)
    return [[{"input_ids": rng.integers(1000, 30000, long[row]).tolist(), "labels": int(row % 2)} for row in part] for part in np.split(order, range(recipe.batch_size, n, recipe.batch_size))]


def computed_tokens(recipe, rows):
    "Tokens computed for each article of a batch."
    own = np.array([len(row["input_ids"]) for row in rows])
    if recipe.padding == "packed": return own
    return np.full(len(own), recipe.max_length if recipe.padding == "static" else min(-(-own.max()//8)*8, recipe.max_length))


def resident():
    "Megabytes that this process took at its peak."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024


def one_side(name, max_length, steps, compiled=False, profiled=False):
    "Measure one side once, in this process: prediction, then training, since the memory's peak is not forgotten."
    import torch
    from datasets import Dataset
    from fakenews_nb import models
    from fakenews_nb.runtime import set_seed
    from fakenews_nb.kernels import fast_kernels
    from fakenews_nb.models import predict_logits
    from fakenews_nb.tokenization import make_collator
    from fakenews_nb.training import RECIPES, _make_trainer, _training_arguments, resolve_recipe
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
    changes, which = SIDES[name]
    memory, which = patch.object(models, "keep_freed_memory") if not which.get("memory") else nullcontext(), {key: value for key, value in which.items() if key != "memory"}
    set_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE))
    recipe = resolve_recipe(replace(RECIPES["published"], max_length=max_length, batch_size=BATCH, **changes), model, BATCH*steps)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])})
    collate, empty, found = make_collator(tokenizer, recipe.max_length, recipe.padding), Dataset.from_dict({"input_ids": [[2]], "labels": [0], "length": [1]}), []
    before, weights = resident(), [weight.detach().clone() for weight in model.parameters()]
    with memory, tempfile.TemporaryDirectory() as folder, fast_kernels(model, **which) if recipe.fast_kernels else nullcontext():
        args = _training_arguments(recipe, Path(folder), 1000, recipe.precision)
        trainer = _make_trainer(model, args, collate, empty, empty, micro_batch_tokens=recipe.micro_batch_tokens, processing_class=tokenizer)
        trainer.create_optimizer_and_scheduler(1000)
        trainer.model_wrapped = trainer.model = trainer.accelerator.prepare_model(torch.compile(model) if compiled else model) # as train() does; it puts autocast around forward
        rows, unseen = batches(recipe, BATCH*(steps + 1)), batches(recipe, PREDICTED)
        def train(part):
            trainer.current_gradient_accumulation_steps = 1
            trainer.training_step(trainer.model, collate(part))
            trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), args.max_grad_norm)
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
            trainer.model.zero_grad()
        def predict(some):
            if recipe.padding == "packed": return predict_logits(model, tokenizer, [row["input_ids"] for row in some], progress=False, precision=recipe.precision)
            trainer.model.eval()
            with torch.inference_mode():
                for first in range(0, len(some), BATCH): trainer.model(**collate(some[first:first + BATCH]))
        if profiled:
            train(rows[0])
            return by_kind(lambda: train(rows[1])) | {"side": name}
        for what, do, share, parts in (("prediction", predict, 1, unseen), ("training", train, 3, rows[1:])):
            start = time.perf_counter()
            do(rows[0])
            first, start = time.perf_counter() - start, time.perf_counter()
            for part in parts if what == "training" else [sum(parts, [])]: do(part)
            found.append({"what": what, "seconds": time.perf_counter() - start, "first_seconds": first, "articles": sum(map(len, parts)), "tokens": int(sum(len(row["input_ids"]) for part in parts for row in part)),
                "gflop": share*sum(forward_work(computed_tokens(recipe, part), bool(recipe.fast_kernels)) for part in parts), "megabytes": resident() - before})
    moved = any(not torch.equal(old, new) for old, new in zip(weights, model.parameters()))
    if not moved: sys.exit(f"{name}: nothing was trained")
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[recipe.precision]
    return [{"side": name, "tokens_kept": max_length, "precision": recipe.precision, "compiled": compiled, "peak_gflops": peak(kind), **row} for row in found]


def by_kind(step):
    "Seconds of one training step by kind of operation, as torch's profiler sees them."
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CPU]) as seen: step()
    seconds = dict.fromkeys([*KINDS, "the rest"], 0.)
    for event in seen.key_averages():
        operation = event.key.removeprefix("aten::").lower()
        kind = next((kind for kind, parts in KINDS.items() if any(operation == part or (len(part) > 5 and part in operation) or (part in ("norm", "adam", "gelu", "zero", "cat", "index") and part in operation) for part in parts)), "the rest")
        seconds[kind] += event.self_cpu_time_total/1e6
    return {"seconds": seconds}


def growing(recipe, articles, max_length):
    "One epoch of `finetune` on so many articles, in this process: seconds, memory, and how fast the data are loaded."
    import datasets
    import torch
    from fakenews_nb.runtime import set_seed
    from fakenews_nb.splits import save_prepared
    from fakenews_nb.tokenization import train_tokenizer
    from fakenews_nb.training import RECIPES, finetune
    from transformers import BertConfig, BertForSequenceClassification, TrainerCallback
    class Loading(TrainerCallback):
        def on_train_end(self, args, state, control, train_dataloader=None, **kwargs):
            start = time.perf_counter()
            self.articles = sum(len(batch["labels"]) for batch in train_dataloader)
            self.seconds = time.perf_counter() - start
    rng, words = np.random.default_rng(0), np.array([f"{first}{middle}{last}" for first in "bdfgklmnprst" for middle in "aeiou" for last in "bdfgklmnprst"])
    def table(n, seed): return pd.DataFrame({"id": [f"{seed}-{number}" for number in range(n)], "title": "a title", "text": [" ".join(rng.choice(words, length)) for length in lengths(n, 10**4, seed)], "label": np.arange(n) % 2, "date": None, "subject": "", "source": "random words"})
    loading = Loading()
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder)/"cache" # no tokens of an earlier run
        parts = {"train": table(articles, 0), "validation": table(64, 1), "test": table(2, 2)}
        save_prepared(parts, Path(folder)/"data", {"source": "random words", "origin": "random words", "protocol": "none", "seed": 0, "cleaning": "none", "rules": []})
        set_seed(0)
        BertForSequenceClassification(BertConfig(**SHAPE)).save_pretrained(Path(folder)/"model")
        train_tokenizer(parts["train"].text.head(200).tolist()).save_pretrained(Path(folder)/"model")
        del parts
        before, start = resident(), time.perf_counter()
        run = finetune(Path(folder)/"data", Path(folder)/"run", str(Path(folder)/"model"), replace(RECIPES[recipe], epochs=1, min_steps=0, max_length=max_length), callbacks=[loading])
        seconds = time.perf_counter() - start - loading.seconds
    return {"recipe": recipe, "articles": articles, "tokens_kept": max_length, "seconds": seconds, "train_seconds": run.metrics["train_seconds"] - loading.seconds,
        "loaded_per_second": loading.articles/loading.seconds, "megabytes": resident() - before, "threads": torch.get_num_threads()}


def measured(call, *args):
    "Let a process of its own call a function of this file."
    done = subprocess.run([sys.executable, __file__, "--call", json.dumps([call, *args])], capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows, what):
    "Medians over the rounds; a ratio is the median of the rounds' ratios."
    every = pd.DataFrame([row for row in rows if row["what"] == what])
    every["ratio"] = every.groupby("round").seconds.transform(lambda group: group.iloc[0]/group)
    every = every.assign(**{"articles/s": every.articles/every.seconds, "tokens/s": every.tokens/every.seconds, "GFLOP/s": every.gflop/every.seconds, "share of peak": every.gflop/every.seconds/every.peak_gflops, "times original": every.ratio, "memory, MB": every.megabytes})
    return every.groupby("side", sort=False)[["articles/s", "tokens/s", "GFLOP/s", "share of peak", "times original", "memory, MB"]].median().round({"articles/s": 2, "tokens/s": 0, "GFLOP/s": 0, "share of peak": 2, "times original": 2, "memory, MB": 0})


def exponents(rows, by):
    "The slopes of seconds and memory on logarithmic scales."
    every = pd.DataFrame(rows)
    return {name: {column: round(float(np.polyfit(np.log(group[by]), np.log(group[column]), 1)[0]), 2) for column in ("seconds", "megabytes")} for name, group in every.groupby(every.columns[0], sort=False)}


def steps(args, about):
    "The first tables: every side in turn."
    from fakenews_nb.files import write_json
    from tqdm import tqdm
    rows, bar = [], tqdm(total=args.rounds*len(SIDES) + 2, unit=" measurements")
    for turn in range(args.rounds):
        for side in SIDES:
            rows += [row | {"round": turn} for row in measured("one_side", side, 512, MEASURED)]
            bar.update()
    shares = []
    for side in (FIRST, LAST):
        shares.append(measured("one_side", side, 512, 1, False, True))
        bar.update()
    bar.close()
    write_json({"rows": rows, "shares": shares, **about}, args.out/"speed.json")
    for what in ("training", "prediction"): print(f"\n{what}, articles cut at 512 tokens\n{table(rows, what).to_string()}")
    spent = pd.DataFrame({share["side"]: share["seconds"] for share in shares})
    print(f"\nseconds of one training step by kind of operation\n{spent.round(2).to_string()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure how cost grows, and torch.compile, too")
    parser.add_argument("--rounds", type=int, default=3, help="of the first tables; 0: without them")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results")
    parser.add_argument("--call", help="used by this program itself")
    args = parser.parse_args()
    if args.call:
        call, *rest = json.loads(args.call)
        return print(json.dumps(globals()[call](*rest)))
    os.environ.update(OMP_NUM_THREADS=str(args.threads), TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
    from fakenews_nb.files import write_json
    from fakenews_nb.runtime import this_machine, versions
    from tqdm import tqdm
    about = {"threads": args.threads, "machine": asdict(this_machine()), "versions": versions()}
    if args.rounds: steps(args, about)
    if not args.full: return
    plan = [("published", n, 128) for n in (250, 500, 1000)] + [("fast", n, 128) for n in (1000, 2000, 4000, 8000)]
    by_articles = [measured("growing", *job) for job in tqdm(plan, unit=" runs")]
    by_tokens = [row for side in (FIRST, LAST) for tokens in tqdm((64, 128, 256, 512), unit=" lengths") for row in measured("one_side", side, tokens, 2 if side == FIRST else 8) if row["what"] == "training"]
    by_tokens = [row | {"seconds": row["seconds"]/row["articles"]} for row in by_tokens]
    compiled = [row for whether in (False, True) for row in measured("one_side", LAST, 512, 8, whether) if row["what"] == "training"]
    write_json({"by_articles": by_articles, "by_tokens": by_tokens, "compiled": compiled, **about}, args.out/"growth.json")
    print(f"\nby articles, 128 tokens\n{pd.DataFrame(by_articles).round(1).to_string(index=False)}\nexponents {exponents(by_articles, 'articles')}")
    print(f"\nby tokens, for one article\n{pd.DataFrame(by_tokens)[['side', 'tokens_kept', 'seconds', 'megabytes']].round(3).to_string(index=False)}\nexponents {exponents(by_tokens, 'tokens_kept')}")
    print(f"\nwith torch.compile\n{pd.DataFrame(compiled)[['compiled', 'first_seconds', 'seconds', 'articles']].round(2).to_string(index=False)}")


if __name__ == "__main__": main()
