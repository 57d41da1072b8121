"The published split on the full title index, where it is present."
import hashlib

import pytest
from conftest import SHARED, fakenews

TITLES = SHARED/"isot_titles"
FROZEN = {"train": "876c489064a18385", "validation": "3bbaf7f647ffaa99", "test": "eb0436de773e6893"}


@pytest.mark.skipif(not TITLES.is_dir(), reason=f"the folder {TITLES.name} is not there")
def test_published_split_of_all_titles(tmp_path):
    import pandas as pd
    fakenews("prepare", "isot", "--path", TITLES, "--protocol", "published", "--out", tmp_path/"P")
    parts = {name: pd.read_parquet(tmp_path/"P"/f"{name}.parquet") for name in FROZEN}
    sizes = {name: len(part) for name, part in parts.items()}
    assert sizes == {"train": 31428, "validation": 6735, "test": 6735}
    assert parts["test"].label.value_counts().to_dict() == {0: 3523, 1: 3212}
    for name, part in parts.items():
        digest = hashlib.sha256("\n".join(part.id).encode()).hexdigest()
        assert digest[:16] == FROZEN[name], name
    seen = set(parts["train"].title.str.strip().str.lower())
    assert parts["test"].title.str.strip().str.lower().isin(seen).sum() == 1210, "the number on the tutorial's page"
    assert parts["train"].title.iloc[0].startswith("Trump \u2018Diversity Council\u2019")
    assert (parts["train"].text == "").all()
