"Distillation: two stages, stopped and resumed, in two processes; labels that must not matter; and bad input."
from dataclasses import replace

import numpy as np
import pytest
from conftest import save_without_dropout
from safetensors.torch import load_file

SMALL = {"layers": 1, "hidden_size": 32, "heads": 1, "feed_forward_size": 64}
STEPS_PER_EPOCH = 13 # of the sample, in batches of 32


def small(arm, **changes):
    "The settings of an arm, with a student of one layer."
    from fakenews_nb.distillation import DISTILLATIONS
    return replace(DISTILLATIONS[arm], **SMALL | {"stage1_epochs": 2} | changes)


def short(**changes):
    "A recipe of a few steps."
    from fakenews_nb.training import RECIPES
    settings = {"epochs": 2, "min_steps": 0, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
    return replace(RECIPES["fast"], **settings | changes)


@pytest.fixture(scope="module")
def train_student(run_folder, prepared):
    "A function that distills the trained tiny model."
    from fakenews_nb.distillation import distill

    def run(out, distillation, student=None, recipe=None, **options):
        return distill(run_folder, prepared, out, student, distillation, recipe or short(), **options)
    return run


@pytest.fixture(scope="module")
def student(tmp_path_factory, train_student):
    "A student that was trained in two stages."
    folder = tmp_path_factory.mktemp("students")/"run"
    return train_student(folder, small("all_layers", layer_map=(2,)), recipe=short(epochs=6, max_length=64))


@pytest.fixture(scope="module")
def articles(prepared):
    "The splits of the sample, as tables."
    from fakenews_nb.splits import load_prepared
    dataset, _ = load_prepared(prepared)
    return {name: dataset[name].to_pandas() for name in dataset}


def same_weights(one, other):
    "Whether two model folders hold the same numbers."
    first, second = [load_file(folder/"model.safetensors") for folder in (one, other)]
    return all((first[name] == second[name]).all() for name in first)


def message_of(call, *args, **kwargs):
    "The message of the error that a call raises."
    from fakenews_nb.core import _error_message
    return _error_message(call, *args, **kwargs)


# ---- what comes out --------------------------------------------------------------------------------------------------

def test_stage_1_learns(student):
    history = student.metrics["distillation"]["stage1"]["history"]
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert not (student.folder/"stage1"/"checkpoints").exists()


def test_the_student_agrees_with_its_teacher(student, run_folder, articles):
    from fakenews_nb.distillation import _new_student
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.tokenization import article_texts, encode
    teacher, tokenizer = load_classifier(run_folder/"model")
    token_ids = encode(article_texts(articles["test"]), tokenizer, 64)

    def agreement(model):
        predicted = predict_logits(model, tokenizer, token_ids, progress=False).argmax(1)
        return (predicted == taught).mean()
    taught = predict_logits(teacher, tokenizer, token_ids, progress=False).argmax(1)
    trained, _ = load_classifier(student.model)
    untrained = _new_student(teacher, tokenizer, small("logits"), seed=42)
    assert agreement(trained) > agreement(untrained.eval()) + .2
    assert student.metrics["validation"]["teacher_agreement"] > .8


def test_the_result_is_a_run(student, articles):
    from transformers import AutoModelForSequenceClassification

    from fakenews_nb.detector import Detector
    from fakenews_nb.training import load_run
    model = AutoModelForSequenceClassification.from_pretrained(student.model)
    assert model.config.num_hidden_layers == 1
    assert load_run(student.folder).metrics == student.metrics
    answer = Detector.load(student.model).predict(articles["test"].text.iloc[0])
    assert answer.label in ("fake", "real")


def test_a_finished_run_is_not_overwritten(student, train_student):
    assert "--overwrite" in message_of(train_student, student.folder, small("logits"))


# ---- resume, several processes ---------------------------------------------------------------------------------------

def interrupt_at(step):
    "A callback that sends Ctrl-C once, at a step of a stage."
    import os
    import signal

    from transformers import TrainerCallback

    class InterruptAt(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == step: os.kill(os.getpid(), signal.SIGINT)
    return InterruptAt()


def test_stopped_in_both_stages_and_resumed(train_student, tmp_path):
    settings = small("last_layer", stage1_epochs=1)
    unbroken = train_student(tmp_path/"unbroken", settings)
    stopped = tmp_path/"stopped"
    message = message_of(train_student, stopped, settings, callbacks=[interrupt_at(STEPS_PER_EPOCH - 3)])
    assert "stage1" in message
    assert not (stopped/"stage1"/"model").exists()
    options = {"resume": True, "callbacks": [interrupt_at(STEPS_PER_EPOCH + 3)]}
    message = message_of(train_student, stopped, settings, **options)
    assert "stage1" not in message
    assert "another distillation" in message_of(train_student, stopped, small("logits"), resume=True)
    resumed = train_student(stopped, settings, resume=True)
    assert same_weights(resumed.folder/"stage1"/"model", unbroken.folder/"stage1"/"model")
    assert same_weights(resumed.model, unbroken.model)
    assert resumed.metrics["distillation"]["teacher_seconds"] > 0


@pytest.fixture(scope="module")
def no_dropout(tmp_path_factory, run_folder):
    "A model folder of a student without dropout, because each process would draw other random numbers for it."
    from fakenews_nb.distillation import _new_student
    from fakenews_nb.models import load_classifier
    teacher, tokenizer = load_classifier(run_folder/"model")
    model = _new_student(teacher, tokenizer, small("logits"), seed=42)
    return save_without_dropout(model, tokenizer, tmp_path_factory.mktemp("no-dropout")/"model")


def test_two_processes_take_the_steps_of_one(train_student, no_dropout, tmp_path):
    "Also a student of one's own."
    settings = small("last_layer", stage1_epochs=1)
    options = {"student": no_dropout, "recipe": short(epochs=1), "limit": 96}
    one = train_student(tmp_path/"one", settings, **options)
    two = train_student(tmp_path/"two", settings, processes=2, **options)
    assert two.metrics["processes"] == 2
    stages = [[run.metrics["distillation"]["stage1"]["history"], run.metrics["history"]] for run in (one, two)]
    for expected, history in zip(*stages, strict=True):
        for name in ("loss", "grad_norm"):
            values = [entry[name] for entry in expected if name in entry]
            assert len(values), name
            assert np.allclose(values, [entry[name] for entry in history if name in entry], atol=1e-4), name


def test_micro_batches_give_the_same_loss(train_student, no_dropout, tmp_path):
    settings = small("last_layer", stage1_epochs=1)
    losses = []
    for tokens in (0, 256):
        recipe = short(epochs=1, micro_batch_tokens=tokens)
        run = train_student(tmp_path/str(tokens), settings, student=no_dropout, recipe=recipe, limit=96)
        history = run.metrics["distillation"]["stage1"]["history"]
        losses.append([entry["loss"] for entry in history if "loss" in entry])
    assert np.allclose(*losses, atol=1e-4)


# ---- the transfer set ------------------------------------------------------------------------------------------------

def test_labels_of_unlabelled_articles_do_not_matter(train_student, articles, tmp_path):
    settings = small("last_layer", stage1_epochs=1, windows=1)
    table = articles["test"]
    tables = {
        "true": table,
        "wrong": table.assign(label=1 - table.label),
        "none": table[["title", "text"]]}
    options = {"recipe": short(epochs=1), "limit": 64}
    runs = {}
    for name, extra in tables.items():
        runs[name] = train_student(tmp_path/name, settings, unlabelled_articles=extra, **options)
    assert same_weights(runs["true"].model, runs["wrong"].model)
    assert same_weights(runs["true"].model, runs["none"].model)
    without = train_student(tmp_path/"without", settings, **options)
    assert not same_weights(runs["true"].model, without.model)
    counts = {"labelled": 64, "without_labels": len(table), "transfer_set": 2*(64 + len(table))}
    assert runs["true"].metrics["distillation"]["articles"] == counts


def test_labels_of_training_articles_do_not_matter(run_folder, prepared, articles, tmp_path):
    "The student of a teacher; the one that learns from labels is the negative control."
    from fakenews_nb.distillation import distill
    from fakenews_nb.splits import load_prepared, save_prepared
    _, manifest = load_prepared(prepared)
    train = articles["train"].head(64)
    wrong = {**articles, "train": train.assign(label=1 - train.label)}
    save_prepared({**articles, "train": train}, tmp_path/"right", manifest)
    save_prepared(wrong, tmp_path/"wrong", manifest)
    for arm in ("logits", "hard_labels"):
        models = []
        for data in ("right", "wrong"):
            run = distill(run_folder, tmp_path/data, tmp_path/arm/data, None, small(arm), short(epochs=1))
            models.append(run.model)
        assert same_weights(*models) == (arm == "logits"), arm


# ---- bad input -------------------------------------------------------------------------------------------------------

def refused(train_student, tmp_path, distillation, **options):
    "The message of the error; nothing was written."
    message = message_of(train_student, tmp_path/"run", distillation, **options)
    assert not (tmp_path/"run").exists()
    return message


@pytest.mark.parametrize("layer_map, expected", [
    ((1, 2), "names 2 layers, and the student has 1"),
    ((3,), "no layer 3"),
    ((0,), "no layer 0"),
    ("lowest", "expected last, uniform, or layers"),
])
def test_invalid_layer_map(train_student, tmp_path, layer_map, expected):
    assert expected in refused(train_student, tmp_path, small("all_layers", layer_map=layer_map))


@pytest.mark.parametrize("layer_map", [(2, 1), (1, 1)])
def test_layer_map_that_does_not_increase(train_student, tmp_path, layer_map):
    message = refused(train_student, tmp_path, small("all_layers", layers=2, layer_map=layer_map))
    assert "does not increase" in message


def test_layer_map_that_is_needed():
    from fakenews_nb.distillation import _layer_pairs
    assert _layer_pairs("uniform", 2, 6) == ((1, 3), (2, 6))
    assert "a layer map is needed" in message_of(_layer_pairs, "uniform", 4, 6)


@pytest.mark.parametrize("shape, expected", [
    ({"layers": 3}, "layers 3, the teacher has 2"),
    ({"hidden_size": 128}, "hidden size 128, the teacher has 64"),
    ({"heads": 5}, "with 5 heads is not possible"),
    ({"layers": 0}, "0 layers"),
    ({"from_teacher": True}, "do not fit the student"),
])
def test_impossible_shapes(train_student, tmp_path, shape, expected):
    assert expected in refused(train_student, tmp_path, small("logits", **shape))


def save_student(folder, texts, **sizes):
    "A pretrained student with a vocabulary of its own."
    from fakenews_nb.models import _make_tiny
    from fakenews_nb.tokenization import train_tokenizer
    model, _ = _make_tiny(texts, 64)
    tokenizer = train_tokenizer(texts, **sizes)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_another_vocabulary(train_student, articles, tmp_path):
    other = save_student(tmp_path/"other", list(articles["test"].text), vocab_size=500)
    assert "another vocabulary" in refused(train_student, tmp_path, small("logits"), student=other)
    assert "another vocabulary" in refused(train_student, tmp_path, small("logits"), student="tiny")


def test_a_larger_student_of_ones_own(run_folder, no_dropout, prepared, tmp_path):
    "Teacher and student change places."
    from fakenews_nb.distillation import distill
    message = message_of(distill, no_dropout, prepared, tmp_path/"run", run_folder/"model")
    assert "the student is larger than its teacher" in message


@pytest.mark.parametrize("changes, expected", [
    ({"match": ("logits",)}, "expected embeddings, hidden_states, attention"),
    ({"temperature": 0}, "a positive number was expected"),
])
def test_invalid_settings(train_student, tmp_path, changes, expected):
    assert expected in refused(train_student, tmp_path, small("logits", **changes))


@pytest.mark.parametrize("changes", [{"class_weight": "balanced"}, {"reweight": True}, {"select_on": "hard"}])
def test_recipes_that_use_labels(train_student, tmp_path, changes):
    message = refused(train_student, tmp_path, small("logits"), recipe=short(**changes))
    assert f"{next(iter(changes))} uses the labels" in message


def test_unlabelled_articles_that_cannot_be_used(train_student, articles, tmp_path):
    table = articles["test"]
    assert "no use for" in refused(train_student, tmp_path, small("hard_labels"), unlabelled_articles=table)
    untitled = table[["text"]]
    assert "no column title" in refused(train_student, tmp_path, small("logits"), unlabelled_articles=untitled)
