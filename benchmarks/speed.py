"""How fast training and prediction are, step by step from the original recipe to ours, and how near to what the machine can do.

Every side runs in processes of its own, all sides in turn, several rounds; medians are shown. The model has TinyBERT's shape and random weights, the articles have ISOT's lengths
and random words: neither changes the time. A step is what Trainer does: collate, forward, backward, clip, optimizer. Work is counted by formula, so that a share of the machine's
measured matrix-product peak can be stated.

    python benchmarks/speed.py            # 10 minutes on two cores
    python benchmarks/speed.py --full     # cost against articles and tokens as well
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

import numpy as np
import pandas as pd

SHAPE = dict(vocab_size=30522, hidden_size=312, num_hidden_layers=4, num_attention_heads=12, intermediate_size=1200, max_position_embeddings=512)
PLAIN = dict(padding="dynamic", group_by_length=False, precision="fp32", faster=False)
SIDES = { # name -> what is changed in the published recipe, which of `faster` is used
    "original recipe": (dict(), {}),
    "padded to the longest of the batch": (PLAIN, {}),
    "and grouped by length": (PLAIN | dict(group_by_length=True), {}),
    "and the last layer for [CLS] alone": (PLAIN | dict(group_by_length=True, faster=True), dict(attention=False, dropout=False)),
    "packed, attention by text": (PLAIN | dict(padding="packed", faster=True), dict(dropout=False)),
    "and quick dropout": (PLAIN | dict(padding="packed", faster=True), {}),
    "and the device's quick precision": (PLAIN | dict(padding="packed", faster=True, precision="auto"), {}),
}
LENGTHS = Path(__file__).parent/"isot_lengths.json" # tokens at each per cent of ISOT's articles, before they are cut


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


def batches(recipe, n, size):
    "Rows of `n` articles in batches as the recipe makes them, and the tokens computed for each article of the last batch."
    from fakenews_nb.training import grouped_order
    rng, long = np.random.default_rng(1), lengths(n, recipe.max_length)
    order = grouped_order(long, size, 0, 0) if recipe.group_by_length else np.arange(n)
    return [[{"input_ids": rng.integers(1000, 30000, long[row]).tolist(), "labels": int(row % 2)} for row in part] for part in np.split(order, range(size, n, size))]


def computed_tokens(recipe, rows):
    "Tokens computed for each article of a batch."
    own = np.array([len(row["input_ids"]) for row in rows])
    if recipe.padding == "packed": return own
    return np.full(len(own), recipe.max_length if recipe.padding == "static" else min(-(-own.max()//8)*8, recipe.max_length))


def one_side(name, what, articles, max_length):
    "Measure one side once, in this process."
    import torch
    from datasets import Dataset
    from fakenews_nb.core import set_seed
    from fakenews_nb.models import faster
    from fakenews_nb.tokenization import collator
    from fakenews_nb.training import RECIPES, make_trainer, settled, training_arguments
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
    changes, which = SIDES[name]
    set_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE))
    recipe = settled(replace(RECIPES["published"], max_length=max_length, **changes), model, articles)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])})
    collate = collator(tokenizer, recipe.max_length, recipe.padding)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder, faster(model, **which) if recipe.faster else nullcontext():
        args = training_arguments(recipe, Path(folder), 1000, precision=recipe.precision)
        trainer = make_trainer(model, args, collate, Dataset.from_dict({"input_ids": [[2]], "labels": [0]}), Dataset.from_dict({"input_ids": [[2]], "labels": [0]}), processing_class=tokenizer)
        rows = batches(recipe, articles, recipe.batch_size)
        work = sum(forward_work(computed_tokens(recipe, part), bool(recipe.faster)) for part in rows)*(3 if what == "training" else 1)
        trainer.create_optimizer_and_scheduler(1000)
        def train(part):
            with trainer.accelerator.autocast(): loss = trainer.model(**collate(part)).loss
            trainer.accelerator.backward(loss)
            trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), args.max_grad_norm)
            trainer.optimizer.step()
            trainer.model.zero_grad()
        def predict(part):
            with torch.inference_mode(), trainer.accelerator.autocast(): trainer.model(**collate(part))
        trainer.model.train(what == "training")
        do = {"training": train, "prediction": predict}[what]
        do(rows[0][:2])
        start = time.perf_counter()
        for part in rows: do(part)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "articles": articles, "tokens": int(sum(len(row["input_ids"]) for part in rows for row in part)), "gflop": work, "precision": recipe.precision,
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)/1024, "peak_gflops": peak({"bf16": torch.bfloat16, "fp32": torch.float32}[recipe.precision])}


def measured(*args):
    "Run this file for one measurement in a process of its own."
    done = subprocess.run([sys.executable, __file__, "--one", *map(str, args)], capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"speed.json")
    parser.add_argument("--one", nargs=4, metavar=("SIDE", "WHAT", "ARTICLES", "TOKENS"), help="used by this program itself")
    args = parser.parse_args()
    if args.one: return print(json.dumps(one_side(args.one[0], args.one[1], int(args.one[2]), int(args.one[3]))))
    os.environ.update(OMP_NUM_THREADS=str(args.threads), TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    from fakenews_nb.core import this_machine, versions, write_json
    from tqdm import tqdm
    rows, bar = [], tqdm(total=args.rounds*2*len(SIDES), unit=" measurements")
    for turn in range(args.rounds):
        for what, articles in (("training", 32), ("prediction", 128)):
            for side in SIDES:
                rows.append({"what": what, "side": side, "round": turn, **measured(side, what, articles, 512)})
                bar.update()
    bar.close()
    write_json({"rows": rows, "threads": args.threads, "machine": asdict(this_machine()), "versions": versions()}, args.out)
    for what in ("training", "prediction"): print(f"\n{what}\n{table(rows, what).to_string()}")


def table(rows, what):
    "Medians over the rounds; a ratio is the median of the rounds' ratios."
    every = pd.DataFrame([row for row in rows if row["what"] == what])
    every["slower"] = every.groupby("round").seconds.transform(lambda group: group.iloc[0]/group)
    every = every.assign(**{"articles/s": every.articles/every.seconds, "tokens/s": every.tokens/every.seconds, "GFLOP/s": every.gflop/every.seconds, "share of peak": every.gflop/every.seconds/every.peak_gflops, "times original": every.slower, "peak memory, MB": every.megabytes})
    return every.groupby("side", sort=False)[["articles/s", "tokens/s", "GFLOP/s", "share of peak", "times original", "peak memory, MB"]].median().round({"articles/s": 2, "tokens/s": 0, "GFLOP/s": 0, "share of peak": 2, "times original": 2, "peak memory, MB": 0})


if __name__ == "__main__": main()
