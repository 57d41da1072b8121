"""Mutation tests of the fast kernels.

Each way of computing the same answers faster is compared with plain transformers.
Then one expression in its source is replaced, and the comparison must notice.
"""
import inspect
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fakenews_nb import kernels, models, tokenization, training
from fakenews_nb.runtime import set_seed

TOLERANCE = 1e-5
PATCHED_MODULES = (kernels, models, tokenization, training)


@contextmanager
def mutated(function, expression, replacement):
    "Replace one expression in the source of a function, wherever the package uses that function."
    source = inspect.getsource(function)
    count = source.count(expression)
    assert count == 1, f"{function.__name__} holds {expression!r} {count} times: choose the expression to replace anew"
    namespace = dict(vars(sys.modules[function.__module__]))
    exec("from __future__ import annotations\n" + source.replace(expression, replacement), namespace)
    mutant = namespace[function.__name__]
    with ExitStack() as patches:
        for module in PATCHED_MODULES:
            if getattr(module, function.__name__, None) is function:
                patches.enter_context(patch.object(module, function.__name__, mutant))
        yield


def largest_difference(some, others):
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))


# The comparisons. Each returns by how much the fast way is off.

def small_bert():
    "A BERT with random weights and biases, without dropout."
    from transformers import BertConfig, BertForSequenceClassification
    config = BertConfig(vocab_size=300, max_position_embeddings=70, hidden_size=52, num_hidden_layers=3,
        num_attention_heads=2, intermediate_size=100, initializer_range=.2)
    model = BertForSequenceClassification(config).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"): torch.nn.init.normal_(weight, std=.2)
    return model


def pad_rows(rows, length):
    input_ids = torch.tensor([row["input_ids"] + [0]*(length - len(row["input_ids"])) for row in rows])
    labels = torch.tensor([row["labels"] for row in rows])
    return {"input_ids": input_ids, "labels": labels, "attention_mask": (input_ids != 0).long()}


def logits_and_gradients(model, batch):
    model.zero_grad(set_to_none=True)
    output = model(**batch)
    output.loss.backward()
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in model.parameters()]
    return [output.logits.detach(), *gradients]


def plain_transformers():
    "Logits and gradients of padded and of packed batches."
    set_seed(0)
    model = small_bert()
    lengths = (60, 1, 33, 34)
    rows = [{"input_ids": torch.randint(5, 300, (length,)).tolist(), "labels": length % 2} for length in lengths]
    padded = pad_rows(rows, 60)
    expected = logits_and_gradients(model, padded)
    with kernels.fast_kernels(model):
        fast_padded = logits_and_gradients(model, padded)
        fast_packed = logits_and_gradients(model, tokenization._pack(rows))
    return max(largest_difference(expected, fast_padded), largest_difference(expected, fast_packed))


def numerical_gradients():
    "Gradients of varlen attention with dropout, where the same weights are dropped each time."
    from torch.autograd.gradcheck import get_numerical_jacobian
    set_seed(0)
    inputs = [torch.randn(1, 2, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def attend(query, key, value):
        torch.manual_seed(1)
        return kernels._varlen_attention().apply(query, key, value, [0, 4, 9], .3, .5)

    output = attend(*inputs)
    weight = torch.randn_like(output)
    gradients = torch.autograd.grad((output*weight).sum(), inputs)
    differences = []
    for tensor, gradient in zip(inputs, gradients, strict=True):
        (jacobian,) = get_numerical_jacobian(lambda tensors: (attend(*tensors)*weight).sum(), inputs, target=tensor)
        differences.append(float((jacobian.view_as(gradient) - gradient).abs().max()))
    return max(differences)


def pytorch_attention(query, key, value):
    "By how much varlen attention over one text differs from PyTorch's."
    expected = scaled_dot_product_attention(query, key, value, scale=.5)
    actual = kernels._varlen_attention().apply(query, key, value, [0, 9], 0., .5)
    return float((actual - expected).abs().max())


def large_scores():
    "Attention where scores reach thousands."
    set_seed(0)
    query, key, value = torch.randn(1, 2, 9, 4), torch.randn(1, 2, 9, 4), torch.randn(1, 2, 9, 4)
    return pytorch_attention(2000*query, key, value)


def low_scores():
    "Attention where all scores are far below 0."
    set_seed(0)
    query, key, value = torch.rand(1, 2, 9, 4), torch.rand(1, 2, 9, 4), torch.randn(1, 2, 9, 4)
    return pytorch_attention(100*query, -100*key, value)


def dropout_mean_and_gradient():
    "The mean of dropout's output, and the gradient of each value. A random difference below .01 counts as none."
    set_seed(0)
    dropout = kernels._fast_dropout()(.1).train()
    values = torch.ones(200_000, requires_grad=True)
    output = dropout(values)
    output.sum().backward()
    output = output.detach()
    dropped = float((output == 0).float().mean())
    assert abs(dropped - .1) < .01
    mean_difference = abs(float(output.mean()) - 1)
    gradient_difference = float((output - values.grad).abs().max())
    largest = max(mean_difference, gradient_difference)
    return 0. if largest < .01 else largest


def tiny_model():
    return models._make_tiny(["the council met on monday and the board met again"]*20, 64)


def one_text_at_a_time():
    "Logits of many texts, which must be in the texts' order."
    set_seed(0)
    model, tokenizer = tiny_model()
    ids = [[2, *range(5, 5 + length), 3] for length in (3, 9, 1, 20, 7)]
    together = models.predict_logits(model, tokenizer, ids, batch_size=2, progress=False)
    one_by_one = [models.predict_logits(model, tokenizer, [row], progress=False) for row in ids]
    return float(np.abs(together - np.concatenate(one_by_one)).max())


def training_row(number):
    words = [5 + (7*number + 3*step) % 40 for step in range(3 + number % 9)]
    return {"input_ids": [2, *words, 3], "labels": number % 2, "length": 5 + number % 9}


def switch_dropout_off(model):
    for module in model.modules():
        if hasattr(module, "dropout_prob"): module.dropout_prob = 0.
        if isinstance(module, torch.nn.Dropout): module.p = 0.


def train_with_micro_batches(micro_batch_tokens):
    "Loss and gradient norm of each of three steps; 0 tokens: whole batches."
    from datasets import Dataset
    set_seed(0)
    rows = [training_row(number) for number in range(24)]
    model, tokenizer = tiny_model()
    model.config.vocab_size = 300
    model.resize_token_embeddings(300, mean_resizing=False)
    recipe = replace(training.RECIPES["fast"], batch_size=8, epochs=1, learning_rate=1e-3, precision="fp32",
        micro_batch_tokens=micro_batch_tokens)
    with tempfile.TemporaryDirectory() as folder, kernels.fast_kernels(model, dropout=False):
        switch_dropout_off(model)
        arguments = training._training_arguments(recipe, Path(folder), 3)
        train, validation = Dataset.from_list(rows), Dataset.from_list(rows[:2])
        trainer = training._make_trainer(model, arguments, tokenization._pack, train, validation,
            micro_batch_tokens=micro_batch_tokens, processing_class=tokenizer,
            compute_metrics=lambda result: {"f1": 1.})
        with models._quiet_transformers(): trainer.train()
        steps = [entry for entry in trainer.state.log_history if "loss" in entry]
        return np.array([[entry["loss"], entry["grad_norm"]] for entry in steps])


def whole_batches():
    "Losses and gradient norms of training with micro-batches."
    expected = train_with_micro_batches(0)
    actual = train_with_micro_batches(20)
    assert len(expected) == 3
    return float(np.abs(expected - actual).max())


# The mutations. Each must be noticed by one of the comparisons.

class Mutation(NamedTuple):
    effect: str
    noticed_by: Callable[[], float]
    function: Callable
    expression: str
    replacement: str


MUTATIONS = [
    Mutation(
        effect="scores are not scaled",
        noticed_by=plain_transformers,
        function=kernels._varlen_attention,
        expression="query*(scale/math.log(2))",
        replacement="query/math.log(2)"),
    Mutation(
        effect="the gradient of the query is not scaled",
        noticed_by=plain_transformers,
        function=kernels._varlen_attention,
        expression="query_gradient*ctx.scale",
        replacement="query_gradient"),
    Mutation(
        effect="the gradient of the key is that of powers of e",
        noticed_by=plain_transformers,
        function=kernels._varlen_attention,
        expression="key_gradient*math.log(2)",
        replacement="key_gradient"),
    Mutation(
        effect="the weights do not sum to 1 in the forward pass",
        noticed_by=plain_transformers,
        function=kernels._text_attention,
        expression="torch.bmm(weights, value)/total",
        replacement="torch.bmm(weights, value)"),
    Mutation(
        effect="the weights do not sum to 1 in the backward pass",
        noticed_by=plain_transformers,
        function=kernels._text_attention_gradients,
        expression="weights /= total",
        replacement="pass"),
    Mutation(
        effect="powers of low scores vanish",
        noticed_by=low_scores,
        function=kernels._unnormalized_weights,
        expression="1/limit < float(lowest)",
        replacement="True"),
    Mutation(
        effect="powers of large scores overflow",
        noticed_by=large_scores,
        function=kernels._unnormalized_weights,
        expression="if stable: scores -=",
        replacement="if False: scores -="),
    Mutation(
        effect="texts attend to each other",
        noticed_by=plain_transformers,
        function=kernels._attention_forward,
        expression="cu_seq_lens_q.tolist()",
        replacement="[0, query.shape[2]]"),
    Mutation(
        effect="the scale is that of the padded head size",
        noticed_by=plain_transformers,
        function=kernels._attention_forward,
        expression="dropout, scale=scaling",
        replacement="dropout"),
    Mutation(
        effect="the last token is read instead of the first",
        noticed_by=plain_transformers,
        function=kernels._cls_only_forward,
        expression="cu_seq_lens_q[:-1]",
        replacement="cu_seq_lens_q[1:] - 1"),
    Mutation(
        effect="the last layer's scores are not scaled",
        noticed_by=plain_transformers,
        function=kernels._cls_only_forward,
        expression="query*query.shape[-1]**-.5",
        replacement="query*1."),
    Mutation(
        effect="[CLS] attends to padding",
        noticed_by=plain_transformers,
        function=kernels._mask_scores,
        expression="if mask is None: return scores",
        replacement="return scores"),
    Mutation(
        effect="the last layer's value bias is left out",
        noticed_by=plain_transformers,
        function=kernels._cls_only_forward,
        expression="+ by_head(parts.value.bias)*total",
        replacement="+ 0*total"),
    Mutation(
        effect="position ids are off by one",
        noticed_by=plain_transformers,
        function=tokenization._pack,
        expression="torch.arange(first_position, first_position + length)",
        replacement="torch.arange(first_position + 1, first_position + 1 + length)"),
    Mutation(
        effect="the forward pass keeps what the backward pass drops",
        noticed_by=numerical_gradients,
        function=kernels._text_attention,
        expression="_apply_mask(weights, mask)",
        replacement="pass"),
    Mutation(
        effect="the backward pass forgets before the softmax what was dropped",
        noticed_by=numerical_gradients,
        function=kernels._text_attention_gradients,
        expression="_apply_mask(weights_gradient, mask)",
        replacement="pass"),
    Mutation(
        effect="the backward pass forgets after the softmax what was dropped",
        noticed_by=numerical_gradients,
        function=kernels._text_attention_gradients,
        expression="_apply_mask(weights, mask)",
        replacement="pass"),
    Mutation(
        effect="the gradient of attention dropout is not scaled",
        noticed_by=numerical_gradients,
        function=kernels._varlen_attention,
        expression="if ctx.p: gradient = gradient/(1 - ctx.p)",
        replacement="pass"),
    Mutation(
        effect="the backward pass of dropout drops nothing",
        noticed_by=dropout_mean_and_gradient,
        function=kernels._fast_dropout,
        expression="_apply_mask(gradient/(1 - ctx.p), ctx.mask)",
        replacement="gradient/(1 - ctx.p)"),
    Mutation(
        effect="dropout does not scale what it keeps",
        noticed_by=dropout_mean_and_gradient,
        function=kernels._fast_dropout,
        expression="_apply_mask(values/(1 - p), ctx.mask)",
        replacement="_apply_mask(values*1, ctx.mask)"),
    Mutation(
        effect="logits stay in the order of length",
        noticed_by=one_text_at_a_time,
        function=models._run_batches,
        expression="result[rows] =",
        replacement="result[start:start + batch_size] ="),
    Mutation(
        effect="micro-batches count alike, however many articles they hold",
        noticed_by=whole_batches,
        function=training._make_trainer,
        expression='len(part["labels"])/len(inputs["labels"])',
        replacement="1/len(parts)"),
    Mutation(
        effect="a micro-batch gets the labels of another",
        noticed_by=whole_batches,
        function=tokenization._micro_batches,
        expression='batch["labels"][first:last]',
        replacement='batch["labels"][:last - first]'),
]

COMPARISONS = (plain_transformers, numerical_gradients, large_scores, low_scores, dropout_mean_and_gradient,
    one_text_at_a_time, whole_batches)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.__name__)
def test_same_answers(comparison):
    assert comparison() < TOLERANCE


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.effect)
def test_mutation_is_noticed(mutation):
    with mutated(mutation.function, mutation.expression, mutation.replacement): difference = mutation.noticed_by()
    unnoticed = difference < 10*TOLERANCE # a difference that is not a number counts as noticed
    assert not unnoticed, f"{mutation.effect}, and {mutation.noticed_by.__name__} did not notice: {difference:.0e}"
