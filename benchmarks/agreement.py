"""Compare our predictions with those of plain transformers, on real articles and trained models.

Plain transformers is `AutoModelForSequenceClassification` in single precision on padded batches.
Ours is `predict_logits`, in single precision and in the device's reduced precision.

    python benchmarks/agreement.py prepared runs/first/model
"""
import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

LIMITS = {"fp32": 1e-4, "auto": .25} # of the difference of a logit; reduced precision has moved one by .12
LABEL_LIMIT = .001 # fraction of the articles whose predicted label may differ


def plain_logits(model, tokenizer, ids, batch_size=32):
    "The logits that transformers computes, articles in their order."
    import torch
    logits = []
    with torch.inference_mode():
        for start in range(0, len(ids), batch_size):
            batch = tokenizer.pad({"input_ids": ids[start:start + batch_size]}, return_tensors="pt")
            logits.append(model(**batch).logits.numpy())
    return np.concatenate(logits)


def compare(logits, expected):
    "How many labels differ, and by how much logits differ."
    difference = np.abs(logits - expected)
    labels_differ = logits.argmax(1) != expected.argmax(1)
    return {
        "articles": len(logits),
        "labels_differ": int(labels_differ.sum()),
        "largest": float(difference.max()),
        "median": float(np.median(difference)),
    }


def compare_model(data, model_folder):
    "One model on the test articles, in each precision."
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.tokenization import article_texts, encode
    dataset, _ = load_prepared(data)
    model, tokenizer = load_classifier(model_folder)
    tokens = tokenizer.model_max_length
    ids = encode(article_texts(dataset["test"]), tokenizer, tokens)
    expected = plain_logits(model, tokenizer, ids)
    rows = []
    for precision, limit in LIMITS.items():
        logits = predict_logits(model, tokenizer, ids, precision=precision)
        rows.append({"tokens": tokens, "precision": precision, **compare(logits, expected), "within": limit})
    return rows


def agrees(row):
    "Whether labels and logits of one comparison differ no more than they may."
    return row["labels_differ"] <= LABEL_LIMIT*row["articles"] and row["largest"] <= row["within"]


def main():
    results = Path(__file__).parent/"results"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared folder")
    parser.add_argument("models", type=Path, nargs="+", help="model folders")
    parser.add_argument("--out", type=Path, default=results/"agreement.json", help="JSON file to write")
    args = parser.parse_args()
    import pandas as pd

    from fakenews_nb.files import write_json
    from fakenews_nb.runtime import this_machine, versions
    rows = [row for model_folder in args.models for row in compare_model(args.data, model_folder)]
    write_json({"rows": rows, "machine": asdict(this_machine()), "versions": versions()}, args.out)
    print(pd.DataFrame(rows).to_string(index=False))
    different = [row for row in rows if not agrees(row)]
    if different: sys.exit(f"not the same answers: {different}")


if __name__ == "__main__": main()
