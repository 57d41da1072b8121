"""What a recipe may leave out: variants of a short recipe on one prepared folder, each trained with several seeds.

Each variant changes one thing. Validation articles compare the variants; nothing is chosen by the test articles,
whose scores are only reported. Time is that of the processor, on one thread, because it hardly depends on what else
the machine does.

A finished run is kept in --work and not repeated. A sweep can therefore be stopped and continued,
and several processes can share one.

    python benchmarks/sweep.py prepared --model FOLDER --work /tmp/sweep --seeds 42 43 44
    python benchmarks/sweep.py prepared --model FOLDER --work /tmp/sweep --only "128 tokens" "256 tokens"
"""
import argparse
import os
import shutil
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

BASE = {
    "epochs": 1,
    "min_steps": 0,
    "learning_rate": 2e-4,
    "max_length": 128,
    "batch_size": 32,
    "eval_batch_size": 32,
}
RATE_DECAY = .8 # from each layer to the one below


@dataclass(frozen=True)
class Variant:
    "One change of the base."
    recipe: dict[str, Any] = field(default_factory=dict) # what it changes in the recipe
    limit: int | None = None # training articles, at most
    patch: str | None = None # a name in `PATCHES`, for what no recipe can express


VARIANTS = {
    "base": Variant(),
    "32 tokens": Variant({"max_length": 32}),
    "64 tokens": Variant({"max_length": 64}),
    "256 tokens": Variant({"max_length": 256}),
    "384 tokens": Variant({"max_length": 384}),
    "512 tokens": Variant({"max_length": 512}),
    "rate 2e-5": Variant({"learning_rate": 2e-5}),
    "rate 5e-5": Variant({"learning_rate": 5e-5}),
    "rate 1e-4": Variant({"learning_rate": 1e-4}),
    "rate 3e-4": Variant({"learning_rate": 3e-4}),
    "rate 5e-4": Variant({"learning_rate": 5e-4}),
    "batches of 16": Variant({"batch_size": 16}),
    "batches of 64": Variant({"batch_size": 64}),
    "two epochs": Variant({"epochs": 2}),
    "three epochs": Variant({"epochs": 3}),
    "half the articles": Variant(limit=3000),
    "the tail": Variant(patch="tail"),
    "head and tail": Variant(patch="both"),
    "rate falls by a cosine": Variant(patch="cosine"),
    "rate constant after warm-up": Variant(patch="constant_with_warmup"),
    "rate .8 of the layer above": Variant({"encoder_learning_rate": 2e-4}, patch="layers"),
    "embeddings frozen": Variant(patch="frozen"),
    "weights averaged over the last third": Variant({"swa_fraction": .33}),
    "1,000 articles": Variant(limit=1000),
    "1,000 articles, 100 steps": Variant({"min_steps": 100}, limit=1000),
    "1,000 articles, 200 steps": Variant({"min_steps": 200}, limit=1000),
}


@contextmanager
def cut_texts(part):
    'Keep the "tail" of each text, or "both" head and tail, instead of its head.'
    from fakenews_nb import tokenization
    encode = tokenization.encode

    def encode_part(texts, tokenizer, max_length=512):
        head = max_length//2 if part == "both" else 1 # 1: [CLS] alone
        tail = max_length - head
        token_ids = []
        for ids in encode(texts, tokenizer, 10**5):
            is_short = len(ids) <= max_length
            token_ids.append(ids if is_short else ids[:head] + ids[-tail:])
        return token_ids

    with ExitStack() as stack:
        stack.enter_context(patch.object(tokenization, "encode", encode_part))
        # The cache of tokens does not know that the texts are cut in another way.
        stack.enter_context(patch.object(tokenization, "_CACHE_FROM_ARTICLES", float("inf")))
        yield


@contextmanager
def change_schedule(schedule):
    "Change how the learning rate falls."
    from fakenews_nb import training
    training_arguments = training._training_arguments

    def changed_arguments(*args, **kwargs):
        settings = training_arguments(*args, **kwargs)
        scheduler_type = type(settings.lr_scheduler_type)
        settings.lr_scheduler_type = scheduler_type(schedule)
        return settings

    with patch.object(training, "_training_arguments", changed_arguments): yield


@contextmanager
def freeze_embeddings(_):
    "Do not train the embeddings."
    from fakenews_nb import training
    load_encoder = training.load_encoder

    def load_frozen(*args, **kwargs):
        model, tokenizer = load_encoder(*args, **kwargs)
        model.base_model.embeddings.requires_grad_(False)
        return model, tokenizer

    with patch.object(training, "load_encoder", load_frozen): yield


@contextmanager
def decay_rate_by_layer(_):
    "Train each layer at a lower rate than the one above."
    from fakenews_nb import training
    with patch.object(training, "_discriminative_optimizer", layerwise_optimizer): yield


def layerwise_optimizer(model, recipe):
    "AdamW with a learning rate per layer: the embeddings have the lowest, the head has that of the recipe."
    from torch.optim import AdamW
    levels = layer_levels(model)
    top = max(levels.values()) + 1
    groups = []
    for weight in model.parameters():
        steps_below_the_head = top - levels.get(id(weight), top)
        rate = recipe.learning_rate*RATE_DECAY**steps_below_the_head
        decay = 0. if weight.ndim == 1 else recipe.weight_decay # no decay of biases and norms
        groups.append({"params": [weight], "lr": rate, "weight_decay": decay})
    return AdamW(groups)


def layer_levels(model):
    "The level of each weight of the encoder: 0 for the embeddings, then 1 and up."
    from fakenews_nb.kernels import _encoder_layers
    levels = {}
    for weight in model.base_model.embeddings.parameters(): levels[id(weight)] = 0
    for level, layer in enumerate(_encoder_layers(model), 1):
        for weight in layer.parameters(): levels[id(weight)] = level
    return levels


PATCHES = {
    "tail": cut_texts,
    "both": cut_texts,
    "cosine": change_schedule,
    "constant_with_warmup": change_schedule,
    "frozen": freeze_embeddings,
    "layers": decay_rate_by_layer,
}


def train(data, model, folder, name, seed):
    "Train one variant with one seed: the scores and the processor's seconds."
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.training import RECIPES, finetune
    variant = VARIANTS[name]
    changes = BASE | variant.recipe
    recipe = replace(RECIPES["fast"], seed=seed, **changes)
    clock = make_clock()
    dataset, _ = load_prepared(data)
    with ExitStack() as stack:
        if variant.patch: stack.enter_context(PATCHES[variant.patch](variant.patch))
        run = finetune(data, folder, model, recipe, limit=variant.limit, overwrite=True, callbacks=[clock])
        scores = {split: score(run, dataset[split]) for split in ("validation", "test")}
    shutil.rmtree(folder)
    return {
        "name": name,
        "seed": seed,
        "changes": changes,
        "odd": variant.patch,
        "limit": variant.limit,
        "seconds": clock.seconds,
        "steps": run.metrics["steps"],
        "weights": run.metrics["weights"],
        **scores,
    }


def make_clock():
    "A callback that measures the processor's time of a training."
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs): self.start = time.process_time()

        def on_train_end(self, args, state, control, **kwargs): self.seconds = time.process_time() - self.start

    return Clock()


def score(run, articles):
    "The scores of a run on some articles, read in the way it was trained."
    from scipy.special import softmax
    from sklearn.metrics import log_loss

    from fakenews_nb import tokenization
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.stats import weighted_scores
    classifier, tokenizer = load_classifier(run.model)
    texts = tokenization.article_texts(articles, run.metrics["recipe"]["missing_parts"])
    token_ids = tokenization.encode(texts, tokenizer, run.metrics["recipe"]["max_length"])
    logits = predict_logits(classifier, tokenizer, token_ids, progress=False, precision="auto")
    labels = list(articles["label"])
    predicted = logits.argmax(1)
    probabilities = softmax(logits.astype(float), axis=1)
    return {
        "n": len(labels),
        "wrong": int((predicted != labels).sum()),
        "f1": weighted_scores(labels, predicted)["f1"],
        "log_loss": float(log_loss(labels, probabilities)),
    }


def sweep(args):
    "Train every variant with every seed, unless its result is kept already."
    from fakenews_nb.files import write_json
    for seed in args.seeds:
        for name in args.only:
            result_file = args.work/f"{seed} {name}.json"
            if result_file.exists(): continue
            result = train(args.data, args.model, args.work/f"{seed} {name}", name, seed)
            write_json(result, result_file)
            print(describe(result), flush=True)


def describe(result):
    "One line about a run."
    validation, test = result["validation"], result["test"]
    return (f"{result['name']}, seed {result['seed']}: {result['seconds']:.0f} s, "
        f"validation F1 {validation['f1']:.4f}, log loss {validation['log_loss']:.4f}, test F1 {test['f1']:.4f}")


def write_results(args):
    "Write all results that are kept in --work as one file."
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.runtime import this_machine, versions
    from fakenews_nb.splits import load_prepared
    order = list(VARIANTS)
    runs = [read_json(file) for file in sorted(args.work.glob("*.json"))]
    runs.sort(key=lambda run: (run["seed"], order.index(run["name"])))
    _, manifest = load_prepared(args.data)
    about_data = {name: manifest[name] for name in ("source", "protocol", "cleaning", "split", "counts")}
    results = {
        "base": BASE,
        "model": Path(args.model).parent.name,
        "runs": runs,
        "data": about_data,
        "machine": asdict(this_machine()),
        "versions": versions(),
    }
    write_json(results, args.out)


def read_arguments():
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_out = Path(__file__).parent/"results"/"sweep.json"
    parser.add_argument("data", type=Path, help="prepared folder")
    parser.add_argument("--model", required=True, help="folder of a pretrained encoder")
    parser.add_argument("--work", type=Path, required=True, help="folder in which finished runs are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], help="seeds of the trainings (default: 42)")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME",
        help="variants to train (default: all)")
    parser.add_argument("--out", type=Path, default=default_out, help="file of the results (default: %(default)s)")
    return parser.parse_args()


def main():
    args = read_arguments()
    import torch
    torch.set_num_threads(1)
    sweep(args)
    write_results(args)


if __name__ == "__main__": main()
