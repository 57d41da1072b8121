"""Measure training and prediction step by step, from the published recipe to our fast one.

Every side runs in a process of its own, all sides in turn, for several rounds; the tables show medians.
The model has TinyBERT's shape and random weights; the articles have ISOT's lengths and random words.
Neither changes the time.

A training step is what Trainer does (collate, forward, backward, clip, optimizer) with 16 articles,
the batch of each of the two GPUs of the source notebook, "Part 3: Fine-tuning TinyBERT for Fake News Detection"
(https://github.com/Amid68/Fake-News-Detection). A first step is not measured.
Prediction is over 128 articles, after 16 that are not measured.

The work is counted by formula and compared with the peak that the machine reaches in a matrix product.
Memory is the peak of the process beyond what it took with the model loaded.

    python benchmarks/speed.py            # ten minutes on two cores; writes results/speed.json
    python benchmarks/speed.py --full     # also how cost grows; as long again; writes results/growth.json
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SHAPE = {
    "vocab_size": 30522,
    "hidden_size": 312,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 1200,
    "max_position_embeddings": 512,
}
BATCH = 16 # articles per training step
MEASURED = 2 # training steps
PREDICTED = 128 # articles
LENGTHS = Path(__file__).parent/"isot_lengths.json" # tokens of ISOT's articles at each percentile, not truncated


@dataclass(frozen=True)
class Side:
    "One way of training and predicting."
    name: str
    recipe: dict # what it changes in the published recipe
    kernels: dict = field(default_factory=dict) # arguments of `fast_kernels`
    keep_freed_memory: bool = False # see `kernels.tune_process`


DYNAMIC = {"padding": "dynamic", "group_by_length": False, "precision": "fp32", "fast_kernels": False}
GROUPED = DYNAMIC | {"group_by_length": True}
PACKED = DYNAMIC | {"padding": "packed", "fast_kernels": True}
REDUCED = PACKED | {"precision": "auto"}

ALL_SIDES = [
    Side("original recipe", recipe={}),
    Side("padded to the longest of the batch", recipe=DYNAMIC),
    Side("and grouped by length", recipe=GROUPED),
    Side("and a [CLS]-only last layer", recipe=GROUPED | {"fast_kernels": True},
        kernels={"attention": False, "dropout": False}),
    Side("packed, with varlen attention", recipe=PACKED, kernels={"dropout": False}),
    Side("and fast dropout masks", recipe=PACKED),
    Side("and reduced precision", recipe=REDUCED),
    Side("and freed memory is kept", recipe=REDUCED, keep_freed_memory=True),
]
SIDES = {side.name: side for side in ALL_SIDES}
FIRST = ALL_SIDES[0].name
LAST = ALL_SIDES[-1].name

KINDS = { # kinds of operations, by their names in torch's profiler
    "matrix products": ("mm", "addmm", "bmm", "baddbmm"),
    "softmax": ("softmax", "exp2_", "exp2"),
    "dropout": ("bernoulli", "dropout", "random_", "bitwise", "rshift", "masked"),
    "GELU, norms": ("gelu", "norm"),
    "embeddings": ("embedding", "index"),
    "optimizer": ("adam", "lerp", "addcdiv", "addcmul", "sqrt"),
    "copies, casts, zeros": ("copy_", "fill_", "zero", "cat", "clone"),
}
MATCHED_ANYWHERE = ("norm", "adam", "gelu", "zero", "cat", "index") # short names that are parts of longer ones


# The work

def sample_lengths(n, max_length, seed=0):
    "Draw article lengths in tokens from ISOT's distribution, truncated."
    quantiles = np.array(json.loads(LENGTHS.read_text()))
    percentiles = np.random.default_rng(seed).random(n)*100
    return np.minimum(np.interp(percentiles, np.arange(101), quantiles), max_length).astype(int)


def make_batches(recipe, n):
    "Rows of `n` articles with random words, in batches as the recipe makes them."
    from fakenews_nb.training import _length_grouped_order
    rng = np.random.default_rng(1)
    lengths = sample_lengths(n, recipe.max_length)
    order = _length_grouped_order(lengths, recipe.batch_size, 0, 0) if recipe.group_by_length else np.arange(n)

    def make_row(number):
        return {"input_ids": rng.integers(1000, 30000, lengths[number]).tolist(), "labels": int(number % 2)}

    parts = np.split(order, range(recipe.batch_size, n, recipe.batch_size))
    return [[make_row(number) for number in part] for part in parts]


def computed_tokens(recipe, rows):
    "Tokens computed for each article of a batch, padding included."
    lengths = np.array([len(row["input_ids"]) for row in rows])
    if recipe.padding == "packed": return lengths
    if recipe.padding == "static": return np.full(len(lengths), recipe.max_length)
    multiple_of_8 = -(-lengths.max()//8)*8
    return np.full(len(lengths), min(multiple_of_8, recipe.max_length))


def forward_gflop(lengths, cls_only):
    "Multiplications and additions of one forward pass, in GFLOP, for texts of these computed lengths."
    hidden = SHAPE["hidden_size"]
    tokens = np.sum(lengths, dtype=float)
    squares = np.sum(np.square(lengths), dtype=float)
    projections = 2*tokens*(4*hidden**2 + 2*hidden*SHAPE["intermediate_size"])
    whole_layer = projections + 4*squares*hidden
    cls_only_layer = 4*tokens*hidden*SHAPE["num_attention_heads"]
    whole_layers = SHAPE["num_hidden_layers"] - cls_only
    return whole_layers*whole_layer/1e9 + cls_only*cls_only_layer/1e9


def peak_gflops(dtype):
    "GFLOP/s of a product of two matrices of 2,048 rows and columns: the best of twelve."
    import torch
    matrix = torch.randn(2048, 2048).to(dtype)
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return 2*2048**3/min(seconds)/1e9


def peak_megabytes():
    "Megabytes that this process took at its peak."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024


# One side, measured in a process of its own

@dataclass
class Bench:
    "A model, ready to train and to predict as one side does."
    recipe: Any
    model: Any
    tokenizer: Any
    collate: Callable
    trainer: Any
    megabytes: float # peak with the model loaded

    def train(self, rows):
        "One training step, as in Trainer's own loop."
        trainer = self.trainer
        trainer.current_gradient_accumulation_steps = 1
        trainer.training_step(trainer.model, self.collate(rows))
        trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.model.zero_grad()

    def predict(self, rows):
        "Logits of all rows: by `predict_logits` if the recipe packs, or else by the model in batches."
        import torch

        from fakenews_nb.models import predict_logits
        if self.recipe.padding == "packed":
            ids = [row["input_ids"] for row in rows]
            predict_logits(self.model, self.tokenizer, ids, progress=False, precision=self.recipe.precision)
            return
        self.trainer.model.eval()
        with torch.inference_mode():
            for first in range(0, len(rows), BATCH): self.trainer.model(**self.collate(rows[first:first + BATCH]))


@contextmanager
def open_bench(side, max_length, steps, compiled=False):
    "Set one side up in this process."
    from fakenews_nb.kernels import fast_kernels, tune_process
    tune_process(keep_freed_memory=side.keep_freed_memory)
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    from fakenews_nb.runtime import set_seed
    from fakenews_nb.tokenization import make_collator
    from fakenews_nb.training import RECIPES, _resolve_recipe
    set_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE))
    published = replace(RECIPES["published"], max_length=max_length, batch_size=BATCH, **side.recipe)
    recipe = _resolve_recipe(published, model, BATCH*steps)
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(special_tokens)})
    collate = make_collator(tokenizer, recipe.max_length, recipe.padding)
    megabytes = peak_megabytes()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if recipe.fast_kernels: stack.enter_context(fast_kernels(model, **side.kernels))
        trainer = make_trainer(model, recipe, tokenizer, collate=collate, folder=folder, compiled=compiled)
        yield Bench(recipe=recipe, model=model, tokenizer=tokenizer, collate=collate, trainer=trainer,
            megabytes=megabytes)


def make_trainer(model, recipe, tokenizer, *, collate, folder, compiled):
    "A Trainer whose model and optimizer are prepared as by `train()`, which puts autocast around the forward pass."
    import torch
    from datasets import Dataset

    from fakenews_nb.training import _make_trainer, _training_arguments
    arguments = _training_arguments(recipe, folder, 1000, recipe.precision)
    no_rows = Dataset.from_dict({"input_ids": [[2]], "labels": [0], "length": [1]})
    trainer = _make_trainer(model, arguments, collate, no_rows, no_rows,
        micro_batch_tokens=recipe.micro_batch_tokens, processing_class=tokenizer)
    trainer.create_optimizer_and_scheduler(1000)
    compiled_or_not = torch.compile(model) if compiled else model
    trainer.model = trainer.accelerator.prepare_model(compiled_or_not)
    trainer.model_wrapped = trainer.model
    return trainer


def timed(call, *args):
    "Seconds that a call takes."
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start


def result_row(bench, what, batches, *, seconds, first_seconds):
    "What was measured, and how much work it was; a training step needs three times the work of a forward pass."
    forward = [forward_gflop(computed_tokens(bench.recipe, rows), bool(bench.recipe.fast_kernels)) for rows in batches]
    passes = 3 if what == "training" else 1
    rows = [row for batch in batches for row in batch]
    return {
        "what": what,
        "seconds": seconds,
        "first_seconds": first_seconds,
        "articles": len(rows),
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "gflop": passes*sum(forward),
        "megabytes": peak_megabytes() - bench.megabytes,
    }


def one_side(name, max_length, steps, compiled=False):
    "Measure a side once: prediction first, then training, which needs more memory, since only the peak is known."
    import torch
    with open_bench(SIDES[name], max_length, steps, compiled) as bench:
        weights = [weight.detach().clone() for weight in bench.model.parameters()]
        first_batch, *batches = make_batches(bench.recipe, BATCH*(steps + 1))
        unseen = make_batches(bench.recipe, PREDICTED)
        first_seconds = timed(bench.predict, first_batch)
        seconds = timed(bench.predict, sum(unseen, []))
        prediction = result_row(bench, "prediction", unseen, seconds=seconds, first_seconds=first_seconds)
        first_seconds = timed(bench.train, first_batch)
        seconds = sum(timed(bench.train, batch) for batch in batches)
        training = result_row(bench, "training", batches, seconds=seconds, first_seconds=first_seconds)
        unchanged = all(map(torch.equal, weights, bench.model.parameters()))
    if unchanged: sys.exit(f"{name}: the weights did not change in training")
    precision = bench.recipe.precision
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    about = {
        "side": name,
        "tokens_kept": max_length,
        "precision": precision,
        "compiled": compiled,
        "peak_gflops": peak_gflops(dtype),
    }
    return [about | prediction, about | training]


def operation_kind(operation):
    "The kind of an operation, by its name in torch's profiler."
    def matches(part):
        anywhere = len(part) > 5 or part in MATCHED_ANYWHERE
        return part in operation if anywhere else part == operation
    return next((kind for kind, parts in KINDS.items() if any(map(matches, parts))), "the rest")


def profile_side(name, max_length):
    "Seconds of one training step of a side by kind of operation, as torch's profiler sees them."
    with open_bench(SIDES[name], max_length, 1) as bench:
        first_batch, batch = make_batches(bench.recipe, BATCH*2)
        bench.train(first_batch)
        from torch.profiler import ProfilerActivity, profile
        with profile(activities=[ProfilerActivity.CPU]) as profiler: bench.train(batch)
    seconds = dict.fromkeys([*KINDS, "the rest"], 0.)
    for event in profiler.key_averages():
        kind = operation_kind(event.key.removeprefix("aten::").lower())
        seconds[kind] += event.self_cpu_time_total/1e6
    return {"seconds": seconds, "side": name}


# How cost grows with the number of articles

def random_articles(n, rng, seed):
    "An article table with ISOT's lengths and random words."
    first, middle, last = "bdfgklmnprst", "aeiou", "bdfgklmnprst"
    words = np.array([f"{one}{two}{three}" for one in first for two in middle for three in last])
    texts = [" ".join(rng.choice(words, length)) for length in sample_lengths(n, 10**4, seed)]
    return pd.DataFrame({
        "id": [f"{seed}-{number}" for number in range(n)],
        "title": "a title",
        "text": texts,
        "label": np.arange(n) % 2,
        "date": None,
        "subject": "",
        "source": "random words",
    })


def write_training_inputs(folder, articles):
    "Write a prepared folder and a model folder with TinyBERT's shape."
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    from fakenews_nb.runtime import set_seed
    from fakenews_nb.splits import save_prepared
    from fakenews_nb.tokenization import train_tokenizer
    rng = np.random.default_rng(0)
    splits = {
        "train": random_articles(articles, rng, seed=0),
        "validation": random_articles(64, rng, seed=1),
        "test": random_articles(2, rng, seed=2),
    }
    about = dict.fromkeys(["source", "origin"], "random words") | dict.fromkeys(["protocol", "cleaning"], "none")
    save_prepared(splits, folder/"data", about | {"seed": 0, "rules": []})
    set_seed(0)
    BertForSequenceClassification(BertConfig(**SHAPE)).save_pretrained(folder/"model")
    texts = splits["train"]["text"].head(200).tolist()
    vocabulary = train_tokenizer(texts).get_vocab()
    vocabulary |= {f"[unused{number}]": number for number in range(len(vocabulary), SHAPE["vocab_size"])}
    BertTokenizer(vocab=vocabulary).save_pretrained(folder/"model")


def loading_callback():
    "A callback that loads all batches once more after training, and takes the time."
    from transformers import TrainerCallback

    class Loading(TrainerCallback):
        articles = 0
        seconds = 0.

        def on_train_end(self, args, state, control, train_dataloader=None, **kwargs):
            start = time.perf_counter()
            self.articles = sum(len(batch["labels"]) for batch in train_dataloader)
            self.seconds = time.perf_counter() - start

    return Loading()


def growing(recipe_name, articles, max_length):
    "Measure one epoch of `finetune` on so many articles: seconds, memory, and how fast the data are loaded."
    from fakenews_nb.kernels import tune_process
    from fakenews_nb.training import RECIPES, finetune
    tune_process(keep_freed_memory=RECIPES[recipe_name].fast_kernels)
    import datasets
    import torch
    recipe = replace(RECIPES[recipe_name], epochs=1, min_steps=0, max_length=max_length)
    loading = loading_callback()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets.config.HF_DATASETS_CACHE = folder/"cache" # no tokens from an earlier run
        write_training_inputs(folder, articles)
        megabytes = peak_megabytes()
        start = time.perf_counter()
        run = finetune(folder/"data", folder/"run", str(folder/"model"), recipe, callbacks=[loading])
        seconds = time.perf_counter() - start - loading.seconds
    return {
        "recipe": recipe_name,
        "articles": articles,
        "tokens_kept": max_length,
        "seconds": seconds,
        "train_seconds": run.metrics["train_seconds"] - loading.seconds,
        "loaded_per_second": loading.articles/loading.seconds,
        "megabytes": peak_megabytes() - megabytes,
        "threads": torch.get_num_threads(),
    }


# The measurements, in processes of their own, and their tables

MEASUREMENTS = {call.__name__: call for call in (one_side, profile_side, growing)}


def in_a_process(call, *args):
    "Let a new process do one of `MEASUREMENTS`."
    command = [sys.executable, __file__, "--call", json.dumps([call.__name__, *args])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows, what):
    "Medians over the rounds; a ratio is the median of the rounds' ratios."
    measured = pd.DataFrame([row for row in rows if row["what"] == what])
    by_round = measured.groupby("round").seconds
    rates = pd.DataFrame(index=measured.index)
    rates["articles/s"] = measured.articles/measured.seconds
    rates["tokens/s"] = measured.tokens/measured.seconds
    rates["GFLOP/s"] = measured.gflop/measured.seconds
    rates["fraction of peak"] = rates["GFLOP/s"]/measured.peak_gflops
    rates["times original"] = by_round.transform(lambda seconds: seconds.iloc[0]/seconds)
    rates["memory, MB"] = measured.megabytes
    digits = {"articles/s": 2, "tokens/s": 0, "GFLOP/s": 0, "fraction of peak": 2, "times original": 2, "memory, MB": 0}
    return rates.groupby(measured.side, sort=False).median().round(digits)


def exponents(rows, group, by):
    "The slopes of seconds and memory on logarithmic scales."
    slopes = {}
    for name, measured in pd.DataFrame(rows).groupby(group, sort=False):
        sizes = np.log(measured[by])
        for column in ("seconds", "megabytes"):
            slope, _ = np.polyfit(sizes, np.log(measured[column]), 1)
            slopes[name, column] = round(float(slope), 2)
    return pd.Series(slopes).unstack()


def measure_steps(rounds, about, out):
    "The first tables: every side in turn."
    from tqdm import tqdm

    from fakenews_nb.files import write_json
    rows, profiles = [], []
    with tqdm(total=rounds*len(SIDES) + 2, unit=" measurements") as bar:
        for turn in range(rounds):
            for side in SIDES:
                rows += [row | {"round": turn} for row in in_a_process(one_side, side, 512, MEASURED)]
                bar.update()
        for side in (FIRST, LAST):
            profiles.append(in_a_process(profile_side, side, 512))
            bar.update()
    write_json({"rows": rows, "profiles": profiles, **about}, out/"speed.json")
    for what in ("training", "prediction"):
        print(f"\n{what}, articles truncated to 512 tokens\n{table(rows, what).to_string()}")
    seconds = pd.DataFrame({profile["side"]: profile["seconds"] for profile in profiles})
    print(f"\nseconds of one training step by kind of operation\n{seconds.round(2).to_string()}")


def training_row(*args):
    "The training row of one side."
    rows = in_a_process(one_side, *args)
    return next(row for row in rows if row["what"] == "training")


def measure_growth(about, out):
    "How cost grows with articles and with tokens, and whether torch.compile pays."
    from tqdm import tqdm

    from fakenews_nb.files import write_json
    plan = [("published", articles, 128) for articles in (250, 500, 1000)]
    plan += [("fast", articles, 128) for articles in (1000, 2000, 4000, 8000)]
    by_articles = [in_a_process(growing, *job) for job in tqdm(plan, unit=" runs")]
    by_tokens = []
    for side, steps in ((FIRST, 2), (LAST, 8)):
        for tokens in tqdm((64, 128, 256, 512), unit=" lengths"):
            row = training_row(side, tokens, steps)
            by_tokens.append(row | {"seconds": row["seconds"]/row["articles"]})
    compiled = [training_row(LAST, 512, 8, whether) for whether in (False, True)]
    write_json({"by_articles": by_articles, "by_tokens": by_tokens, "compiled": compiled, **about}, out/"growth.json")
    print_growth(by_articles, by_tokens, compiled)


def print_growth(by_articles, by_tokens, compiled):
    articles = pd.DataFrame(by_articles).round(1)
    print(f"\nby articles, 128 tokens\n{articles.to_string(index=False)}")
    print(f"\nexponents\n{exponents(by_articles, 'recipe', 'articles').to_string()}")
    tokens = pd.DataFrame(by_tokens)[["side", "tokens_kept", "seconds", "megabytes"]].round(3)
    print(f"\nby tokens, for one article\n{tokens.to_string(index=False)}")
    print(f"\nexponents\n{exponents(by_tokens, 'side', 'tokens_kept').to_string()}")
    steps = pd.DataFrame(compiled)[["compiled", "first_seconds", "seconds", "articles"]].round(2)
    print(f"\nwith torch.compile\n{steps.to_string(index=False)}")


def parse_arguments():
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    results = Path(__file__).parent/"results"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure growth and torch.compile, too")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the first tables (default: 3; 0: none)")
    parser.add_argument("--threads", type=int, default=processors, help="threads of each process (default: all)")
    parser.add_argument("--out", type=Path, default=results, help="folder for the JSON files")
    parser.add_argument("--call", help=argparse.SUPPRESS) # one measurement, as JSON: used by this program itself
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.call:
        name, *arguments = json.loads(args.call)
        print(json.dumps(MEASUREMENTS[name](*arguments)))
        return
    os.environ.update(OMP_NUM_THREADS=str(args.threads), TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
    from fakenews_nb.runtime import this_machine, versions
    about = {"threads": args.threads, "machine": asdict(this_machine()), "versions": versions()}
    if args.rounds: measure_steps(args.rounds, about, args.out)
    if args.full: measure_growth(about, args.out)


if __name__ == "__main__": main()
