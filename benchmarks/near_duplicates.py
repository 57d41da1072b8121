"""Near-duplicate search: precision and recall against brute force, and time and memory up to a million headlines.

    python benchmarks/near_duplicates.py [--rows 1000000] [--data FOLDER] [--out FILE]

The real titles come from ISOT's title index (--data, or FAKENEWS_DATA); without it the titles of the built-in sample
stand in. For the scaling test a Markov chain of word pairs, learned from those titles, generates headlines, and one in
twenty is a near-duplicate of another.
"""
import argparse
import json
import multiprocessing
import os
import random
import re
import time
from collections import defaultdict
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from fakenews_nb.core import DataError
from fakenews_nb.data import load_articles
from fakenews_nb.files import write_json
from fakenews_nb.runtime import versions
from fakenews_nb.sample import sample_articles
from fakenews_nb.splits import (
    NEAR_DUPLICATE_THRESHOLD,
    _jaccard,
    _shingle_matrix,
    _similar_pairs,
    duplicate_groups,
)

THRESHOLDS = (.5, .6, NEAR_DUPLICATE_THRESHOLD, .8, .9)
SAMPLE_TITLES = 5_000 # titles per comparison with brute force
SAMPLES = 20


def load_titles(data: str | None) -> tuple[pd.Series, str]:
    "ISOT's titles, or the sample's, and which of the two."
    try:
        return load_articles("isot", data).title, "ISOT titles"
    except DataError as error:
        print(error)
        return sample_articles(20_000).title, "titles of the built-in sample"


def brute_force_pairs(shingles: csr_matrix, threshold: float = .5, chunk: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    "All pairs of rows of at least this similarity, found by multiplying the matrix with itself."
    used_columns, columns = np.unique(shingles.indices, return_inverse=True)
    shape = (shingles.shape[0], len(used_columns))
    compact = csr_matrix((shingles.data, columns, shingles.indptr), shape=shape)
    sizes = np.diff(compact.indptr)
    pairs = []
    for start in range(0, shape[0], chunk):
        intersection = (compact[start:start + chunk] @ compact.T).tocoo()
        first = intersection.row + start
        second = intersection.col
        union = sizes[first] + sizes[second] - intersection.data
        similar = (first < second) & (intersection.data/union >= threshold)
        pairs.append(np.column_stack([first[similar], second[similar]]))
    first, second = np.concatenate(pairs).T
    return first, second


def compare_with_brute_force(titles: pd.Series, seed: int, n: int) -> list[dict[str, Any]]:
    "Count the pairs of `n` random titles that brute force and `_similar_pairs` find, at several thresholds."
    n = min(n, titles.nunique())
    chosen = titles.drop_duplicates().sample(n, random_state=seed).to_numpy(dtype=object)
    shingles = _shingle_matrix(chosen)
    first, second = brute_force_pairs(shingles, min(THRESHOLDS))
    similarity = _jaccard(shingles, first, second)
    rows = []
    for threshold in THRESHOLDS:
        similar = similarity >= threshold
        expected = set(zip(first[similar].tolist(), second[similar].tolist(), strict=True))
        pairs = _similar_pairs(chosen, threshold)
        found = set(zip(pairs["first"].tolist(), pairs["second"].tolist(), strict=True))
        counts = {"expected": len(expected), "found": len(found), "correct": len(expected & found)}
        rows.append({"threshold": threshold, "titles": len(chosen), **counts})
    return rows


def measure_quality(titles: pd.Series, samples: int, n: int) -> pd.DataFrame:
    "Precision and recall per threshold, summed over several random samples of titles."
    rows = []
    for seed in range(samples): rows += compare_with_brute_force(titles, seed, n)
    total = pd.DataFrame(rows).groupby("threshold").sum()
    total["precision"] = total.correct/total.found
    total["recall"] = total.correct/total.expected
    return total


def generate_headlines(titles: pd.Series, n: int, seed: int = 0) -> pd.DataFrame:
    "Write headlines by a Markov chain; one in twenty is an earlier one with another last word."
    rng = random.Random(seed)
    followers = defaultdict(list)
    lengths = []
    for title in titles:
        words = title.split()
        lengths.append(len(words))
        for word, follower in zip([None, *words], words, strict=False): followers[word].append(follower)
    headlines: list[str] = []
    for _ in range(n):
        if headlines and rng.random() < .05:
            original = rng.choice(headlines).split()
            headlines.append(" ".join([*original[:-1], rng.choice(followers[None])]))
            continue
        words = [rng.choice(followers[None])]
        for _ in range(rng.choice(lengths) - 1): words.append(rng.choice(followers.get(words[-1]) or followers[None]))
        headlines.append(" ".join(words))
    return pd.DataFrame({"title": headlines, "text": "", "label": 0})


def peak_gb() -> float:
    "The largest memory of this process so far; Linux keeps it in /proc, without what its parent held."
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])/2**20


def measure_cost(articles: pd.DataFrame, queue: Queue) -> None:
    "In a process of its own: seconds, and the peak memory before the search (articles, libraries) and after it."
    before = peak_gb()
    start = time.perf_counter()
    groups = duplicate_groups(articles)
    seconds = time.perf_counter() - start
    result = {"headlines": len(articles), "seconds": seconds, "peak_gb": peak_gb(), "peak_before_gb": before}
    queue.put({**result, "groups": int(groups.max() + 1)})


def measure_scaling(titles: pd.Series, n: int) -> list[dict[str, Any]]:
    "Measure the cost for five numbers of headlines, up to `n`."
    headlines = generate_headlines(titles, n)
    context = multiprocessing.get_context("spawn")
    rows = []
    for rows_of_run in (n//16, n//8, n//4, n//2, n):
        queue = context.Queue()
        process = context.Process(target=measure_cost, args=(headlines.head(rows_of_run), queue))
        process.start()
        rows.append(queue.get())
        process.join()
        print(pd.Series(rows[-1]).round(2).to_dict(), flush=True)
    return rows


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Headlines of the largest scaling run.")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="Folder with ISOT's title index.")
    default_out = Path(__file__).parent/"results"/"near_duplicates.json"
    parser.add_argument("--out", default=default_out, help="JSON file for the results.")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    titles, source = load_titles(args.data)
    runs = [
        (f"{SAMPLES} samples of {SAMPLE_TITLES:,} {source}", SAMPLES, SAMPLE_TITLES),
        (f"all distinct {source}", 1, len(titles)),
    ]
    quality = []
    for name, samples, n in runs:
        table = measure_quality(titles, samples, n)
        print(f"\n{name}, all pairs\n{table.round(4).to_string()}\n", flush=True)
        quality.append({"titles": name, "rows": json.loads(table.reset_index().to_json(orient="records"))})
    cost = measure_scaling(titles, args.rows)
    table = pd.DataFrame(cost)
    slope, _ = np.polyfit(np.log(table.headlines), np.log(table.seconds), 1)
    cores = len(os.sched_getaffinity(0))
    print(f"\n{table.round(2).to_string(index=False)}")
    print(f"seconds grow with the number of headlines to the power of {slope:.2f}; {cores} cores")
    result = {"titles": source, "quality": quality, "cost": cost, "exponent": float(slope), "cores": cores}
    write_json({**result, "versions": versions()}, args.out)


if __name__ == "__main__": main()
