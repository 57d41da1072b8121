"A model exported for OpenVINO predicts like PyTorch, without torch, and from several threads at once."
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from fakenews_nb.core import DataError
from fakenews_nb.detector import Detector
from fakenews_nb.export import export_model
from fakenews_nb.files import read_json

pytest.importorskip("openvino")
pytest.importorskip("nncf")


@pytest.fixture(scope="module")
def articles(prepared):
    "The test and the training articles."
    return pd.read_parquet(prepared/"test.parquet"), pd.read_parquet(prepared/"train.parquet")


@pytest.fixture(scope="module", params=[False, True], ids=["bf16", "int8"])
def exported(run_folder, articles, tmp_path_factory, request):
    "The trained model, exported in both precisions."
    test, train = articles
    folder = tmp_path_factory.mktemp("openvino")/"exported"
    export_model(run_folder, folder, int8=request.param, engine="openvino", articles=test, calibration=train)
    return folder


def test_predicts_like_pytorch(exported, run_folder, articles):
    texts = (articles[0].title + " " + articles[0].text).tolist()
    answers = Detector.load(exported).predict(texts)
    expected = Detector.load(run_folder).predict(texts)
    same = np.mean([one.label == other.label for one, other in zip(answers, expected, strict=True)])
    assert same > .95
    assert read_json(exported/"detector.json")["comparison"]["agreement"] > .95


def test_requirements_name_the_engine(exported):
    requirements = (exported/"requirements.txt").read_text()
    assert "openvino==" in requirements
    assert "onnxruntime" not in requirements


def test_several_threads_at_once(exported, articles):
    "Each thread gets the answers to its own texts."
    texts = (articles[0].title + " " + articles[0].text).tolist()
    detector = Detector.load(exported)
    alone = [detector.predict(text) for text in texts]
    with ThreadPoolExecutor(8) as pool: together = list(pool.map(detector.predict, texts))
    for one, other in zip(alone, together, strict=True):
        assert one.label == other.label
        assert np.isclose(one.probability, other.probability, atol=1e-6)


def test_int8_needs_training_articles(run_folder, articles, tmp_path):
    with pytest.raises(DataError, match="calibrated on training articles"):
        export_model(run_folder, tmp_path/"out", int8=True, engine="openvino", articles=articles[0])
    assert not (tmp_path/"out").exists()
