"Predictions stay in the data set's order under the fast recipe, although training and prediction batch by length."
import numpy as np
import pandas as pd
import pytest
import torch
from fakenews_nb import evaluation
from fakenews_nb.cleaning import RULES
from fakenews_nb.evaluation import load_predictions, predict
from fakenews_nb.models import load_classifier
from fakenews_nb.tokenization import article_texts


def check_order(predictions, prepared, model):
    "Each stored logit is the one that transformers alone computes for that very article, one at a time."
    test = pd.read_parquet(prepared/"test.parquet")
    assert predictions.articles.id.tolist() == test.id.tolist() and predictions.labels.tolist() == test.label.tolist()
    classifier, tokenizer = load_classifier(model)
    texts = article_texts(test)
    with torch.inference_mode():
        alone = np.concatenate([classifier(**tokenizer(text, truncation=True, return_tensors="pt")).logits.numpy() for text in texts])
    assert np.abs(predictions.logits - alone).max() < 1e-4, "a prediction belongs to another article"


def test_predictions_in_order(run_folder, prepared):
    check_order(load_predictions(run_folder/"predictions"/"test.parquet"), prepared, run_folder/"model")


def test_the_check_notices_grouped_order(run_folder, prepared, monkeypatch):
    "With predictions left in the order of length, as length-grouped evaluation leaves them, the same check fails."
    in_order = evaluation.predict_logits

    def grouped(model, tokenizer, ids, *args, **settings):
        return in_order(model, tokenizer, sorted(ids, key=len, reverse=True), *args, **settings)
    monkeypatch.setattr(evaluation, "predict_logits", grouped)
    test = pd.read_parquet(prepared/"test.parquet")
    with pytest.raises(AssertionError, match="another article"):
        check_order(predict(run_folder/"model", test, RULES), prepared, run_folder/"model")


def test_trainer_evaluates_in_order(prepared, tmp_path):
    "The Trainer of the fast recipe groups training batches only: its own predict() keeps the order too."
    from datasets import Dataset
    from dataclasses import replace
    from fakenews_nb.models import _make_tiny
    from fakenews_nb.tokenization import make_collator, tokenize
    from fakenews_nb.training import RECIPES, _make_trainer, _training_arguments
    articles = pd.read_parquet(prepared/"test.parquet")
    model, tokenizer = _make_tiny(article_texts(articles), 64)
    tokens = tokenize(Dataset.from_pandas(articles), tokenizer, 64)
    trainer = _make_trainer(model, _training_arguments(replace(RECIPES["fast"], max_length=64), tmp_path, 10), make_collator(tokenizer, 64), tokens, tokens, group_by_length=True, processing_class=tokenizer)
    assert list(trainer._get_train_sampler()) != list(range(len(tokens)))
    assert trainer.predict(tokens).label_ids.tolist() == articles.label.tolist()
