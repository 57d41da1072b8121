"""What helps a detector that was trained on ISOT alone on news from elsewhere: one change at a time, three seeds.

Every variant is fine-tuned on the same cleaned and grouped ISOT articles and judged on ISOT's own test articles, on LIAR and COVID-19 Constraint, by which
variants may be compared and chosen, and on FakeNewsAMT and Horne 2017, by which nothing is chosen. Each is also judged as one of a stack with the character n-grams and
the engineered features. Logits are kept in --work, so that a run is not repeated; the table is written again after every run.

    python benchmarks/abroad.py --model FOLDER --data FOLDER
"""
import argparse
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from fakenews_nb.audit import mask_shortcuts
from fakenews_nb.cleaning import NAME_MASKING, Rule, TITLE_REMOVAL, clean_articles
from fakenews_nb.files import write_json
from fakenews_nb.runtime import notify, this_machine, versions
from fakenews_nb.data import load_articles
from fakenews_nb.evaluation import predict
from fakenews_nb.splits import load_prepared, prepare, save_prepared
from fakenews_nb.training import RECIPES, finetune
from fakenews_nb.baselines import fit_baseline
from fakenews_nb.ensemble import from_margins, margins
from fakenews_nb.transfer import adjust_prior
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

BASE = replace(RECIPES["fast"], epochs=1, min_steps=0, learning_rate=5e-5, max_length=128)
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
STACKED = ("char_svc", "engineered")
CHOSEN_BY, REPORTED = ("liar", "covid_constraint2021"), ("fakenewsamt", "horne2017")
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
        rules = {"untitled": TITLE_REMOVAL, "nameless": NAME_MASKING}[level]
        save_prepared({name: clean_articles(dataset[name].to_pandas(), rules) for name in dataset}, out,
            {**manifest, "rules": manifest["rules"] + [asdict(rule) for rule in rules], "cleaning": f"{manifest['cleaning']}, {level}"})
    return out


def judged(folder, abroad, cache={}):
    "The tables a variant is judged on, cleaned by its rules, and those rules."
    if folder not in cache: cache[folder] = cleaned_alike(folder, abroad)
    return cache[folder]


def cleaned_alike(folder, abroad):
    "ISOT's validation and test articles, and those from elsewhere cleaned by the same rules."
    dataset, manifest = load_prepared(folder)
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    home = {"validation": dataset["validation"].to_pandas(), "test": dataset["test"].to_pandas().head(500)}
    return {**home, **{name: clean_articles(table, rules) for name, table in abroad.items()}}, rules


def scores_of(predictions, training_share):
    "What is kept of one model on one corpus."
    margin, labels = margins(predictions), predictions.labels
    def macro(p): return float(f1_score(labels, p.predicted, average="macro"))
    return {"macro_f1": macro(predictions), "batch_share": macro(adjust_prior(predictions)), "batch_em": macro(adjust_prior(predictions, "em", training_share=training_share)), "auc": float(roc_auc_score(labels, margin))}


def baseline_margins(folder, parts, rules):
    "Margins of the baselines of the stack on every table, divided by their spread on the validation articles; kept beside the data."
    kept = folder/"baselines.npz"
    if not kept.exists():
        train = load_prepared(folder)[0]["train"].to_pandas()
        said = {name: {part: margins(model.judge(table, rules)) for part, table in parts.items()} for name in STACKED for model in [fit_baseline(name, train, rules)]}
        np.savez(kept, **{f"{part} {name}": said[name][part]/said[name]["validation"].std() for name in STACKED for part in parts})
    found = np.load(kept)
    return {part: {name: found[f"{part} {name}"] for name in STACKED} for part in parts}


def rows_of(name, seed, folder, parts, rules, logits):
    "The rows of the table for one run: the encoder alone, and stacked."
    own = {part: logits[part][:, 1] - logits[part][:, 0] for part in parts}
    others, training_share = baseline_margins(folder, parts, rules), float(np.mean(load_prepared(folder)[0]["train"]["label"]))
    mean = {part: np.mean([own[part]/own["validation"].std(), *others[part].values()], axis=0) for part in parts}
    curve = LogisticRegression().fit(mean["validation"][:, None], parts["validation"].label)
    judged = {"encoder": own, "stack": {part: curve.decision_function(mean[part][:, None]) for part in parts}}
    return [{"model": model, "variant": name, "seed": seed, "scores": {part: scores_of(from_margins(parts[part], margin[part]), training_share) for part in parts if part != "validation"}} for model, margin in judged.items()]


def seeds_together(name, several, work, abroad):
    "The same for the mean of the logits of one variant's seeds."
    folder = prepare_data(VARIANTS[name][1], work, None)
    parts, rules = judged(folder, abroad)
    return rows_of(name, "together", folder, parts, rules, {part: np.mean([logits[part] for logits in several], axis=0) for part in parts})


def table(rows):
    "Means over seeds, and over the two corpora to choose by and the two that are reported; the spread is the standard deviation over seeds."
    flat = pd.DataFrame([{"model": row["model"], "variant": row["variant"], "seed": row["seed"], "ISOT": row["scores"]["test"]["macro_f1"],
        **{f"{group} {what}": np.mean([row["scores"][part][what] for part in parts]) for group, parts in (("chosen by", CHOSEN_BY), ("reported", REPORTED)) for what in ("macro_f1", "batch_share", "batch_em", "auc")}} for row in rows])
    groups = flat.drop(columns="seed").groupby(["model", "variant"], sort=False)
    return groups.mean().assign(seeds=groups.size(), **{"spread of reported macro_f1": groups["reported macro_f1"].std()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a pretrained encoder's folder, or a name that load_encoder takes")
    parser.add_argument("--data", default=os.environ.get("FAKENEWS_DATA"), help="holds ISOT and the corpora it is tested on")
    parser.add_argument("--limit", type=int, default=2000, help="training articles")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--only-table", action="store_true", help="train nothing; make the table of the runs there are")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"abroad.json")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir())/"fakenews-abroad", help="where prepared data and logits are kept")
    args = parser.parse_args()
    isot = next((folder for folder in Path(args.data).rglob("isot") if folder.is_dir()), args.data)
    about = {"training_articles": args.limit, "machine": this_machine().__dict__, "versions": versions()}
    rows, said, _display_tables = [], {}, {name: load_articles(name, args.data) for name in ABROAD}
    abroad = {name: table if ABROAD[name] is None else table.sample(ABROAD[name], random_state=0).reset_index(drop=True) for name, table in _display_tables.items()}
    for seed in args.seeds:
        for name in args.variants:
            out = args.work/"logits"/f"{name.replace(' ', '_').replace(':', '').replace(',', '')}-{args.limit}-{seed}.npz"
            change, level = VARIANTS[name]
            folder = prepare_data(level, args.work, isot)
            parts, rules = judged(folder, abroad)
            if not out.exists() and not args.only_table: train(folder, parts, rules, replace(BASE, seed=seed, **change), args, out)
            if not out.exists(): continue
            said.setdefault(name, []).append(dict(np.load(out)))
            rows += rows_of(name, seed, folder, parts, rules, said[name][-1])
            write_json(about | {"rows": rows}, args.out)
    together = [row for name, several in said.items() if len(several) > 1 for row in seeds_together(name, several, args.work, abroad)]
    write_json(about | {"rows": rows, "together": together}, args.out)
    print(table(rows).round(3).to_string())


def train(folder, parts, rules, recipe, args, out):
    "Fine-tune one variant and keep its logits."
    with tempfile.TemporaryDirectory() as run:
        trained = finetune(folder, Path(run)/"run", args.model, recipe, limit=args.limit)
        logits = {part: predict(trained.model, table, rules, precision="auto").logits for part, table in parts.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, seconds=trained.metrics["train_seconds"], **logits)
    notify(f"{out.stem}: {trained.metrics['train_seconds']:.0f} s")


if __name__ == "__main__": main()
