"""How long the statistics of an evaluation take on a test set as large as the source notebook's: 6,735 articles.

    python benchmarks/statistics_time.py [--articles 6735]

The articles are those of the built-in sample, repeated, and the predictions are random. Prints a table, in seconds.
"""
import argparse
import time

import numpy as np
import pandas as pd

from fakenews_nb.calibration import aurc, conformal_threshold, fit_temperature, reliability_table
from fakenews_nb.data import load_articles
from fakenews_nb.error_analysis import find_slices
from fakenews_nb.evaluation import Predictions, evaluate_predictions, score_intervals

MEASURED = [evaluate_predictions, score_intervals, find_slices, fit_temperature, reliability_table, aurc,
    conformal_threshold]


def random_predictions(n, seed=13):
    "Predictions of n articles, about 8 % of them wrong."
    sample = load_articles("sample")
    repeated = pd.concat([sample]*(n//len(sample) + 1), ignore_index=True).head(n)
    articles = repeated.assign(id=[str(row) for row in range(n)])
    logits = np.random.default_rng(seed).normal(size=(n, 2)) + 2*np.eye(2)[articles.label]
    return Predictions(articles, logits)


def seconds(function, predictions):
    "How long one call takes."
    start = time.perf_counter()
    function(predictions)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=6735, help="number of predictions")
    args = parser.parse_args()
    predictions = random_predictions(args.articles)
    table = pd.Series({function.__name__: seconds(function, predictions) for function in MEASURED}, name="seconds")
    print(table.round(2).to_frame().to_string())
    print(f"{args.articles:,} articles: {table.sum():.1f} s in all")


if __name__ == "__main__": main()
