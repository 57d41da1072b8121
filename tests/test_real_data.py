"The published split on the full title index, where it is present."
import hashlib

import pytest
from conftest import ROOT, SHARED, fakenews

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


@pytest.mark.skipif(not TITLES.is_dir(), reason=f"the folder {TITLES.name} is not there")
def test_the_list_of_the_articles_at_hand():
    "A reader with all of ISOT gets the articles of our pages, in our order, from the rows that the site lists."
    import pandas as pd
    listed = pd.read_csv(ROOT/"nbs"/"assets"/"isot_articles.csv")
    assert not listed.duplicated().any()
    for name, rows in listed.groupby("file").row:
        whole, part = pd.read_csv(TITLES/name).iloc[rows], pd.read_csv(SHARED/"isot"/name)
        for column in ("title", "subject", "date"): assert whole[column].tolist() == part[column].tolist()
