"""Near-copies: precision and recall against brute force on real titles, and time and memory up to a million headlines.

    python benchmarks/near_duplicates.py [--rows 1000000] [--data FOLDER] [--out benchmarks/results/near_duplicates.json]

Real titles come from ISOT's title index (--data, or FAKENEWS_DATA); without it the built-in sample's titles stand in. The headlines of the scaling
test are written by a chain of word pairs learned from those titles, one in twenty a near-copy of another.
"""
import argparse
import json
import multiprocessing
import os
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from fakenews_nb.core import DataError
from fakenews_nb.files import write_json
from fakenews_nb.runtime import versions
from fakenews_nb.sample import sample_articles
from fakenews_nb.data import load_articles
from fakenews_nb.splits import NEAR_DUPLICATE_THRESHOLD, _jaccard, _shingle_matrix, duplicate_groups, similar_pairs


def titles(data):
    "ISOT's titles, or the sample's."
    try: return load_articles("isot", data).title, "ISOT titles"
    except DataError as error:
        print(error)
        return sample_articles(20_000).title, "titles of the built-in sample"


def every_pair(shingles, least=.5, chunk=2_000):
    "All pairs of rows of at least this similarity, by multiplying the matrix with itself."
    columns, indices = np.unique(shingles.indices, return_inverse=True)
    dense = csr_matrix((shingles.data, indices, shingles.indptr), shape=(shingles.shape[0], len(columns)))
    sizes, found = np.diff(dense.indptr), []
    for start in range(0, dense.shape[0], chunk):
        shared = (dense[start:start + chunk] @ dense.T).tocoo()
        first, second = shared.row + start, shared.col
        similar = (first < second) & (shared.data/(sizes[first] + sizes[second] - shared.data) >= least)
        found.append(np.column_stack([first[similar], second[similar]]))
    return np.concatenate(found).T


def against_brute_force(texts, seed=0, n=5_000):
    "Compare the pairs found with all pairs at several thresholds."
    chosen = texts.drop_duplicates().sample(min(n, texts.nunique()), random_state=seed).to_numpy(dtype=object)
    shingles = _shingle_matrix(chosen)
    first, second = every_pair(shingles)
    truth = _jaccard(shingles, first, second)
    rows = []
    for threshold in (.5, .6, NEAR_DUPLICATE_THRESHOLD, .8, .9):
        real = set(zip(first[truth >= threshold].tolist(), second[truth >= threshold].tolist()))
        found = similar_pairs(chosen, threshold)
        found = set(zip(found["first"].tolist(), found["second"].tolist()))
        rows.append({"seed": seed, "titles": len(chosen), "similarity of at least": threshold, "pairs by brute force": len(real), "found": len(found), "of them right": len(real & found)})
    return rows


def headlines(texts, n, seed=0):
    "Write headlines by a chain of word pairs; one in twenty is an earlier one with another last word."
    rng, follows = random.Random(seed), defaultdict(list)
    lengths = []
    for title in texts:
        words = title.split()
        lengths.append(len(words))
        for pair in zip([None, *words], words): follows[pair[0]].append(pair[1])
    written = []
    for _ in range(n):
        if written and rng.random() < .05:
            written.append(" ".join([*rng.choice(written).split()[:-1], rng.choice(follows[None])]))
            continue
        words = [rng.choice(follows[None])]
        for _ in range(rng.choice(lengths) - 1): words.append(rng.choice(follows.get(words[-1]) or follows[None]))
        written.append(" ".join(words))
    return pd.DataFrame({"title": written, "text": "", "label": 0})


def peak_gb():
    "The most memory this process has held; Linux keeps it in /proc, without what its parent held."
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])/2**20


def measure(articles, queue):
    "In a process of its own: seconds, and the most memory held, before (articles and libraries) and in all."
    before = peak_gb()
    start = time.perf_counter()
    groups = duplicate_groups(articles)
    queue.put({"headlines": len(articles), "seconds": time.perf_counter() - start, "peak_gb": peak_gb(), "of_it_before_gb": before, "groups": int(groups.max() + 1)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"))
    parser.add_argument("--out", default=Path(__file__).parent/"results"/"near_duplicates.json")
    args = parser.parse_args()
    texts, what = titles(args.data)
    quality = []
    for name, runs, n in ((f"twenty samples of 5,000 {what}", 20, 5_000), (f"all distinct {what}", 1, len(texts))):
        total = pd.DataFrame([row for seed in range(runs) for row in against_brute_force(texts, seed, n)]).drop(columns="seed").groupby("similarity of at least").sum()
        total = total.assign(precision=total["of them right"]/total["found"], recall=total["of them right"]/total["pairs by brute force"])
        print(f"\n{name}, all pairs\n{total.round(4).to_string()}\n", flush=True)
        quality.append({"what": name, "rows": json.loads(total.reset_index().to_json(orient="records"))})
    written, context, rows = headlines(texts, args.rows), multiprocessing.get_context("spawn"), []
    for n in [args.rows//16, args.rows//8, args.rows//4, args.rows//2, args.rows]:
        queue = context.Queue()
        process = context.Process(target=measure, args=(written.head(n), queue))
        process.start()
        rows.append(queue.get())
        process.join()
        print(pd.Series(rows[-1]).round(2).to_dict(), flush=True)
    cost = pd.DataFrame(rows)
    exponent = float(np.polyfit(np.log(cost.headlines), np.log(cost.seconds), 1)[0])
    print(f"\n{cost.round(2).to_string(index=False)}\nseconds grow with the number of headlines to the power of {exponent:.2f}; {len(os.sched_getaffinity(0))} cores")
    write_json({"titles": what, "quality": quality, "cost": rows, "exponent": exponent, "cores": len(os.sched_getaffinity(0)), "versions": versions()}, args.out)


if __name__ == "__main__": main()
