"""How long an audit of an ISOT-sized corpus takes: 44,898 articles with bodies, as `fakenews audit` does it, the cleaning levels included.

    python benchmarks/audit_time.py [--rows 44898] [--data FOLDER] [--out benchmarks/results/audit_time.json]

Where fewer articles are at hand, they are drawn again with their sentences in another order, which makes texts of real length and words that are no copies; one in eight is
left as it is, so that there are copies to be found.
"""
import argparse
import os
import random
import re
import tempfile
import time
from pathlib import Path

from fakenews_nb.audit import _summary_sentences, run_audit
from fakenews_nb.files import write_json
from fakenews_nb.runtime import versions
from fakenews_nb.data import load_articles


def enlarge(articles, n, seed=0):
    "Draw n articles, the sentences of most in another order."
    rng, rows = random.Random(seed), articles.sample(n, replace=n > len(articles), random_state=seed).reset_index(drop=True)
    def shuffled(text):
        if rng.random() < .125: return text
        head, *sentences = re.split(r"(?<=[.!?]) ", text)
        rng.shuffle(sentences)
        return " ".join([head, *sentences])
    return rows.assign(text=[shuffled(text) for text in rows.text], id=[f"row-{i}" for i in range(n)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=44_898)
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="a folder with ISOT")
    parser.add_argument("--out", default=Path(__file__).parent/"results"/"audit_time.json")
    args = parser.parse_args()
    articles = enlarge(load_articles("isot", args.data), args.rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"articles.parquet"
        articles.to_parquet(file)
        start = time.perf_counter()
        report = run_audit(file)
        seconds = time.perf_counter() - start
    cores = len(os.sched_getaffinity(0))
    print(*_summary_sentences(report), f"\n{args.rows:,} articles of {articles.text.str.split().str.len().mean():.0f} words on average: {seconds:.0f} s on {cores} cores", sep="\n")
    write_json({"articles": args.rows, "seconds": seconds, "cores": cores, "versions": versions()}, args.out)


if __name__ == "__main__": main()
