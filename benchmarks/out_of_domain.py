"""What improves the out-of-domain score of a detector that is trained on ISOT alone: one change at a time, three seeds.

Every variant is fine-tuned on the same ISOT articles, cleaned and split by groups of near-duplicates.
It is tested in-domain on ISOT's own test articles, and out-of-domain on four other corpora.
Two of these, LIAR and COVID-19 Constraint, serve to compare and to choose variants.
The other two, FakeNewsAMT and Horne 2017, are only reported: nothing is chosen by them.
Each variant is also tested as a member of an averaging ensemble, with character n-grams and engineered features.

Logits are kept in --work, so that no run is repeated; the results are written again after every run.

    python benchmarks/out_of_domain.py --model FOLDER --data FOLDER
"""
import argparse
import os
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from fakenews_nb.audit import mask_shortcuts
from fakenews_nb.baselines import fit_baseline
from fakenews_nb.cleaning import NAME_MASKING, TITLE_REMOVAL, Rule, clean_articles
from fakenews_nb.data import load_articles
from fakenews_nb.evaluation import Predictions, predict
from fakenews_nb.files import write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.splits import load_prepared, prepare, save_prepared
from fakenews_nb.training import RECIPES, Recipe, finetune
from fakenews_nb.transfer import adjust_prior

BASE = replace(RECIPES["fast"], epochs=1, min_steps=0, learning_rate=5e-5, max_length=128)
ALL_SEEDS = "all" # stands in the place of a seed where the logits of all seeds are averaged
ENSEMBLE_BASELINES = ("char_svc", "engineered")
SELECTION_CORPORA = ("liar", "covid_constraint2021") # variants are compared and chosen by these
REPORTED_CORPORA = ("fakenewsamt", "horne2017") # nothing is chosen by these
TEST_LIMITS = {"liar": 800, "covid_constraint2021": 800, "fakenewsamt": None, "horne2017": None}


@dataclass(frozen=True)
class Variant:
    "One change to the recipe, to the data, or to both."
    recipe: dict[str, Any] # what it changes in the recipe
    data: str = "standard" # a cleaning level, or "untitled", "nameless" or "masked"


VARIANTS = {
    "base": Variant({}),
    "cleaning: none": Variant({}, "none"),
    "cleaning: strict": Variant({}, "strict"),
    "no titles": Variant({}, "untitled"),
    "no names": Variant({}, "nameless"),
    "top 50 shortcut words masked": Variant({}, "masked"),
    "random window": Variant({"augmentation": "window"}),
    "punctuation augmentation": Variant({"augmentation": "punctuation"}),
    "re-weighted by shortcut strength": Variant({"reweight": True}),
    "encoder at 1e-5, head at 1e-3": Variant({"encoder_learning_rate": 1e-5, "learning_rate": 1e-3}),
    "stochastic weight averaging over the last half": Variant({"swa_fraction": .5}),
    # the three that had helped on the selection corpora in a first trial with seed 42
    "window, masked words and stochastic weight averaging": Variant(
        {"augmentation": "window", "swa_fraction": .5}, "masked"),
    "stopped by the hard validation slice": Variant({"evaluations": 4, "select_on": "hard", "patience": 99}),
}


@dataclass(frozen=True)
class VariantData:
    "The prepared folder of a variant, and the tables on which it predicts."
    folder: Path
    rules: tuple[Rule, ...] # by which all tables are cleaned
    tables: dict[str, pd.DataFrame] # validation and test of ISOT, and every other corpus


def prepare_data(data: str, work: Path, isot: str | Path | None) -> Path:
    "Make the prepared folder of a variant, unless it exists; 300 validation articles are enough to choose an epoch."
    out = work/data
    if out.exists(): return out
    if data == "masked":
        mask_shortcuts(prepare_data("standard", work, isot), out, 50)
        return out
    if data in ("untitled", "nameless"):
        rules = {"untitled": TITLE_REMOVAL, "nameless": NAME_MASKING}[data]
        apply_rules(prepare_data("standard", work, isot), out, rules, data)
        return out
    prepare("isot", work/"all", isot, clean=data, overwrite=True)
    dataset, manifest = load_prepared(work/"all")
    splits = {name: dataset[name].to_pandas() for name in dataset}
    splits["validation"] = splits["validation"].head(300)
    save_prepared(splits, out, manifest)
    return out


def apply_rules(folder: Path, out: Path, rules: tuple[Rule, ...], name: str) -> None:
    "Make a prepared folder with further cleaning rules."
    dataset, manifest = load_prepared(folder)
    splits = {split: clean_articles(dataset[split].to_pandas(), rules) for split in dataset}
    all_rules = [*manifest["rules"], *map(asdict, rules)]
    save_prepared(splits, out, {**manifest, "rules": all_rules, "cleaning": f"{manifest['cleaning']}, {name}"})


def load_variant_data(folder: Path, out_of_domain: dict[str, pd.DataFrame]) -> VariantData:
    "Read ISOT's validation and test articles, and clean the other corpora by the same rules."
    dataset, manifest = load_prepared(folder)
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    tables = {"validation": dataset["validation"].to_pandas(), "test": dataset["test"].to_pandas().head(500)}
    for name, articles in out_of_domain.items(): tables[name] = clean_articles(articles, rules)
    return VariantData(folder, rules, tables)


def load_out_of_domain(path: str) -> dict[str, pd.DataFrame]:
    "Load the other corpora, or a random sample of them."
    corpora = {}
    for name, limit in TEST_LIMITS.items():
        articles = load_articles(name, path)
        if limit: articles = articles.sample(limit, random_state=0).reset_index(drop=True)
        corpora[name] = articles
    return corpora


def scores_of(predictions: Predictions, training_prior: float) -> dict[str, float]:
    "Score one model on one corpus."
    labels = predictions.labels
    stated = adjust_prior(predictions)
    estimated = adjust_prior(predictions, "em", training_prior=training_prior)
    return {
        "macro_f1": float(f1_score(labels, predictions.predicted, average="macro")),
        "macro_f1_stated_prior": float(f1_score(labels, stated.predicted, average="macro")),
        "macro_f1_em_prior": float(f1_score(labels, estimated.predicted, average="macro")),
        "auc": float(roc_auc_score(labels, predictions.log_odds)),
    }


def baseline_log_odds(data: VariantData) -> dict[str, np.ndarray]:
    "Log odds of the baselines, table and name -> values, in units of their spread on the validation articles."
    kept = data.folder/"baselines.npz"
    if not kept.exists():
        train = load_prepared(data.folder)[0]["train"].to_pandas()
        scaled = {}
        for name in ENSEMBLE_BASELINES:
            baseline = fit_baseline(name, train, data.rules)
            log_odds = {part: predict(baseline, table, data.rules).log_odds for part, table in data.tables.items()}
            for part, values in log_odds.items(): scaled[f"{part} {name}"] = values/log_odds["validation"].std()
        np.savez(kept, **scaled)
    return dict(np.load(kept))


def ensemble_log_odds(log_odds: dict[str, np.ndarray], data: VariantData) -> dict[str, np.ndarray]:
    "Average an encoder's log odds with those of the baselines; calibrated on the validation articles."
    baselines = baseline_log_odds(data)
    means = {}
    for part, values in log_odds.items():
        members = [values/log_odds["validation"].std()]
        members += [baselines[f"{part} {name}"] for name in ENSEMBLE_BASELINES]
        means[part] = np.mean(members, axis=0)
    curve = LogisticRegression().fit(means["validation"][:, None], data.tables["validation"].label)
    return {part: curve.decision_function(values[:, None]) for part, values in means.items()}


def rows_of(variant: str, seed: int | str, data: VariantData, logits: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    "Score one run: the encoder alone, and in an ensemble."
    log_odds = {part: logits[part][:, 1] - logits[part][:, 0] for part in data.tables}
    training_prior = float(np.mean(load_prepared(data.folder)[0]["train"]["label"]))
    models = {"encoder": log_odds, "ensemble": ensemble_log_odds(log_odds, data)}
    rows = []
    for model, values in models.items():
        scores = {}
        for part, articles in data.tables.items():
            if part == "validation": continue
            scores[part] = scores_of(Predictions.from_log_odds(articles, values[part]), training_prior)
        rows.append({"model": model, "variant": variant, "seed": seed, "scores": scores})
    return rows


def train_variant(data: VariantData, recipe: Recipe, args: argparse.Namespace, out: Path) -> None:
    "Fine-tune one variant and keep its logits."
    with tempfile.TemporaryDirectory() as folder:
        run = finetune(data.folder, Path(folder)/"run", args.model, recipe, limit=args.limit)
        logits = {}
        for part, articles in data.tables.items():
            logits[part] = predict(run.model, articles, data.rules, precision="auto").logits
    out.parent.mkdir(parents=True, exist_ok=True)
    seconds = run.metrics["train_seconds"]
    np.savez(out, seconds=seconds, **logits)
    notify(f"{out.stem}: {seconds:.0f} s")


def seed_ensembles(
    logits: dict[str, list[dict[str, np.ndarray]]], data: dict[str, VariantData]
) -> list[dict[str, Any]]:
    "Score the mean of the logits of each variant's seeds, as `rows_of` scores one seed."
    rows = []
    for name, runs in logits.items():
        if len(runs) < 2: continue
        variant_data = data[VARIANTS[name].data]
        means = {part: np.mean([run[part] for run in runs], axis=0) for part in variant_data.tables}
        rows += rows_of(name, ALL_SEEDS, variant_data, means)
    return rows


def make_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    "Average over the seeds, and over the corpora of each group; the spread is the standard deviation over seeds."
    records = []
    for row in rows:
        record = {"model": row["model"], "variant": row["variant"], "ISOT": row["scores"]["test"]["macro_f1"]}
        for group, corpora in (("selection", SELECTION_CORPORA), ("reported", REPORTED_CORPORA)):
            for score in ("macro_f1", "macro_f1_stated_prior", "macro_f1_em_prior", "auc"):
                record[f"{group} {score}"] = np.mean([row["scores"][name][score] for name in corpora])
        records.append(record)
    groups = pd.DataFrame(records).groupby(["model", "variant"], sort=False)
    table = groups.mean()
    table["seeds"] = groups.size()
    table["spread of reported macro_f1"] = groups["reported macro_f1"].std()
    return table


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Pretrained encoder: a folder, or a name for load_encoder.")
    data = os.environ.get("FAKENEWS_DATA")
    parser.add_argument("--data", default=data, help="Folder with ISOT and the corpora that it is tested on.")
    parser.add_argument("--limit", type=int, default=2000, help="Training articles.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="Seeds of the fine-tuning.")
    names = list(VARIANTS)
    parser.add_argument("--variants", nargs="+", default=names, choices=names, help="Variants to run.")
    parser.add_argument("--only-table", action="store_true", help="Train nothing; use the runs that there are.")
    out = Path(__file__).parent/"results"/"out_of_domain.json"
    parser.add_argument("--out", type=Path, default=out, help="JSON file for the results.")
    work = Path(tempfile.gettempdir())/"fakenews-out-of-domain"
    parser.add_argument("--work", type=Path, default=work, help="Folder for prepared data and logits, which are kept.")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    isot = next((folder for folder in Path(args.data).rglob("isot") if folder.is_dir()), args.data)
    about = {"training_articles": args.limit, "machine": asdict(this_machine()), "versions": versions()}
    out_of_domain = load_out_of_domain(args.data)
    data: dict[str, VariantData] = {}
    logits: dict[str, list[dict[str, np.ndarray]]] = {}
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for name in args.variants:
            variant = VARIANTS[name]
            if variant.data not in data:
                folder = prepare_data(variant.data, args.work, isot)
                data[variant.data] = load_variant_data(folder, out_of_domain)
            kept = args.work/"logits"/f"{re.sub('[:,]', '', name).replace(' ', '_')}-{args.limit}-{seed}.npz"
            recipe = replace(BASE, seed=seed, **variant.recipe)
            if not kept.exists() and not args.only_table: train_variant(data[variant.data], recipe, args, kept)
            if not kept.exists(): continue
            logits.setdefault(name, []).append(dict(np.load(kept)))
            rows += rows_of(name, seed, data[variant.data], logits[name][-1])
            write_json({**about, "rows": rows}, args.out)
    ensembles = seed_ensembles(logits, data)
    write_json({**about, "rows": rows, "seed_ensembles": ensembles}, args.out)
    print(make_table(rows).round(3).to_string())


if __name__ == "__main__": main()
