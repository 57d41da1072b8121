"""How long each cleaning rule takes on an article, with its shortcut `needs` and without.

    python benchmarks/cleaning_time.py isot --path FOLDER

Without the shortcut, a rule looks for a match in every text. Both ways are timed in turn, on one thread;
the table shows medians in microseconds, over the bodies of some articles.
"""
import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from fakenews_nb import load_articles
from fakenews_nb.cleaning import RULES

ROUNDS = 5


def seconds_by_rule(texts, rules):
    "Seconds of each rule, applied in order to all texts."
    seconds = {}
    for rule in rules:
        start = time.perf_counter()
        texts = [rule.apply(text, "text") for text in texts]
        seconds[rule.name] = time.perf_counter() - start
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="name of a corpus, or a file of articles")
    parser.add_argument("--path", help="folder of the corpus")
    parser.add_argument("--limit", type=int, default=400, help="articles")
    args = parser.parse_args()
    articles = load_articles(args.source, path=args.path).sample(frac=1, random_state=0)
    texts = [text for text in articles.text if isinstance(text, str)][:args.limit]
    ways = {"without": [replace(rule, needs=()) for rule in RULES], "with": RULES}
    rows = []
    for _ in range(ROUNDS):
        for way, rules in ways.items(): rows.append({"way": way, **seconds_by_rule(texts, rules)})
    table = pd.DataFrame(rows).groupby("way").median().T*1e6/len(texts)
    table.loc["all rules"] = table.sum()
    print(table.sort_values("with", ascending=False).round(1).to_string())
    print(f"microseconds per body, {len(texts)} bodies of {np.mean([len(text) for text in texts]):,.0f} characters")


if __name__ == "__main__":
    main()
