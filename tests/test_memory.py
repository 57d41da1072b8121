"Memory must not grow with packed batches' shapes or a tokenizer's results, and a process is tuned only on request."
import os
import subprocess
import sys

import pytest

CACHE_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def run_python(program, *args, **variables):
    "Run a program in a fresh process on one thread, without tuned variables but those given; returns what it printed."
    tuned = (*CACHE_VARIABLES, "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    env = {name: value for name, value in os.environ.items() if name not in tuned}
    env |= {"OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", program, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout


MANY_SHAPES = """
import ctypes
import sys

import torch
from fakenews_nb.kernels import tune_process

if sys.argv[1] == "tuned": tune_process()
layer = torch.nn.Linear(312, 1200)

def resident_megabytes():
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages*4096/2**20

def multiply(shapes):
    with torch.autocast("cpu", torch.bfloat16):
        for tokens in shapes: layer(torch.ones(tokens, 312)).sum().backward()

multiply(range(500, 600))
before = resident_megabytes()
multiply(range(600, 700))
print(resident_megabytes() - before)
"""


def growth(process, **variables):
    "Megabytes that a hundred more shapes take."
    return float(run_python(MANY_SHAPES, process, **variables))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_shapes():
    untuned = growth("untuned")
    if untuned < 20: pytest.skip("this machine's PyTorch prepares nothing for a shape")
    assert growth("tuned") < untuned/10
    large_caches = growth("tuned", **dict.fromkeys(CACHE_VARIABLES, "1024"))
    assert large_caches > untuned/2, "variables that are set keep their values"


UNTUNED = """
import os
import sys

import fakenews_nb
import torch
from fakenews_nb import kernels, models, training
from transformers import BertConfig, BertForSequenceClassification

config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = BertForSequenceClassification(config)
with kernels.fast_kernels(model): model(input_ids=torch.ones(1, 4, dtype=torch.long))
print([name for name in sys.argv[1:] if name in os.environ], kernels._keep_freed_memory.cache_info().misses)
"""


def test_nothing_is_tuned_without_a_request():
    "Neither an import nor `fast_kernels` changes a setting of the process."
    assert run_python(UNTUNED, *CACHE_VARIABLES).split("\n")[0] == "[] 0"


TUNED = """
import os
import sys
from fakenews_nb.kernels import _keep_freed_memory, tune_process

tune_process(keep_freed_memory=len(sys.argv) > 1)
print(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], os.environ["LRU_CACHE_CAPACITY"])
print(_keep_freed_memory.cache_info().misses)
print(os.environ.get("GOMP_SPINCOUNT"))
"""


def test_tuning_on_request():
    assert run_python(TUNED, "keep").split("\n")[:3] == ["64 64", "1", "1000"]
    assert run_python(TUNED).split("\n")[:3] == ["64 64", "0", "1000"]
    assert run_python(TUNED, OMP_WAIT_POLICY="ACTIVE").split("\n")[2] == "None", "how threads wait was chosen"


MANY_TEXTS = """
import resource
from fakenews_nb.tokenization import encode, train_tokenizer

def peak_megabytes(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024

words = [a + b + c for a in "bdfgklmn" for b in "aeiou" for c in "bdfgklmn"]
tokenizer = train_tokenizer([" ".join(words)]*20)
texts = [" ".join(words[number % 300:] + words[:number % 300]) for number in range(4000)]
encode(texts[:100], tokenizer, 128)
before = peak_megabytes()
encode(texts, tokenizer, 128)
print(peak_megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes only on Linux")
def test_tokenization_needs_memory_for_ids_only():
    "A tokenizer returns far more than ids, among it the tokens that it cut away."
    assert float(run_python(MANY_TEXTS)) < 60, "megabytes for 4,000 texts of 128 tokens"
