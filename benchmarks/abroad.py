"""What helps a detector that was trained on ISOT alone on news from elsewhere: one change at a time, three seeds.

Every variant is fine-tuned on the same cleaned and grouped ISOT articles and judged on ISOT's own test articles, on LIAR and COVID-19 Constraint, by which
variants may be compared and chosen, and on FakeNewsAMT and Horne 2017, by which nothing is chosen. Logits are kept beside the JSON table (not in the
repository), so that adaptation and stacks are computed without training again. Runs that are in the table already are not repeated.

    python benchmarks/abroad.py --model FOLDER --data FOLDER
"""
import argparse
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from fakenews_nb.audit import mask_shortcuts
from fakenews_nb.cleaning import NAMELESS, UNTITLED, Rule, clean_articles, rules_of
from fakenews_nb.core import read_json, say, set_seed, this_machine, versions, write_json
from fakenews_nb.data import load_articles
from fakenews_nb.evaluation import predict
from fakenews_nb.splits import load_prepared, prepare, save_prepared
from fakenews_nb.training import RECIPES, finetune

BASE = replace(RECIPES["fast"], epochs=1, max_length=128)
VARIANTS = { # name -> what is changed in the recipe, and in the data
    "base": ({}, None),
    "cleaning: none": ({}, "none"),
    "cleaning: strict": ({}, "strict"),
    "no titles": ({}, "untitled"),
    "no names": ({}, "nameless"),
    "top 50 shortcut words masked": ({}, "masked"),
    "random window": ({"noise": "window"}, None),
    "punctuation noise": ({"noise": "punctuation"}, None),
    "re-weighted by shortcut strength": ({"reweight": True}, None),
    "encoder at 1e-5, head at 1e-3": ({"encoder_learning_rate": 1e-5, "learning_rate": 1e-3}, None),
    "weights averaged over the last half": ({"average_last": .5}, None),
    "window, masked words and averaged weights": ({"noise": "window", "average_last": .5}, "masked"), # what had helped on LIAR and COVID, seed 42
    "stopped by the hard validation slice": ({"evaluations": 4, "select_on": "hard", "patience": 99}, None),
}
ABROAD = {"liar": 800, "covid_constraint2021": 800, "fakenewsamt": None, "horne2017": None} # corpus -> articles at most


def prepare_data(level, folder, isot):
    "The prepared folder of one variant's data, with 300 validation articles, which is enough to choose an epoch by; made once."
    out = folder/(level or "standard")
    if out.exists(): return out
    if level in (None, "none", "strict"):
        prepare("isot", folder/"all", isot, clean=level or "standard", overwrite=True)
        dataset, manifest = load_prepared(folder/"all")
        parts = {name: dataset[name].to_pandas() for name in dataset}
        save_prepared({**parts, "validation": parts["validation"].head(300)}, out, manifest)
    elif level == "masked": mask_shortcuts(prepare_data(None, folder, isot), out, 50)
    else:
        dataset, manifest = load_prepared(prepare_data(None, folder, isot))
        rules = {"untitled": UNTITLED, "nameless": NAMELESS}[level]
        save_prepared({name: clean_articles(dataset[name].to_pandas(), rules) for name in dataset}, out,
            {**manifest, "rules": manifest["rules"] + [asdict(rule) for rule in rules], "cleaning": f"{manifest['cleaning']}, {level}"})
    return out


def judged(folder, abroad):
    "The tables a variant is judged on, cleaned by its rules, and those rules."
    dataset, manifest = load_prepared(folder)
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    home = {"validation": dataset["validation"].to_pandas(), "test": dataset["test"].to_pandas().head(500)}
    return {**home, **{name: clean_articles(table, rules) for name, table in abroad.items()}}, rules


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a pretrained encoder's folder, or a name that load_encoder takes")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="holds ISOT and the corpora it is tested on")
    parser.add_argument("--limit", type=int, default=2000, help="training articles")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir())/"fakenews-abroad", help="where prepared data and logits are kept")
    args = parser.parse_args()
    isot = next((folder for folder in Path(args.data).rglob("isot") if folder.is_dir()), args.data)
    tables = {name: load_articles(name, args.data) for name in ABROAD}
    abroad = {name: table if ABROAD[name] is None else table.sample(ABROAD[name], random_state=0).reset_index(drop=True) for name, table in tables.items()}
    for seed in args.seeds:
        for name in args.variants:
            out = args.work/"logits"/f"{name.replace(' ', '_').replace(':', '').replace(',', '')}-{args.limit}-{seed}.npz"
            if out.exists(): continue
            change, level = VARIANTS[name]
            folder = prepare_data(level, args.work, isot)
            parts, rules = judged(folder, abroad)
            with tempfile.TemporaryDirectory() as run:
                trained = finetune(folder, Path(run)/"run", args.model, replace(BASE, seed=seed, **change), limit=args.limit)
                logits = {part: predict(trained.model, table, rules).logits for part, table in parts.items()}
            out.parent.mkdir(parents=True, exist_ok=True)
            np.savez(out, seconds=trained.metrics["train_seconds"], **logits, **{f"label_{part}": table.label.to_numpy() for part, table in parts.items()})
            say(f"{name}, seed {seed}: {trained.metrics['train_seconds']:.0f} s")


if __name__ == "__main__": main()
