"An exported detector predicts without torch, transformers, pandas and the other heavy packages, and quickly."
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fakenews_nb.detector import Detector
from fakenews_nb.export import export_model

HEAVY = ("torch", "transformers", "pandas", "scipy", "sklearn", "datasets", "matplotlib", "seaborn", "jinja2",
    "accelerate", "evaluate", "safetensors", "pyarrow", "onnx", "onnxscript", "cleanlab", "kagglehub", "rensa")
BLOCKED = f"""
import sys

class Block:
    "An importer that refuses the heavy packages."
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}: raise ModuleNotFoundError(name + " is blocked", name=name)

sys.meta_path.insert(0, Block())
"""
TEXTS = ["The council met on Monday.", "You will not believe what the crooked agency is hiding!", "", "word "*3000]


@pytest.fixture(scope="module")
def exported(run_folder, prepared, tmp_path_factory):
    "The trained model in int8."
    folder = tmp_path_factory.mktemp("light")/"onnx"
    export_model(run_folder, folder, int8=True, articles=pd.read_parquet(prepared/"test.parquet"))
    return folder


def run_blocked(code, *arguments):
    "Run Python code that cannot import the heavy packages; returns what it prints."
    command = [sys.executable, "-c", BLOCKED + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predicts_without_heavy_packages(exported):
    code = """
import json
from fakenews_nb import Detector
texts = json.loads(sys.argv[2])
verdicts = Detector.load(sys.argv[1]).predict(texts)
print(json.dumps([verdict._asdict() for verdict in verdicts]))
"""
    answers = [json.loads(line) for line in run_blocked(code, exported, json.dumps(TEXTS)).splitlines()][0]
    expected = Detector.load(exported).predict(TEXTS)
    for answer, verdict in zip(answers, expected, strict=True):
        assert answer["label"] == verdict.label
        assert answer["truncated"] == verdict.truncated
        assert answer["note"] == verdict.note
        assert np.isclose(answer["probability"], verdict.probability, atol=1e-6)


def test_the_block_blocks():
    "Negative control."
    with pytest.raises(AssertionError, match="pandas is blocked"): run_blocked("import pandas")


def test_command_predicts_without_heavy_packages(exported):
    code = "from fakenews_nb.cli import main\nmain(sys.argv[1:])"
    answer = run_blocked(code, "predict", exported, TEXTS[0])
    label, probability, beginning = answer.rstrip("\n").split("\t")
    assert label in ("fake", "real")
    assert .5 <= float(probability) <= 1
    assert beginning == TEXTS[0]


WITHOUT_TORCH = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find(name, package)
"""


def test_pytorch_folder_without_torch(run_folder):
    "The message says which package is missing, and what to do."
    code = """
from fakenews_nb.core import ModelError
from fakenews_nb.inference import load_model
try: load_model(sys.argv[1])
except ModelError as error: print(error)
"""
    answer = run_blocked(WITHOUT_TORCH + code, run_folder)
    assert "needs torch" in answer
    assert "fakenews export" in answer


def test_explains_without_heavy_packages(exported):
    code = """
from fakenews_nb import Detector
from fakenews_nb.attribution import explain
explanation = explain(Detector.load(sys.argv[1]), "The council met. They are lying!", by="word", method=sys.argv[2])
print(explanation.strongest(1)[0][1])
"""
    for method in ("occlusion", "lime", "shapley"): assert float(run_blocked(code, exported, method)) != 0
