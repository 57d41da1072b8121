"""Each way of computing the same faster is compared with plain transformers, and the comparison must fail if the way is broken on purpose: here, by changing one expression in its source."""
import inspect
import sys
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from fakenews_nb import kernels, models, tokenization, training
from fakenews_nb.runtime import set_seed

TOLERANCE = 1e-5
CONFIG = dict(vocab_size=300, max_position_embeddings=70, hidden_size=52, num_hidden_layers=3, num_attention_heads=2, intermediate_size=100, initializer_range=.2)


@contextmanager
def broken(function, said, instead):
    "Replace one expression in a function of ours, wherever the package uses it."
    source = inspect.getsource(function)
    assert source.count(said) == 1, f"{function.__name__} holds {said!r} {source.count(said)} times: name what to break anew"
    space = dict(vars(sys.modules[function.__module__]))
    exec(source.replace(said, instead), space)
    places = [module for module in (kernels, models, tokenization, training) if getattr(module, function.__name__, None) is function]
    patches = [patch.object(module, function.__name__, space[function.__name__]) for module in places]
    for one in patches: one.start()
    try: yield
    finally:
        for one in patches: one.stop()


def answers(model, batch):
    model.zero_grad(set_to_none=True)
    out = model(**batch)
    out.loss.backward()
    return [out.logits.detach(), *(torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in model.parameters())]


def furthest(some, others): return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))


def like_plain():
    "How far logits and gradients of packed and of padded batches are from those of plain transformers."
    from transformers import BertConfig, BertForSequenceClassification
    set_seed(0)
    model = BertForSequenceClassification(BertConfig(**CONFIG)).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"): torch.nn.init.normal_(weight, std=.2)
    rows = [{"input_ids": torch.randint(5, 300, (length,)).tolist(), "labels": length % 2} for length in (60, 1, 33, 34)]
    padded = {"input_ids": torch.tensor([row["input_ids"] + [0]*(60 - len(row["input_ids"])) for row in rows]), "labels": torch.tensor([row["labels"] for row in rows])}
    padded["attention_mask"] = (padded["input_ids"] != 0).long()
    plain = answers(model, padded)
    with kernels.fast_kernels(model): return max(furthest(plain, answers(model, batch)) for batch in (padded, tokenization._pack(rows)))


def slope():
    "How far the gradients of attention with dropout are from those found by small steps; the same weights are dropped each time."
    from torch.autograd.gradcheck import get_numerical_jacobian
    set_seed(0)
    query, key, value = (torch.randn(1, 2, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    def _attend(query, key, value):
        torch.manual_seed(1)
        return kernels._varlen_attention().apply(query, key, value, [0, 4, 9], .3, .5)
    out, far = _attend(query, key, value), 0.
    weight = torch.randn_like(out)
    for part, gradient in zip((query, key, value), torch.autograd.grad((out*weight).sum(), (query, key, value))):
        (jacobian,) = get_numerical_jacobian(lambda parts: (_attend(*parts)*weight).sum(), (query, key, value), target=part)
        far = max(far, float((jacobian.view_as(gradient) - gradient).abs().max()))
    return far


def large_scores():
    "How far attention is from PyTorch's where scores reach thousands."
    set_seed(0)
    query, key, value = (torch.randn(1, 2, 9, 4) for _ in range(3))
    query *= 2000
    return float((kernels._varlen_attention().apply(query, key, value, [0, 9], 0., .5) - torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=.5)).abs().max())


def low_scores():
    "How far attention is from PyTorch's where all scores are far below 0."
    set_seed(0)
    query, key, value = torch.rand(1, 2, 9, 4)*100, -torch.rand(1, 2, 9, 4)*100, torch.randn(1, 2, 9, 4)
    return float((kernels._varlen_attention().apply(query, key, value, [0, 9], 0., .5) - torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=.5)).abs().max())


def thinned():
    "How far quick dropout's mean is from its input, and its way back from its way there."
    set_seed(0)
    dropout, values = kernels._fast_dropout()(.1).train(), torch.ones(200_000, requires_grad=True)
    out = dropout(values)
    out.sum().backward()
    assert abs(float((out == 0).float().mean()) - .1) < .01
    far = max(abs(float(out.detach().mean()) - 1), float((out - values.grad).abs().max()))
    return 0. if far < .01 else far


def in_order():
    "How far the logits of many texts are from those of each alone."
    set_seed(0)
    model, tokenizer = models._make_tiny(["the council met on monday and the board met again"]*20, 64)
    ids = [[2, *range(5, 5 + length), 3] for length in (3, 9, 1, 20, 7)]
    together = models.predict_logits(model, tokenizer, ids, batch_size=2, progress=False)
    return float(np.abs(together - np.concatenate([models.predict_logits(model, tokenizer, [row], progress=False) for row in ids])).max())


def in_parts():
    "How far the losses of training in parts are from those of training on whole batches."
    import tempfile
    from pathlib import Path
    from datasets import Dataset
    rows = [{"input_ids": [2, *(5 + (7*row + 3*step) % 40 for step in range(3 + row % 9)), 3], "labels": row % 2, "length": 5 + row % 9} for row in range(24)]
    def losses(micro_batch_tokens):
        set_seed(0)
        model, tokenizer = models._make_tiny(["the council met on monday and the board met again"]*20, 64)
        model.config.vocab_size, recipe = 300, replace(training.RECIPES["fast"], batch_size=8, epochs=1, learning_rate=1e-3, precision="fp32", micro_batch_tokens=micro_batch_tokens)
        model.resize_token_embeddings(300, mean_resizing=False)
        with tempfile.TemporaryDirectory() as folder, kernels.fast_kernels(model, dropout=False):
            for module in model.modules():
                if hasattr(module, "dropout_prob"): module.dropout_prob = 0.
                if isinstance(module, torch.nn.Dropout): module.p = 0.
            trainer = training._make_trainer(model, training._training_arguments(recipe, Path(folder), 3), tokenization._pack, Dataset.from_list(rows), Dataset.from_list(rows[:2]), micro_batch_tokens=micro_batch_tokens, processing_class=tokenizer,
                compute_metrics=lambda result: {"f1": 1.})
            with models._quiet_transformers(): trainer.train()
            return np.array([[entry["loss"], entry["grad_norm"]] for entry in trainer.state.log_history if "loss" in entry])
    whole, parts = losses(0), losses(20)
    assert len(whole) == 3
    return float(np.abs(whole - parts).max())


COMPARISONS = (like_plain, slope, large_scores, low_scores, thinned, in_order, in_parts)
BREAKS = [ # comparison, function, an expression in it, what is put there instead, what that does
    (like_plain, kernels._varlen_attention, "query*(scale/math.log(2))", "query/math.log(2)", "scores are not scaled"),
    (like_plain, kernels._varlen_attention, "ways[0]*ctx.scale", "ways[0]", "the query's gradient is not scaled"),
    (like_plain, kernels._varlen_attention, "ways[1]*math.log(2)", "ways[1]", "the key's gradient is taken for powers of e"),
    (like_plain, kernels._varlen_attention, "torch.bmm(weights, v)/total", "torch.bmm(weights, v)", "weights do not sum to 1"),
    (like_plain, kernels._varlen_attention, "weights /= total", "pass", "nor on the way back"),
    (low_scores, kernels._varlen_attention, "1/largest < least", "True", "low scores vanish"),
    (large_scores, kernels._varlen_attention, "if shifted:", "if False:", "large scores overflow"),
    (like_plain, kernels._attend, "cu_seq_lens_q.tolist()", "[0, query.shape[2]]", "texts see each other"),
    (like_plain, kernels._attend, "dropout, scale=scaling", "dropout", "the filled-up head size scales"),
    (like_plain, kernels._cls_only_forward, "cu_seq_lens_q[:-1]", "cu_seq_lens_q[1:] - 1", "the last token is read"),
    (like_plain, kernels._cls_only_forward, "query*query.shape[-1]**-.5", "query*1.", "the last layer's scores are not scaled"),
    (like_plain, kernels._cls_only_forward, "if mask is not None:", "if False:", "padding is looked at"),
    (like_plain, kernels._cls_only_forward, '+ by_head(parts["value"].bias)*total', "+ 0*total", "the value's bias is left out"),
    (like_plain, tokenization._pack, "torch.arange(first_position, first_position + length)", "torch.arange(first_position + 1, first_position + 1 + length)", "positions are off by one"),
    (slope, kernels._varlen_attention, "if ctx.p: _apply_mask(of_weights, ctx.kept[text])", "pass", "the way back forgets what was dropped, before the softmax"),
    (slope, kernels._varlen_attention, "if ctx.p: _apply_mask(weights, ctx.kept[text])", "pass", "and after it"),
    (slope, kernels._varlen_attention, "if ctx.p: gradient = gradient/(1 - ctx.p)", "pass", "the way back is not scaled"),
    (thinned, kernels._fast_dropout, "_apply_mask(gradient/(1 - ctx.p), ctx.bits)", "gradient/(1 - ctx.p)", "dropout's way back drops nothing"),
    (thinned, kernels._fast_dropout, "_apply_mask(values/(1 - p), ctx.bits)", "_apply_mask(values*1, ctx.bits)", "what stays is not raised"),
    (in_order, models._run_batches, "result[rows] =", "result[start:start + batch_size] =", "logits stay in the order of length"),
    (in_parts, training._make_trainer, 'len(part["labels"])/len(inputs["labels"])', "1/len(parts)", "parts count alike, however many articles they hold"),
    (in_parts, tokenization._micro_batches, 'batch["labels"][first:last]', 'batch["labels"][:last - first]', "a part gets the labels of another"),
]


@pytest.mark.parametrize("compare", COMPARISONS, ids=lambda compare: compare.__name__)
def test_equal(compare): assert compare() < TOLERANCE


@pytest.mark.parametrize("compare, function, said, instead, effect", BREAKS, ids=[row[-1] for row in BREAKS])
def test_a_broken_one_is_noticed(compare, function, said, instead, effect):
    with broken(function, said, instead): far = compare()
    assert not far < 10*TOLERANCE, f"{effect}, and nothing was noticed: {far:.0e}"
    print(f"{compare.__name__}: {far:.0e} when {effect}")
