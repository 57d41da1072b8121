"Few fake articles: a model that says only one class is named, class weights help, and no odd data end a run."
import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import TrainerCallback

from fakenews_nb import kernels, tokenization
from fakenews_nb.core import FAKE, REAL, ModelError
from fakenews_nb.error_analysis import error_report, finish_run
from fakenews_nb.evaluation import Predictions, _bootstrap_scores, _unit_weights, score_intervals
from fakenews_nb.models import _make_tiny
from fakenews_nb.splits import save_prepared
from fakenews_nb.training import RECIPES, _class_weighted_loss, _make_trainer, _training_arguments, finetune, load_run

WORDS = {FAKE: "shocking secret hoax hide truth".split(), REAL: "officials said report minister council".split()}
FILLER = [f"w{number}" for number in range(300)]
ABOUT = {"source": "words", "origin": "a test", "protocol": "none", "seed": 0, "cleaning": "none", "rules": []}
SHORT = replace(RECIPES["fast"], epochs=2, min_steps=0, max_length=32, precision="fp32")
WEIGHTS = (10., 10/19) # one fake article in twenty


def articles(n, one_fake_in=20, seed=5):
    "Articles of random words, of which a tenth belongs to their class."
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        label = FAKE if number % one_fake_in == 0 else REAL
        words = [rng.choice(WORDS[label] if rng.random() < .1 else FILLER) for _ in range(40)]
        rows.append({"id": f"{seed}-{number}", "title": f"story {number}", "text": " ".join(words), "label": label})
    return pd.DataFrame(rows).assign(date="", subject="", source="words")


def save(folder, train, validation, test):
    "Write a prepared folder."
    save_prepared({"train": train, "validation": validation, "test": test}, folder, ABOUT)
    return folder


def strictly(path):
    "Read JSON, in which NaN is not allowed."
    def refuse(constant): raise AssertionError(f"{path.name} holds {constant}")
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture(scope="module")
def few_fakes(tmp_path_factory):
    "A prepared folder in which one article in twenty is fake."
    folder = tmp_path_factory.mktemp("few")/"data"
    return save(folder, articles(800), articles(200, seed=6), articles(200, seed=7))


def test_one_class_is_named(few_fakes, tmp_path, capsys):
    "Without class weights every article is called real; training, report and metrics.json say so."
    run = finetune(few_fakes, tmp_path/"run", "tiny", SHORT)
    printed = capsys.readouterr().err
    assert "every one of the 200 validation articles is predicted as real" in printed
    scores = finish_run(run)
    printed = capsys.readouterr().err
    sentence = "every one of the 200 test articles is predicted as real"
    assert scores["fake_recall"] == 0
    assert sentence in printed
    assert "--class-weight balanced" in printed
    assert strictly(run.folder/"metrics.json")["notes"]["test"][0].startswith(sentence)
    page = (run.folder/"report.html").read_text(encoding="utf-8")
    top = page[:page.index("<img")]
    assert "Every one of the 200 articles is predicted as real" in top
    assert "recall of fake" in top
    intervals = load_run(run.folder).metrics["intervals"]
    for name, row in intervals.items(): assert row["low"] < row["high"], name


def test_class_weights_help(few_fakes, tmp_path):
    "With class weights and enough steps, the same model finds fake articles; run.json keeps the setting."
    recipe = replace(SHORT, epochs=8, learning_rate=3e-3, class_weight="balanced")
    run = finetune(few_fakes, tmp_path/"run", "tiny", recipe)
    scores = finish_run(run)
    assert scores["fake_recall"] > .3
    assert scores["real_recall"] > .6
    assert strictly(run.folder/"run.json")["recipe"]["class_weight"] == "balanced"


def without_dropout(texts):
    "A tiny model and its tokenizer."
    model, tokenizer = _make_tiny(texts, 64)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout): module.p = 0.
    return model, tokenizer


def gradients(model, collator, tokens, folder, micro_batch_tokens=0):
    "The loss of one training step on all rows, and the gradients."
    arguments = _training_arguments(SHORT, folder, 10)
    trainer = _make_trainer(model, arguments, collator, tokens, tokens,
        micro_batch_tokens=micro_batch_tokens, class_weights=WEIGHTS)
    trainer.current_gradient_accumulation_steps = 1
    model.zero_grad(set_to_none=True)
    loss = trainer.training_step(model, collator(tokens))
    return float(loss), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("micro_batch_tokens", [0, 20, 90, 10_000])
def test_gradients_of_micro_batches(tmp_path, micro_batch_tokens):
    "With class weights, packed micro-batches have the loss and the gradients of one padded batch in plain PyTorch."
    table = articles(23, one_fake_in=7)
    texts = [text[:20 + 9*number] for number, text in enumerate(table.text)]
    model, tokenizer = without_dropout(texts)
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    tokens = [{"input_ids": row, "labels": int(label)} for row, label in zip(ids, table.label, strict=True)]
    padded = tokenization.make_collator(tokenizer, 64)(tokens)
    labels = padded["labels"]
    logits = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (losses*torch.tensor(WEIGHTS)[labels]).sum()/len(labels)
    expected.backward()
    by_hand = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    with kernels.fast_kernels(model):
        collator = tokenization.make_collator(tokenizer, 64, "packed")
        packed_loss, packed = gradients(model, collator, tokens, tmp_path, micro_batch_tokens)
    padded_loss, in_trainer = gradients(model, tokenization.make_collator(tokenizer, 64), tokens, tmp_path)
    assert abs(packed_loss - float(expected.detach())) < 1e-5
    assert abs(padded_loss - float(expected.detach())) < 1e-5
    for name in by_hand:
        assert (packed[name] - by_hand[name]).abs().max() < 1e-5, name
        assert (in_trainer[name] - by_hand[name]).abs().max() < 1e-5, name


def test_the_mean_over_weights_would_not_add_up():
    "Divided by the sum of the weights, as in PyTorch, the losses of micro-batches are not that of the batch."
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(20) % 10 > 0).long()
    parts = [slice(0, 3), slice(3, 20)]

    def difference(loss):
        together = sum(loss(logits[part], labels[part])*len(labels[part])/20 for part in parts)
        return float((together - loss(logits, labels)).abs())

    assert difference(lambda x, y: _class_weighted_loss(x, y, WEIGHTS)) < 1e-5
    assert difference(torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))) > .01


def test_two_processes_weight_alike(few_fakes, tmp_path):
    "Two processes that share each batch have the losses of one, without dropout."
    model, tokenizer = without_dropout(list(articles(800).text))
    model.config.hidden_dropout_prob = 0.
    model.config.attention_probs_dropout_prob = 0.
    model.save_pretrained(tmp_path/"model")
    tokenizer.save_pretrained(tmp_path/"model")
    recipe = replace(SHORT, epochs=1, learning_rate=1e-3, class_weight="balanced")
    histories = []
    for processes in (1, 2):
        run = finetune(few_fakes, tmp_path/str(processes), tmp_path/"model", recipe, limit=128, processes=processes)
        histories.append(run.history)
    alone, shared = histories
    for name in ("loss", "eval_loss"):
        assert np.allclose(alone[name].dropna(), shared[name].dropna(), atol=1e-4), name


def test_divergence_is_an_error(few_fakes, tmp_path):
    "A loss that is not a number ends in a ModelError, not in a model."
    with pytest.raises(ModelError, match="diverged"):
        finetune(few_fakes, tmp_path/"run", "tiny", replace(SHORT, learning_rate=1e30), limit=64)
    assert not (tmp_path/"run"/"model").exists()


class Poison(TrainerCallback):
    "Makes the weights useless after a step."
    def __init__(self, step): self.step = step

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step < self.step: return
        with torch.no_grad(): model.classifier.weight.fill_(float("nan"))


def test_a_late_divergence_keeps_the_earlier_epoch(few_fakes, tmp_path, capsys):
    "If the second epoch diverges, the model of the first is kept, and metrics.json holds no NaN."
    run = finetune(few_fakes, tmp_path/"run", "tiny", replace(SHORT, epochs=4), limit=64, callbacks=[Poison(3)])
    assert "the training diverged by epoch 2" in capsys.readouterr().err
    metrics = strictly(run.folder/"metrics.json")
    assert metrics["best_epoch"] == 1
    assert metrics["epochs"] == 2, "the training ends at once"
    assert [entry["eval_loss"] is None for entry in metrics["history"] if "eval_loss" in entry] == [False, True]
    assert load_run(run.folder).metrics == run.metrics
    finish_run(run)
    assert "Validation F1 is best after epoch 1" in (run.folder/"report.html").read_text(encoding="utf-8")


def one_class_samples(rng, n_samples=300, n=150):
    "Samples of a population with 5 % fake articles, all predicted as real, more or less confidently."
    for _ in range(n_samples):
        labels = (rng.random(n) > .05).astype(int)
        yield labels, rng.normal(2, .5, n)


def sure_samples(rng, n_samples=300, n=150):
    "Samples of a population with one error in 500, on which most models make no error."
    for _ in range(n_samples):
        labels = (rng.random(n) > .5).astype(int)
        is_wrong = rng.random(n) < .002
        yield labels, np.where(labels == is_wrong, -1, 1)*rng.normal(4, .5, n)


@pytest.mark.parametrize(("samples", "only_without_errors"), [(one_class_samples, False), (sure_samples, True)])
def test_coverage_where_the_bootstrap_cannot_vary(samples, only_without_errors):
    "At least 93 % of the intervals contain the true value, as with Wilson's interval; none is a single point."
    (labels, log_odds), = samples(np.random.default_rng(0), 1, 400_000)
    population = predictions_of(labels, log_odds)
    truth = _bootstrap_scores(population, _unit_weights(population)).iloc[0]
    names = ["accuracy", "f1", "precision", "recall", "macro_f1", "log_loss", "brier"]
    contained = dict.fromkeys(names, 0)
    n_samples = 0
    for labels, log_odds in samples(np.random.default_rng(1)):
        predictions = predictions_of(labels, log_odds)
        if len(set(labels)) < 2 or (only_without_errors and predictions.wrong.any()): continue
        n_samples += 1
        intervals = score_intervals(predictions, n_resamples=50)
        assert (intervals.low < intervals.high).all()
        for name in names: contained[name] += intervals.low[name] <= truth[name] <= intervals.high[name]
    print(n_samples, contained)
    assert n_samples > 150
    for name, count in contained.items(): assert count/n_samples >= .93, name


def predictions_of(labels, log_odds):
    "Predictions of articles without text."
    table = pd.DataFrame({"id": np.arange(len(labels)).astype(str), "label": labels})
    return Predictions.from_log_odds(table, log_odds)


CONDITIONS = ["odd cells", "odd dates", "one class in test", "one class in validation", "tiny", "untitled"]
ODD_CELLS = ["$x^$", "a & b", "<b>bold</b>", "nul\0", "\U0001f600", "x"*3000, "", None, "$", "\\frac{", "%s {0}"]
ODD_DATES = ["2020-03-11T07:15:00+00:00", "2020-01-24 19:20", "2020-02-11", "2019-13-45", "never", "", None, "99999"]


def odd(table):
    "The same articles with odd cells in every column that only describes them."
    n = len(table)
    cells = np.resize(np.array(ODD_CELLS, dtype=object), n)
    return table.assign(title=cells, subject=cells[::-1],
        url=[f"https://example.org/{number}?a=1&b=<2>" for number in range(n)], note=cells)


@pytest.mark.parametrize("name", CONDITIONS)
def test_no_description_ends_a_run(name, tmp_path, capsys):
    "Whatever the articles look like, a trained model gets its report."
    train, validation, test = articles(120, 3), articles(30, 3, seed=6), articles(90, 3, seed=7)
    if name == "odd cells": train, validation, test = odd(train), odd(validation), odd(test)
    if name == "odd dates": test = test.assign(date=np.resize(np.array(ODD_DATES, dtype=object), len(test)))
    if name == "one class in test": test = test[test.label == REAL]
    if name == "one class in validation": validation = validation[validation.label == REAL]
    if name == "tiny": validation, test = validation.head(2), test.head(2)
    if name == "untitled": test = test.assign(title=None, subject=None, date=None)
    data = save(tmp_path/"data", train, validation, test.reset_index(drop=True))
    run = finetune(data, tmp_path/"run", "tiny", SHORT)
    finish_run(run)
    metrics = strictly(run.folder/"metrics.json")
    page = (run.folder/"report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page
    if name == "odd cells": assert '<a href="https://example.org/' in page
    if name == "one class in test":
        assert "labelled real" in metrics["notes"]["test"][0]
        assert metrics["test"]["roc_auc"] is None
        assert "are labelled real" in page[:page.index("<img")]
        assert "n/a" in page
    if name == "one class in validation":
        assert "labelled real" in metrics["notes"]["validation"][0]
        assert "labelled real" in capsys.readouterr().err


def test_lone_surrogates_in_a_report(tmp_path):
    "Half of a surrogate pair, which no file can hold, becomes a question mark."
    table = articles(60, 2)
    column = pd.Series(["\ud800"]*60, dtype=object)
    table = table.assign(title=column, subject=column, url=column)
    predictions = Predictions(table, np.random.default_rng(0).normal(size=(60, 2)))
    report = error_report(predictions, about={"origin": "caf\udce9.csv"})
    report.save(tmp_path/"report.html")
    str(report).encode("utf-8")
    assert "caf?.csv" in (tmp_path/"report.html").read_text(encoding="utf-8")


def test_thousands_of_subjects(tmp_path):
    "Every article may have a subject of its own."
    n = 6000
    labels = np.arange(n) % 2
    table = pd.DataFrame({"id": np.arange(n).astype(str), "title": "story", "text": "words", "label": labels,
        "date": "", "subject": [f"subject {number}" for number in range(n)], "source": ""})
    predictions = Predictions(table, np.random.default_rng(0).normal(size=(n, 2)))
    report = error_report(predictions)
    report.save(tmp_path/"report.html")
    assert "subject" not in set(report.slices.feature)


def test_article_of_one_endless_word(tmp_path):
    "A model that reads only the beginning of an article's one word explains that beginning."
    from fakenews_nb.attribution import explain
    from fakenews_nb.detector import Detector
    data = save(tmp_path/"data", articles(120, 3), articles(30, 3, seed=6), articles(30, 3, seed=7))
    run = finetune(data, tmp_path/"run", "tiny", SHORT)
    explanation = explain(Detector.load(run.model), "x"*5000)
    assert len(explanation.spans) == 1
    assert 0 < explanation.read < 5000
