"Predictions stay in the order of the data set under the fast recipe, although training and prediction batch by length."
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from fakenews_nb import inference
from fakenews_nb.cleaning import RULES
from fakenews_nb.evaluation import load_predictions, predict
from fakenews_nb.models import _make_tiny, load_classifier
from fakenews_nb.tokenization import article_texts, make_collator, tokenize
from fakenews_nb.training import RECIPES, _make_trainer, _training_arguments


def check_order(predictions, prepared, model_folder):
    "Each logit is the one that transformers alone computes for that very article, one article at a time."
    test = pd.read_parquet(prepared/"test.parquet")
    assert predictions.articles.id.tolist() == test.id.tolist()
    assert predictions.labels.tolist() == test.label.tolist()
    model, tokenizer = load_classifier(model_folder)
    logits = []
    with torch.inference_mode():
        for text in article_texts(test):
            inputs = tokenizer(text, truncation=True, return_tensors="pt")
            logits.append(model(**inputs).logits.numpy())
    difference = np.abs(predictions.logits - np.concatenate(logits))
    assert difference.max() < 1e-4, "a prediction belongs to another article"


def test_predictions_in_order(run_folder, prepared):
    check_order(load_predictions(run_folder/"predictions"/"test.parquet"), prepared, run_folder/"model")


def test_the_check_notices_grouped_order(run_folder, prepared, monkeypatch):
    "With predictions left in the order of length, as length-grouped evaluation leaves them, the same check fails."
    in_order = inference._predict_outputs

    def grouped(model, tokenizer, ids, *args, **settings):
        return in_order(model, tokenizer, sorted(ids, key=len, reverse=True), *args, **settings)
    monkeypatch.setattr(inference, "_predict_outputs", grouped)
    test = pd.read_parquet(prepared/"test.parquet")
    predictions = predict(run_folder/"model", test, RULES)
    with pytest.raises(AssertionError, match="another article"):
        check_order(predictions, prepared, run_folder/"model")


def test_trainer_evaluates_in_order(prepared, tmp_path):
    "The Trainer of the fast recipe groups training batches only: its own `predict()` keeps the order too."
    articles = pd.read_parquet(prepared/"test.parquet")
    model, tokenizer = _make_tiny(article_texts(articles), 64)
    tokens = tokenize(Dataset.from_pandas(articles), tokenizer, 64)
    arguments = _training_arguments(replace(RECIPES["fast"], max_length=64), tmp_path, 10)
    collator = make_collator(tokenizer, 64)
    trainer = _make_trainer(model, arguments, collator, tokens, tokens,
        group_by_length=True, processing_class=tokenizer)
    assert list(trainer._get_train_sampler()) != list(range(len(tokens)))
    assert trainer.predict(tokens).label_ids.tolist() == articles.label.tolist()
