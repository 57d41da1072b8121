"What must not pile up: what PyTorch prepares for each of the many shapes of packed batches, and what a tokenizer returns beside ids."
import os
import subprocess
import sys

import pytest

MANY_SHAPES = """
import ctypes, sys
if sys.argv[1] == "with": from fakenews_nb.kernels import tune_process; tune_process()
import torch
layer = torch.nn.Linear(312, 1200)
def megabytes():
    ctypes.CDLL(None).malloc_trim(0)
    return int(open("/proc/self/statm").read().split()[1])*4096/2**20
def each(shapes):
    with torch.autocast("cpu", torch.bfloat16):
        for tokens in shapes: layer(torch.ones(tokens, 312)).sum().backward()
each(range(500, 600))
before = megabytes()
each(range(600, 700))
print(megabytes() - before)
"""


def grown(*args, **variables):
    env = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name} | variables | {"OMP_NUM_THREADS": "1"}
    return float(subprocess.run([sys.executable, "-c", MANY_SHAPES, *args], check=True, capture_output=True, text=True, env=env).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_shapes():
    without = grown("without")
    if without < 20: pytest.skip("this machine's PyTorch prepares nothing for a shape")
    assert grown("with") < without/10
    assert grown("with", ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024", LRU_CACHE_CAPACITY="1024") > without/2, "who sets the variables is left alone"


MANY_TEXTS = """
import resource
from fakenews_nb.tokenization import encode, train_tokenizer
words = [a + b + c for a in "bdfgklmn" for b in "aeiou" for c in "bdfgklmn"]
tokenizer = train_tokenizer([" ".join(words)]*20)
texts = [" ".join(words[number % 300:] + words[:number % 300]) for number in range(4000)]
encode(texts[:100], tokenizer, 128)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
encode(texts, tokenizer, 128)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes there alone")
def test_memory_of_tokenization_is_that_of_the_ids():
    "A tokenizer's results hold far more than ids, and those it cut away."
    done = subprocess.run([sys.executable, "-c", MANY_TEXTS], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 60, "megabytes for 4,000 texts of 128 tokens"
