"Packed batches have a new shape at every step; what PyTorch prepares for each is not kept for ever."
import os
import subprocess
import sys

import pytest

MANY_SHAPES = """
import ctypes, sys
if sys.argv[1] == "with": import fakenews_nb.models
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
