"""Train on ISOT after each cleaning level, test on other corpora: macro-F1 and AUC on FakeNewsAMT and Horne 2017.

    python benchmarks/cleaning_out_of_domain.py --model FOLDER [--data FOLDER] [--limit 2000] [--seeds 42 43 44]

The design was fixed in advance. ISOT is cleaned and split by the clean protocol (grouped). The linear model is TF-IDF
of words and word pairs with LinearSVC, trained on all training articles. The encoder is fine-tuned by the fast recipe
for one epoch of 128 tokens on --limit training articles. The labels of the other corpora are used for scoring only, and
Horne's satire is left out. Every result is stored in --out at once; a second call continues from there.
"""
import argparse
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from fakenews_nb.audit import PARTIAL_INPUTS
from fakenews_nb.cleaning import LEVELS, Rule, clean_articles
from fakenews_nb.data import load_articles
from fakenews_nb.evaluation import predict
from fakenews_nb.files import read_json, write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.splits import load_prepared, prepare
from fakenews_nb.stats import classification_scores, delong_interval
from fakenews_nb.tokenization import article_texts
from fakenews_nb.training import RECIPES, Recipe, finetune

CORPORA = ("fakenewsamt", "horne2017")
LINEAR = "TF-IDF + LinearSVC"
RESULTS = Path(__file__).parent/"results"/"cleaning_out_of_domain.json"

Scores = dict[str, float]
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Level:
    "ISOT after one cleaning level, and the test articles of all corpora after the same rules."
    name: str
    rules: tuple[Rule, ...]
    folder: Path
    tests: Tables


def score(labels: pd.Series, decisions: np.ndarray) -> Scores:
    "Macro-F1 at the model's own threshold, and the AUC with its interval; decisions above 0 are for real."
    auc, low, high = delong_interval(decisions, labels)
    macro_f1 = classification_scores(labels, decisions > 0, decisions)["macro_f1"]
    return {"n": len(labels), "macro_f1": macro_f1, "auc": auc, "auc_low": low, "auc_high": high}


def score_linear(level: Level) -> dict[str, Scores]:
    "The linear model's scores on each test table."
    train = load_prepared(level.folder)[0]["train"].to_pandas()
    vectorizer = TfidfVectorizer(**PARTIAL_INPUTS["all words (TF-IDF)"].vectorizer)
    model = make_pipeline(vectorizer, LinearSVC(random_state=0)).fit(article_texts(train), train.label)
    scores = {}
    for name, test in level.tests.items():
        scores[name] = score(test.label, model.decision_function(article_texts(test)))
    return scores


def score_encoder(level: Level, model: str, recipe: Recipe, limit: int | None) -> dict[str, Scores]:
    "The fine-tuned encoder's scores on each test table."
    with tempfile.TemporaryDirectory() as folder:
        run = finetune(level.folder, Path(folder)/"run", model, recipe, limit=limit)
        predictions = {name: predict(run.model, test, level.rules) for name, test in level.tests.items()}
    return {name: score(test.label, predictions[name].log_odds) for name, test in level.tests.items()}


def prepare_level(name: str, work: Path, isot: str | Path, others: Tables) -> Level:
    "Clean and split ISOT, and clean the other corpora in the same way."
    prepare("isot", work/name, isot, clean=name)
    tests = {"isot": load_prepared(work/name)[0]["test"].to_pandas()}
    for corpus, articles in others.items(): tests[corpus] = clean_articles(articles, LEVELS[name])
    return Level(name, LEVELS[name], work/name, tests)


def mean_scores(rows: list[dict[str, Any]]) -> pd.DataFrame:
    "Means over seeds: a row per model and level, columns by corpus and score."
    flat = []
    for row in rows:
        cells: dict[Any, Any] = {"model": row["model"], "cleaning": row["cleaning"]}
        for corpus, scores in row["scores"].items():
            for name in ("macro_f1", "auc"): cells[corpus, name] = scores[name]
        flat.append(cells)
    means = pd.DataFrame(flat).groupby(["model", "cleaning"], sort=False).mean()
    means.columns = pd.MultiIndex.from_tuples(means.columns)
    return means


class Results:
    "The rows measured so far, stored in a JSON file after each measurement."
    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = read_json(path)["rows"] if path.exists() else []

    def __contains__(self, key: dict[str, Any]) -> bool:
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, key: dict[str, Any], scores: dict[str, Scores]) -> None:
        "Store the scores of one model, level, seed and limit."
        self.rows.append({**key, "scores": scores})
        write_json({"rows": self.rows, "machine": asdict(this_machine()), "versions": versions()}, self.path)
        notify(str(self.rows[-1]))


def read_arguments() -> argparse.Namespace:
    "The options of the command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a pretrained encoder, or a name for load_encoder")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"),
        help="folder that contains ISOT, FakeNewsAMT and Horne 2017")
    parser.add_argument("--limit", type=int, default=2000, help="training articles of the encoder; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="seeds of the encoder")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to continue and write")
    return parser.parse_args()


def find_isot(data: str) -> str | Path:
    "The folder named isot within the data, or the data itself."
    folders = (folder for folder in Path(data).rglob("isot") if folder.is_dir())
    return next(folders, data)


def main() -> None:
    "Measure what is missing in the results, and print the means."
    args = read_arguments()
    results = Results(args.out)
    others = {name: load_articles(name, args.data) for name in CORPORA}
    isot = find_isot(args.data)
    with tempfile.TemporaryDirectory() as work:
        levels = [prepare_level(name, Path(work), isot, others) for name in LEVELS]
        for level in levels:
            key = {"model": LINEAR, "cleaning": level.name, "seed": 0, "limit": 0}
            if key not in results: results.add(key, score_linear(level))
        for seed in args.seeds:
            recipe = replace(RECIPES["fast"], epochs=1, min_steps=0, learning_rate=5e-5, max_length=128, seed=seed)
            for level in levels:
                key = {"model": "encoder", "cleaning": level.name, "seed": seed, "limit": args.limit}
                if key in results: continue
                results.add(key, score_encoder(level, args.model, recipe, args.limit or None))
    print(mean_scores(results.rows).round(3).to_string())


if __name__ == "__main__": main()
