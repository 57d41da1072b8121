"""Whether our ways of predicting give the answers of plain transformers: real articles, trained models.

Plain transformers is `AutoModelForSequenceClassification` in single precision on padded batches. Ours is `predict_logits`, in single precision and in the device's quick one.

    python benchmarks/agreement.py prepared runs/first/model
"""
import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

LIMITS = {"fp32": 1e-4, "auto": .25} # of the difference of a logit; the quick precision has moved one by .12


def plain_logits(model, tokenizer, ids, batch_size=32):
    "What transformers computes, articles in their order."
    import torch
    with torch.inference_mode():
        return np.concatenate([model(**tokenizer.pad({"input_ids": ids[start:start + batch_size]}, return_tensors="pt")).logits.numpy() for start in range(0, len(ids), batch_size)])


def compared(data, folder):
    "One model on the test articles."
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.tokenization import article_texts, encode
    dataset, _ = load_prepared(data)
    model, tokenizer = load_classifier(folder)
    texts, *_ = article_texts(dataset["test"]["title"], dataset["test"]["text"])
    ids = encode(texts, tokenizer, tokenizer.model_max_length)
    plain, rows = plain_logits(model, tokenizer, ids), []
    for precision, limit in LIMITS.items():
        ours = predict_logits(model, tokenizer, ids, precision=precision)
        difference = np.abs(ours - plain)
        rows.append({"tokens": tokenizer.model_max_length, "precision": precision, "articles": len(ids), "labels_differ": int((ours.argmax(1) != plain.argmax(1)).sum()), "largest": float(difference.max()), "median": float(np.median(difference)), "within": limit})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("models", type=Path, nargs="+", help="model folders")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"agreement.json")
    args = parser.parse_args()
    import pandas as pd
    from fakenews_nb.files import write_json
    from fakenews_nb.runtime import this_machine, versions
    rows = [row for folder in args.models for row in compared(args.data, folder)]
    write_json({"rows": rows, "machine": asdict(this_machine()), "versions": versions()}, args.out)
    print(pd.DataFrame(rows).to_string(index=False))
    assert all(row["labels_differ"] <= .001*row["articles"] and row["largest"] <= row["within"] for row in rows), "not the same answers"


if __name__ == "__main__": main()
