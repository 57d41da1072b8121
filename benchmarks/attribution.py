"""Seconds that an explanation takes.

    python benchmarks/attribution.py --articles isot --path FOLDER --tokenizer MODEL

The model has TinyBERT's shape and random weights, which do not change the time; MODEL is a model folder whose
tokenizer has TinyBERT's vocabulary. The articles are real and have at least 512 tokens, of which the model reads 512.
Each row is the median over several articles; the last one explains 100 articles in one call.
Writes results/attribution.json.
"""
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from serving import article_options, cut_texts, make_model, peak_megabytes

ARTICLES = 5
IN_ONE_CALL = 100
SETTINGS = {
    "occlusion by sentence": {"method": "occlusion", "by": "sentence"},
    "occlusion by word": {"method": "occlusion", "by": "word"},
    "LIME, 500 samples": {"method": "lime", "by": "word", "max_calls": 500},
    "Shapley values, 500 calls": {"method": "shapley", "by": "sentence", "max_calls": 500},
    "integrated gradients, 32 steps": {"method": "integrated_gradients", "by": "word", "max_calls": 32}}
RESULTS = Path(__file__).parent/"results"/"attribution.json"


def measure(detector, texts, settings):
    "Median seconds for an article."
    from fakenews_nb.attribution import explain
    seconds = []
    for text in texts:
        start = time.perf_counter()
        explain(detector, text, progress=False, **settings)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main():
    args = article_options(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name: compare(args, Path(name))


def compare(args, folder):
    "Make the models, measure all methods, print and store the table."
    from fakenews_nb import Detector, export_model, load_articles
    from fakenews_nb.attribution import explain
    from fakenews_nb.runtime import this_machine, versions
    articles = load_articles(args.articles, path=args.path).sample(frac=1, random_state=0)
    make_model(folder/"pytorch", args.tokenizer)
    export_model(folder/"pytorch", folder/"int8", int8=True, articles=articles.tail(20))
    texts = cut_texts(articles, args.tokenizer)[512]
    rows = []
    for name in ("pytorch", "int8"):
        detector = Detector.load(folder/name)
        detector.predict(texts[:4])
        for method, settings in SETTINGS.items():
            if name == "int8" and settings["method"] == "integrated_gradients": continue
            row = {"model": name, "method": method, "seconds": measure(detector, texts[:ARTICLES], settings)}
            print(row, file=sys.stderr)
            rows.append(row)
        start = time.perf_counter()
        explain(detector, articles.head(IN_ONE_CALL), progress=False)
        rows.append({"model": name, "method": "100 articles by sentence", "seconds": time.perf_counter() - start})
    table = pd.DataFrame(rows).round(2)
    print(f"{table.to_string(index=False)}\npeak memory: {peak_megabytes():.0f} MB")
    stored = {"rows": table.to_dict("records"), "megabytes": peak_megabytes(), "articles": args.articles}
    stored |= {"machine": this_machine().name, "versions": versions()}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
