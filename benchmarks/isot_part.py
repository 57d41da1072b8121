"""Which rows of ISOT the pages of the site show: writes nbs/assets/isot_articles.csv, for a reader with all of ISOT.

    python benchmarks/isot_part.py --part FOLDER --titles FOLDER

FOLDER is one with True.csv and Fake.csv: the articles at hand, and the titles of all articles in their order. A row is
found by its title, subject and date. Where several rows agree in all three, the first one is taken.
"""
import argparse
from pathlib import Path

import pandas as pd

from fakenews_nb.files import new_file
from fakenews_nb.runtime import notify

FILES = ("True.csv", "Fake.csv")
KEY = ["title", "subject", "date"]
OUT = Path(__file__).resolve().parents[1]/"nbs"/"assets"/"isot_articles.csv"


def find_rows(part: pd.DataFrame, titles: pd.DataFrame) -> tuple[pd.Series, int]:
    "The row of each article among all titles, counted from 0, and how many articles several rows agree with."
    numbered = titles.reset_index(names="row")
    is_repeated = numbered.duplicated(KEY, keep=False)
    repeated = pd.MultiIndex.from_frame(numbered.loc[is_repeated, KEY])
    first = numbered.drop_duplicates(KEY)
    found = part[KEY].merge(first, on=KEY, how="left", validate="many_to_one")
    if found.row.isna().any(): raise SystemExit(f"articles that are no row of ISOT: {found.row.isna().sum():,}")
    n_unsure = pd.MultiIndex.from_frame(part[KEY]).isin(repeated).sum()
    return found.row.astype(int), int(n_unsure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=Path, required=True, help="folder with the articles at hand")
    parser.add_argument("--titles", type=Path, required=True, help="folder with the titles of all articles")
    args = parser.parse_args()
    tables = []
    for name in FILES:
        rows, n_unsure = find_rows(pd.read_csv(args.part/name), pd.read_csv(args.titles/name))
        notify(f"{name}: {len(rows):,} articles, of which {n_unsure:,} agree with several rows")
        tables.append(pd.DataFrame({"file": name, "row": rows}))
    with new_file(OUT) as partial: pd.concat(tables).to_csv(partial, index=False)


if __name__ == "__main__": main()
