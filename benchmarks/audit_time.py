"""How long an audit of an ISOT-sized corpus takes: 44,898 articles with bodies, the cleaning levels included.

    python benchmarks/audit_time.py [--rows 44898] [--data FOLDER] [--out benchmarks/results/audit_time.json]

If the corpus has fewer articles, they are drawn with replacement and their sentences are shuffled, which gives texts of
realistic length and vocabulary that are no duplicates. One in eight is left as it is, so that there are duplicates.
"""
import argparse
import os
import random
import re
import tempfile
import time
from pathlib import Path

import pandas as pd

from fakenews_nb.audit import run_audit
from fakenews_nb.data import load_articles
from fakenews_nb.files import write_json
from fakenews_nb.runtime import versions

UNCHANGED = .125 # fraction of articles whose sentences keep their order
RESULTS = Path(__file__).parent/"results"


def shuffle_sentences(text: str, rng: random.Random) -> str:
    "The same sentences in another order; the first stays in its place."
    if rng.random() < UNCHANGED: return text
    first, *others = re.split(r"(?<=[.!?]) ", text)
    rng.shuffle(others)
    return " ".join([first, *others])


def enlarge(articles: pd.DataFrame, n: int, seed: int = 0) -> pd.DataFrame:
    "Draw n articles and shuffle the sentences of most."
    rng = random.Random(seed)
    rows = articles.sample(n, replace=n > len(articles), random_state=seed).reset_index(drop=True)
    texts = [shuffle_sentences(text, rng) for text in rows.text]
    return rows.assign(text=texts, id=[f"row-{number}" for number in range(n)])


def read_arguments() -> argparse.Namespace:
    "The options of the command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=44_898, help="articles to audit")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="folder that contains ISOT")
    parser.add_argument("--out", type=Path, default=RESULTS/"audit_time.json", help="JSON file to write")
    return parser.parse_args()


def main() -> None:
    "Measure, print and store the time of one audit."
    args = read_arguments()
    articles = enlarge(load_articles("isot", args.data), args.rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"articles.parquet"
        articles.to_parquet(file)
        start = time.perf_counter()
        report = run_audit(file)
        seconds = time.perf_counter() - start
    cores = len(os.sched_getaffinity(0))
    words = articles.text.str.split().str.len().mean()
    print(*report.summary, sep="\n")
    print(f"\n{args.rows:,} articles of {words:.0f} words on average: {seconds:.0f} s on {cores} cores")
    write_json({"articles": args.rows, "seconds": seconds, "cores": cores, "versions": versions()}, args.out)


if __name__ == "__main__": main()
