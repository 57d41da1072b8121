"""What a recipe may leave out: variants of a quick recipe on one prepared folder, each for several seeds, judged on the validation articles.

Each variant changes one thing. A finished run is kept in WORK and not done again, so that the sweep can be stopped, and be shared by several processes. Time is that of the
processor, on one thread, because it hardly depends on what else the machine does. Nothing is chosen by the test articles; their scores stand beside, to be read.

    python benchmarks/sweep.py prepared --model FOLDER --work /tmp/sweep --seeds 42 43 44
    python benchmarks/sweep.py prepared --model FOLDER --work /tmp/sweep --only "128 tokens" "256 tokens"
"""
import argparse
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
BASE = dict(epochs=1, min_steps=0, learning_rate=2e-4, max_length=128, batch_size=32, eval_batch_size=32)
VARIANTS = { # name -> what is changed in BASE, and what no recipe can say, see `odd`
    "base": {},
    **{f"{tokens} tokens": dict(max_length=tokens) for tokens in (32, 64, 256, 384, 512)},
    **{f"rate {rate}": dict(learning_rate=float(rate)) for rate in ("2e-5", "5e-5", "1e-4", "3e-4", "5e-4")},
    "batches of 16": dict(batch_size=16), "batches of 64": dict(batch_size=64),
    "two epochs": dict(epochs=2), "three epochs": dict(epochs=3), "half the articles": dict(limit=3000),
    "the tail": dict(odd="tail"), "head and tail": dict(odd="both"),
    "rate falls by a cosine": dict(odd="cosine"), "rate constant after warm-up": dict(odd="constant_with_warmup"),
    "rate .8 of the layer above": dict(odd="layers", encoder_learning_rate=2e-4), "embeddings frozen": dict(odd="frozen"),
    "weights averaged over the last third": dict(swa_fraction=.33),
    "1,000 articles": dict(limit=1000), "1,000 articles, 100 steps": dict(limit=1000, min_steps=100), "1,000 articles, 200 steps": dict(limit=1000, min_steps=200),
}


@contextmanager
def changed(odd):
    "Let `finetune` do what no recipe says: it did not pay, or is no recipe's business."
    from fakenews_nb import tokenization, training
    encode, arguments, load = tokenization.encode, training._training_arguments, training.load_encoder
    def cut(texts, tokenizer, max_length=512):
        whole, head = encode(texts, tokenizer, 10**5), max_length//2 if odd == "both" else 1
        return [row if len(row) <= max_length else row[:head] + row[head - max_length:] for row in whole]
    def schedule(*args, **kwargs):
        settings = arguments(*args, **kwargs)
        settings.lr_scheduler_type = type(settings.lr_scheduler_type)(odd)
        return settings
    def freeze(*args, **kwargs):
        model, tokenizer = load(*args, **kwargs)
        model.base_model.embeddings.requires_grad_(False)
        return model, tokenizer
    def by_layer(model, recipe):
        from torch.optim import AdamW
        from fakenews_nb.kernels import _encoder_layers
        depth = {id(weight): number for number, layer in enumerate(_encoder_layers(model), 1) for weight in layer.parameters()} | {id(weight): 0 for weight in model.base_model.embeddings.parameters()}
        top = len(_encoder_layers(model)) + 1
        return AdamW([{"params": [weight], "lr": recipe.learning_rate*.8**(top - depth.get(id(weight), top)), "weight_decay": 0. if weight.ndim == 1 else recipe.weight_decay} for weight in model.parameters()])
    patches = {"tail": (tokenization, "encode", cut), "both": (tokenization, "encode", cut), "frozen": (training, "load_encoder", freeze), "layers": (training, "two_rates", by_layer),
        "cosine": (training, "training_arguments", schedule), "constant_with_warmup": (training, "training_arguments", schedule)}
    with patch.object(*patches[odd]) if odd in patches else patch.object(training, "MADE_BY", training._MADE_BY): yield


def train(data, model, folder, name, seed):
    "One run: its scores and the processor's seconds."
    from fakenews_nb import tokenization
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.stats import weighted_scores
    from fakenews_nb.training import RECIPES, finetune
    from scipy.special import softmax
    from sklearn.metrics import log_loss
    from transformers import TrainerCallback
    class Clock(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs): self.start = time.process_time()
        def on_train_end(self, args, state, control, **kwargs): self.seconds = time.process_time() - self.start
    changes = BASE | VARIANTS[name]
    odd, limit, clock = changes.pop("odd", None), changes.pop("limit", None), Clock()
    dataset, _ = load_prepared(data)
    with changed(odd):
        run = finetune(data, folder, model, replace(RECIPES["fast"], seed=seed, **changes), limit=limit, overwrite=True, callbacks=[clock])
        found = {"name": name, "seed": seed, "changes": changes, "odd": odd, "limit": limit, "seconds": clock.seconds, "steps": run.metrics["steps"], "weights": run.metrics["weights"]}
        classifier, tokenizer = load_classifier(run.model)
        for split in ("validation", "test"):
            articles = dataset[split]
            texts, *_ = tokenization.article_texts(articles["title"], articles["text"])
            logits, labels = predict_logits(classifier, tokenizer, tokenization.encode(texts, tokenizer, run.metrics["recipe"]["max_length"]), progress=False, precision="auto"), list(articles["label"])
            found[split] = {"n": len(labels), "wrong": int((logits.argmax(1) != labels).sum()), "f1": weighted_scores(labels, logits.argmax(1))["f1"], "log_loss": float(log_loss(labels, softmax(logits.astype(float), axis=1)))}
    shutil.rmtree(folder)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("--model", required=True, help="a pretrained encoder")
    parser.add_argument("--work", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"sweep.json")
    args = parser.parse_args()
    import torch
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.runtime import this_machine, versions
    from fakenews_nb.splits import load_prepared
    torch.set_num_threads(1)
    for seed in args.seeds:
        for name in args.only:
            file = args.work/f"{seed} {name}.json"
            if file.exists(): continue
            done = train(args.data, args.model, args.work/f"{seed} {name}", name, seed)
            write_json(done, file)
            print(f"{name}, seed {seed}: {done['seconds']:.0f} s, validation F1 {done['validation']['f1']:.4f}, log loss {done['validation']['log_loss']:.4f}, test F1 {done['test']['f1']:.4f}", flush=True)
    manifest = load_prepared(args.data)[1]
    runs = [read_json(file) for file in sorted(args.work.glob("*.json"))]
    write_json({"base": BASE, "model": Path(args.model).parent.name, "runs": sorted(runs, key=lambda run: (run["seed"], list(VARIANTS).index(run["name"]))),
        "data": {key: manifest[key] for key in ("source", "protocol", "cleaning", "split", "counts")}, "machine": asdict(this_machine()), "versions": versions()}, args.out)


if __name__ == "__main__": main()
