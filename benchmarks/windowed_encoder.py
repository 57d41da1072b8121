"""Whether an encoder that reads whole articles, window by window, does better on news from elsewhere.

An encoder reads the beginning of an article. Here it also reads all of it, as windows of about 160 words: the mean of
their log odds is the article's. Three arms, on the same cleaned ISOT articles:

    beginning        trained on beginnings, predicts from beginnings
    mean of windows  the same model, predicts from windows
    trained on windows   trained on windows, each with the label of its article, and predicts from windows

Nothing is chosen here: ReCOVery and CheckThat! 2021 stand for the corpora that settings may be chosen by, FakeNewsAMT
and Horne 2017 for those that are only reported. Log odds are kept in --work.
Writes results/windowed_encoder.json.

    python benchmarks/windowed_encoder.py --model FOLDER --data FOLDER --work FOLDER
"""
import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from fakenews_nb.baselines import _windows
from fakenews_nb.cleaning import Rule, clean_articles
from fakenews_nb.data import load_articles
from fakenews_nb.evaluation import predict
from fakenews_nb.files import write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.splits import load_prepared, prepare, save_prepared
from fakenews_nb.stats import _move_threshold
from fakenews_nb.tokenization import article_texts
from fakenews_nb.training import RECIPES, finetune

WORDS = 160 # of a window, about
RECIPE = replace(RECIPES["fast"], epochs=1, min_steps=0, learning_rate=5e-5, max_length=256)
TRAINING_ARTICLES = 1000
TEST_LIMITS = {"test": 300, "recovery": 500, "checkthat2021": None, "fakenewsamt": None, "horne2017": None}


def window_table(articles):
    "One row per window of the joined text, with the label of its article, and for each row the article's position."
    rows = []
    for position, text in enumerate(article_texts(articles)):
        for number, window in enumerate(_windows(text, WORDS)):
            article = articles.iloc[position]
            rows.append({**article, "id": f"{article.id} window {number}", "title": "", "text": window,
                "position": position})
    windows = pd.DataFrame(rows)
    return windows.drop(columns="position"), windows.position.to_numpy()


def prepare_data(data, work):
    "ISOT's cleaned training and validation articles, whole and as windows."
    folders = {"beginning": work/"articles", "windows": work/"windows"}
    if not folders["windows"].exists():
        prepare("isot", work/"all", Path(data)/"isot", clean="standard", overwrite=True)
        dataset, manifest = load_prepared(work/"all")
        splits = {name: dataset[name].to_pandas() for name in dataset}
        splits["train"] = splits["train"].head(TRAINING_ARTICLES)
        splits["validation"] = splits["validation"].head(200)
        save_prepared(splits, folders["beginning"], manifest, overwrite=True)
        for name in ("train", "validation"): splits[name] = window_table(splits[name])[0]
        splits["train"] = splits["train"].sample(frac=1, random_state=0).reset_index(drop=True)
        save_prepared(splits, folders["windows"], manifest, overwrite=True)
    return folders


def load_tables(data, folder):
    "The articles to predict, cleaned like the training articles, and the rules."
    dataset, manifest = load_prepared(folder)
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    tables = {}
    for name, limit in TEST_LIMITS.items():
        articles = dataset["test"].to_pandas() if name == "test" else clean_articles(load_articles(name, data), rules)
        if limit: articles = articles.sample(limit, random_state=0).reset_index(drop=True)
        tables[name] = articles
    return tables, rules


def predict_windows(model, articles, rules):
    "The mean log odds of each article's windows."
    windows, positions = window_table(articles)
    log_odds = predict(model, windows, rules, precision="auto").log_odds
    return np.bincount(positions, log_odds)/np.bincount(positions)


def run_seed(seed, folders, tables, rules, model, kept):
    "Log odds of the three arms, arm and table -> one value per article."
    log_odds = {}
    recipe = replace(RECIPE, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        beginning = finetune(folders["beginning"], Path(folder)/"beginning", model, recipe)
        for name, articles in tables.items():
            log_odds[f"beginning/{name}"] = predict(beginning.model, articles, rules, precision="auto").log_odds
            log_odds[f"mean of windows/{name}"] = predict_windows(beginning.model, articles, rules)
        windows = finetune(folders["windows"], Path(folder)/"windows", model, recipe)
        for name, articles in tables.items():
            log_odds[f"trained on windows/{name}"] = predict_windows(windows.model, articles, rules)
    np.savez(kept, **log_odds)


def score(labels, log_odds):
    "AUC, and macro F1 as it stands and with a stated prior of one half."
    stated = _move_threshold(log_odds, .5)
    return {
        "auc": roc_auc_score(labels, log_odds),
        "macro_f1": f1_score(labels, log_odds > 0, average="macro"),
        "macro_f1_stated_prior": f1_score(labels, stated > 0, average="macro"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a pretrained encoder: a folder, or a name for load_encoder")
    parser.add_argument("--data", required=True, help="folder with ISOT and the other corpora")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="seeds of the fine-tuning")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    folders = prepare_data(args.data, args.work)
    tables, rules = load_tables(args.data, folders["beginning"])
    rows = []
    for seed in args.seeds:
        kept = args.work/f"log_odds-{seed}.npz"
        if not kept.exists():
            notify(f"seed {seed}")
            run_seed(seed, folders, tables, rules, args.model, kept)
        for key, values in np.load(kept).items():
            arm, name = key.split("/")
            scores = score(tables[name].label.to_numpy(dtype=int), values)
            rows.append({"arm": arm, "seed": seed, "corpus": name, **scores})
        counts = {"training_articles": TRAINING_ARTICLES, "words": WORDS, "max_length": RECIPE.max_length}
        counts["training_windows"] = len(load_prepared(folders["windows"])[0]["train"])
        about = {"machine": asdict(this_machine()), "versions": versions()}
        write_json({**counts, **about, "rows": rows}, Path(__file__).parent/"results"/"windowed_encoder.json")
    columns = ["auc", "macro_f1", "macro_f1_stated_prior"]
    print(pd.DataFrame(rows).groupby(["corpus", "arm"], sort=False)[columns].mean().round(3).to_string())


if __name__ == "__main__": main()
