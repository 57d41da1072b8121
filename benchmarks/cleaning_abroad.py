"""Trained on ISOT after each cleaning level, judged on news from elsewhere: macro-F1 and AUC on FakeNewsAMT and Horne 2017.

    python benchmarks/cleaning_abroad.py --model FOLDER [--data FOLDER] [--limit 2000] [--seeds 42 43 44] [--out benchmarks/results/cleaning_abroad.json]

Fixed beforehand: the clean protocol's grouped split of ISOT; TF-IDF of words and word pairs with LinearSVC on all training articles; the encoder fine-tuned
by the fast recipe for one epoch of 128 tokens on --limit training articles. The external corpora's labels are used for the scores and for nothing else. Horne's
satire is left out. What is measured is kept in --out as it comes, and a second call goes on from there.
"""
import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from fakenews_nb.stats import delong_interval
from fakenews_nb.baselines import whole_texts
from fakenews_nb.audit import PARTIAL_INPUTS
from fakenews_nb.cleaning import LEVELS, clean_articles
from fakenews_nb.files import read_json, write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.data import load_articles
from fakenews_nb.stats import classification_scores
from fakenews_nb.evaluation import predict
from fakenews_nb.splits import load_prepared, prepare
from fakenews_nb.training import RECIPES, finetune
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

ABROAD = ("fakenewsamt", "horne2017")


def scores_of(labels, scores):
    "Macro-F1 at the model's own threshold, and AUC with its interval."
    auc, low, high = delong_interval(scores, labels)
    return {"n": len(labels), "macro_f1": classification_scores(labels, np.asarray(scores) > 0, scores)["macro_f1"], "auc": auc, "auc_low": low, "auc_high": high}


def linear(train, tests):
    "The linear model's scores on each test table."
    model = make_pipeline(TfidfVectorizer(**PARTIAL_INPUTS["all words (TF-IDF)"][1]), LinearSVC(random_state=0)).fit(whole_texts(train), train.label)
    return {name: scores_of(test.label.to_numpy(), model.decision_function(whole_texts(test))) for name, test in tests.items()}


def encoder(folder, model, recipe, limit, tests, rules):
    "The fine-tuned encoder's scores on each test table."
    with tempfile.TemporaryDirectory() as out:
        run = finetune(folder, Path(out)/"run", model, recipe, limit=limit)
        logits = {name: predict(run.model, test, rules).logits for name, test in tests.items()}
    return {name: scores_of(test.label.to_numpy(), logits[name][:, 1] - logits[name][:, 0]) for name, test in tests.items()}


def table(rows):
    "One row per model and level, means over seeds."
    flat = pd.DataFrame([{"model": row["model"], "cleaning": row["cleaning"], **{(name, what): scores[what] for name, scores in row["scores"].items() for what in ("macro_f1", "auc")}} for row in rows])
    mean = flat.groupby(["model", "cleaning"], sort=False).mean()
    mean.columns = pd.MultiIndex.from_tuples(mean.columns)
    return mean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a pretrained encoder's folder, or a name that load_encoder takes")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="holds ISOT, FakeNewsAMT and Horne 2017")
    parser.add_argument("--limit", type=int, default=2000, help="training articles of the encoder; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"cleaning_abroad.json")
    args = parser.parse_args()
    known = read_json(args.out)["rows"] if args.out.exists() else []
    done = {(row["model"], row["cleaning"], row["seed"], row["limit"]) for row in known}
    abroad = {name: load_articles(name, args.data) for name in ABROAD}
    isot = next((folder for folder in Path(args.data).rglob("isot") if folder.is_dir()), args.data)

    def keep(**row):
        known.append(row)
        write_json({"rows": known, "machine": this_machine().__dict__, "versions": versions()}, args.out)
        notify(str(row))
    with tempfile.TemporaryDirectory() as work:
        for level, rules in LEVELS.items():
            folder = Path(work)/level
            prepare("isot", folder, isot, clean=level)
            dataset, manifest = load_prepared(folder)
            tests = {"isot": dataset["test"].to_pandas(), **{name: clean_articles(articles, rules) for name, articles in abroad.items()}}
            if ("TF-IDF + LinearSVC", level, 0, 0) not in done:
                keep(model="TF-IDF + LinearSVC", cleaning=level, seed=0, limit=0, scores=linear(dataset["train"].to_pandas(), tests))
        for seed in args.seeds:
            for level, rules in LEVELS.items():
                if ("encoder", level, seed, args.limit) in done: continue
                tests = {"isot": load_prepared(Path(work)/level)[0]["test"].to_pandas(), **{name: clean_articles(articles, rules) for name, articles in abroad.items()}}
                recipe = replace(RECIPES["fast"], epochs=1, max_length=128, seed=seed)
                keep(model="encoder", cleaning=level, seed=seed, limit=args.limit, scores=encoder(Path(work)/level, args.model, recipe, args.limit or None, tests, rules))
    print(table(known).round(3).to_string())


if __name__ == "__main__": main()
