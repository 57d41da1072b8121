"""Which baselines, alone or averaged, do best on news from elsewhere after training on ISOT alone.

Every candidate is fitted to ISOT's training articles as they were published, without cleaning. An ensemble of two or
three candidates averages their log odds, each divided by its standard deviation on the validation articles. The best
is chosen by ReCOVery and CheckThat! 2021: by the sum of macro F1 as it stands, macro F1 with a stated prior of one
one half, and AUC. FakeNewsAMT and Horne 2017 are only reported. Log odds are kept in --work.
Writes results/generalise.json.

    python benchmarks/generalise.py --data FOLDER --work FOLDER
"""
import argparse
from dataclasses import asdict
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from fakenews_nb.baselines import (
    BASELINES,
    _fit_ngrams,
    _fit_style,
    _fit_trees,
    _logistic,
    _naive_bayes,
    _NGrams,
    _standardized,
    _windows,
)
from fakenews_nb.core import FAKE
from fakenews_nb.data import load_articles
from fakenews_nb.features import article_features
from fakenews_nb.files import write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.splits import load_prepared, prepare
from fakenews_nb.stats import _move_threshold
from fakenews_nb.tokenization import article_texts

SELECTION = ("recovery", "checkthat2021")
REPORTED = ("fakenewsamt", "horne2017")
MOST_MEMBERS = 3
FAKES_BELOW = .9 # fraction of the validation fakes below the cautious threshold


# ---- candidates: each takes the tables and gives the log odds of real for all of them --------------------------------

def from_texts(fit):
    "A candidate that reads joined texts."
    def candidate(tables):
        model = fit(article_texts(tables["train"]), tables["train"].label.to_numpy(dtype=int))
        return {name: model.run(article_texts(table))[0] for name, table in tables.items()}
    return candidate


def word_windows(size=160, longest=2, C=30., words=100_000, make_classifier=None, **settings):
    "A candidate that counts cased words in windows."
    ngrams = _NGrams(longest=longest, window=size, lowercase=False)
    settings |= {"make_classifier": make_classifier or partial(_logistic, C=C), "max_features": words}
    return from_texts(partial(_fit_ngrams, ngrams=ngrams, **settings))


def style_windows(size):
    "Style features of windows, as `style` reads them from whole texts."
    def fit(texts, labels):
        divided = [_windows(text, size) for text in texts]
        model = _fit_style([window for part in divided for window in part], np.repeat(labels, list(map(len, divided))))
        return WindowMean(model, size)
    return from_texts(fit)


class WindowMean:
    "The mean log odds over the windows of a text."
    def __init__(self, model, size): self.model, self.size = model, size

    def run(self, texts):
        return np.array([self.model.run(_windows(text, self.size))[0].mean() for text in texts]), None


def title_apart(make_classifier, standardize):
    "Engineered features with the title apart from the body."
    def candidate(tables):
        features = {name: article_features(table).to_numpy(dtype=float) for name, table in tables.items()}
        if standardize:
            logarithms = np.log1p(features["train"])
            scale = np.where(logarithms.std(axis=0) > 0, logarithms.std(axis=0), 1)
            features = {name: _standardized(rows, logarithms.mean(axis=0), scale) for name, rows in features.items()}
        classifier = make_classifier().fit(features["train"], tables["train"].label.to_numpy(dtype=int))
        return {name: classifier.decision_function(rows) for name, rows in features.items()}
    return candidate


def boosted_trees():
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(random_state=0)


CANDIDATES = {
    "windows": from_texts(BASELINES["windows"].fit),
    "windows, all word pairs": word_windows(words=None),
    "windows, C=3": word_windows(C=3.),
    "windows of 80 words": word_windows(80),
    "windows of 320 words": word_windows(320),
    "windows, single words": word_windows(longest=1),
    "windows, 500 words": word_windows(longest=1, words=500, C=3.),
    "windows, 2,000 words": word_windows(longest=1, words=2000, C=3.),
    "windows, naive Bayes": word_windows(make_classifier=_naive_bayes),
    "char_svc": from_texts(BASELINES["char_svc"].fit),
    "linear_svc": from_texts(BASELINES["linear_svc"].fit),
    "style": from_texts(BASELINES["style"].fit),
    "style, windows of 160 words": style_windows(160),
    "style, windows of 400 words": style_windows(400),
    "style, title apart": title_apart(partial(_logistic, C=1.), standardize=True),
    "engineered": from_texts(BASELINES["engineered"].fit),
    "engineered, windows of 160 words": from_texts(partial(_fit_trees, window=160)),
    "engineered_windows": from_texts(BASELINES["engineered_windows"].fit),
    "engineered, title apart": title_apart(boosted_trees, standardize=False),
}


# ---- scores ----------------------------------------------------------------------------------------------------------

def load_tables(data, work):
    "ISOT's splits without cleaning, and the other corpora."
    if not (work/"prepared").exists(): prepare("isot", work/"prepared", Path(data)/"isot", clean="none")
    dataset, _ = load_prepared(work/"prepared")
    tables = {name: dataset[name].to_pandas() for name in dataset}
    return tables | {name: load_articles(name, data) for name in (*SELECTION, *REPORTED)}


def fit_candidate(name, tables, work):
    "The log odds of a candidate, from an earlier run if there was one."
    kept = work/f"{name}.npz"
    if not kept.exists():
        notify(f"fits {name}")
        np.savez(kept, **CANDIDATES[name](tables))
    return dict(np.load(kept))


def score(tables, log_odds):
    "Scores per corpus: as it stands, with a stated prior, AUC, and with a threshold that needs no foreign articles."
    scores = {}
    of_fakes = log_odds["validation"][tables["validation"].label.to_numpy(dtype=int) == FAKE]
    cautious = np.quantile(of_fakes, FAKES_BELOW)
    for name in ("test", *SELECTION, *REPORTED):
        labels = tables[name].label.to_numpy(dtype=int)
        values = log_odds[name]
        stated = _move_threshold(values, .5)
        scores[name] = {"auc": roc_auc_score(labels, values)}
        for suffix, moved in (("", values), ("_stated_prior", stated), ("_cautious", values - cautious)):
            scores[name][f"macro_f1{suffix}"] = f1_score(labels, moved > 0, average="macro")
    return scores


def merit(scores):
    "The criterion."
    names = ("macro_f1", "macro_f1_stated_prior", "auc")
    return sum(np.mean([scores[corpus][name] for corpus in SELECTION]) for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with ISOT and the other corpora")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is kept")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    tables = load_tables(args.data, args.work)
    fitted = {name: fit_candidate(name, tables, args.work) for name in CANDIDATES}
    rows = []
    for size in range(1, MOST_MEMBERS + 1):
        for members in combinations(CANDIDATES, size):
            log_odds = {}
            for corpus in tables:
                scaled = [fitted[name][corpus]/fitted[name]["validation"].std() for name in members]
                log_odds[corpus] = np.mean(scaled, axis=0)
            scores = score(tables, log_odds)
            rows.append({"members": members, "merit": merit(scores), "scores": scores})
    singles = rows[:len(CANDIDATES)]
    best = sorted(rows, key=lambda row: -row["merit"])[:10]
    counts = {"candidates": len(CANDIDATES), "combinations": len(rows), "articles": len(tables["train"])}
    about = {"machine": asdict(this_machine()), "versions": versions()}
    results = {**counts, **about, "best": best, "singles": singles}
    write_json(results, Path(__file__).parent/"results"/"generalise.json")
    for row in best: print(f"{row['merit']:.3f}", " + ".join(row["members"]))


if __name__ == "__main__": main()
