"""What a small student learns from its teacher: the arms of `distill` at equal steps and at equal seconds, three seeds.

The teacher is a pretrained encoder, fine-tuned on the labelled articles that the students see, at the same length.
A student has TinyBERT's shape and starts from random weights, but for the last two variants, which start from the
teacher's lowest layers and have its width. "As many seconds" gives a plain arm the training time of the longest
two-stage arm, in further epochs. "With unlabelled articles" adds as many articles of the same corpus, without their
labels, in half as many epochs.

Every student is tested in-domain on the test articles of the prepared folder, and out-of-domain on two other corpora.
Nothing is chosen by these scores. Agreement is the fraction of the articles for which student and teacher predict the
same label from the same tokens. Time is that of the processor, on one thread, in the training steps and for the
teacher's logits; evaluations do not count.

Every finished training is kept in --work and not repeated, so that the script can be stopped and continued;
the results are written again after every training.

    python benchmarks/distillation.py prepared --model FOLDER --data FOLDER --work /tmp/distillation
"""
import argparse
import os
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

TEACHER_RECIPE = {"epochs": 3, "min_steps": 0, "max_length": 128}
RECIPE = {"min_steps": 0, "max_length": 128, "batch_size": 16, "learning_rate": 5e-4, "evaluations": 4, "patience": 99}
LAYER_MAP = (1, 3, 4, 6)
LOWER_LAYERS = {"from_teacher": True, "hidden_size": 384, "heads": 12, "feed_forward_size": 1536}
OUT_OF_DOMAIN = ("fakenewsamt", "horne2017")
N_VALIDATION = 300 # articles, to choose the best epoch
N_LATENCY = 100 # articles, predicted one at a time


@dataclass(frozen=True)
class Variant:
    "One way to train a student."
    arm: str # a key of DISTILLATIONS
    changes: dict[str, Any] = field(default_factory=dict) # in the distillation
    same_seconds_as: str = "" # a variant, whose training time this one gets; empty: as many steps as the others
    with_unlabelled: bool = False # whether the transfer set has as many articles again, without labels


TWO_STAGES = "all layers, then logits"
VARIANTS = {
    "hard labels": Variant("hard_labels"),
    "logits": Variant("logits"),
    "last layer, then logits": Variant("last_layer"),
    TWO_STAGES: Variant("all_layers", {"layer_map": LAYER_MAP}),
    "hard labels, as many seconds": Variant("hard_labels", same_seconds_as=TWO_STAGES),
    "logits, as many seconds": Variant("logits", same_seconds_as=TWO_STAGES),
    "logits, with unlabelled articles": Variant("logits", with_unlabelled=True),
    "teacher's lowest layers, hard labels": Variant("hard_labels", LOWER_LAYERS),
    "teacher's lowest layers, logits": Variant("logits", LOWER_LAYERS),
}
LATER = [*VARIANTS][-3:] # trained after all seeds of the others


def make_clock():
    "A callback that measures the processor's time of the training steps, and the validation F1 over it."
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        seconds = 0.
        steps = 0

        def __init__(self): self.curve = []

        def on_step_begin(self, args, state, control, **kwargs): self.start = time.process_time()

        def on_step_end(self, args, state, control, **kwargs):
            self.seconds += time.process_time() - self.start
            self.steps += 1

        def on_evaluate(self, args, state, control, metrics, **kwargs):
            if "eval_f1" not in metrics: return
            self.curve.append({
                "seconds": self.seconds,
                "steps": self.steps,
                "f1": metrics["eval_f1"],
                "teacher_agreement": metrics["eval_teacher_agreement"]})

    return Clock()


def prepare_data(args):
    "The prepared folder with fewer validation articles, and the tables on which every model is tested."
    from fakenews_nb.cleaning import clean_articles
    from fakenews_nb.data import load_articles
    from fakenews_nb.splits import load_prepared, save_prepared
    from fakenews_nb.training import _manifest_rules
    folder = args.work/"prepared"
    if not folder.exists():
        dataset, manifest = load_prepared(args.prepared)
        splits = {name: dataset[name].to_pandas() for name in dataset}
        splits["validation"] = splits["validation"].head(N_VALIDATION)
        save_prepared(splits, folder, manifest)
    dataset, manifest = load_prepared(folder)
    tables = {"test": dataset["test"].to_pandas()}
    for name in OUT_OF_DOMAIN: tables[name] = clean_articles(load_articles(name, args.data), _manifest_rules(manifest))
    return folder, tables


def predict_tables(model_folder, tables, max_length):
    "The logits of a model for the first tokens of every article."
    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.tokenization import article_texts, encode
    model, tokenizer = load_classifier(model_folder)
    logits = {}
    for name, articles in tables.items():
        token_ids = encode(article_texts(articles), tokenizer, max_length)
        logits[name] = predict_logits(model, tokenizer, token_ids, progress=False, precision="auto")
    return logits


def score_tables(logits, tables, teacher_logits):
    "Macro F1, AUC and agreement with the teacher, per table."
    from sklearn.metrics import f1_score, roc_auc_score
    scores = {}
    for name, articles in tables.items():
        predicted = logits[name].argmax(axis=1)
        log_odds = logits[name][:, 1] - logits[name][:, 0]
        agrees = predicted == teacher_logits[name].argmax(axis=1)
        scores[name] = {
            "n": len(articles),
            "macro_f1": float(f1_score(articles.label, predicted, average="macro")),
            "auc": float(roc_auc_score(articles.label, log_odds)),
            "teacher_agreement": float(agrees.mean())}
    return scores


def measure_size(model_folder, articles):
    "Weights, size of the file, and median seconds per article, one at a time, in full precision on one thread."
    import numpy as np

    from fakenews_nb.models import load_classifier, predict_logits
    from fakenews_nb.tokenization import article_texts, encode
    model, tokenizer = load_classifier(model_folder)
    token_ids = encode(article_texts(articles.head(N_LATENCY)), tokenizer, RECIPE["max_length"])
    seconds = []
    for ids in token_ids:
        start = time.perf_counter()
        predict_logits(model, tokenizer, [ids], progress=False)
        seconds.append(time.perf_counter() - start)
    files = list(Path(model_folder).glob("*.safetensors"))
    return {
        "weights": model.num_parameters(),
        "megabytes": sum(file.stat().st_size for file in files)/1e6,
        "milliseconds": float(np.median(seconds)*1000)}


def make_settings(name, seed, args):
    "The distillation and the recipe of a variant; both stages of two get half of the epochs."
    from fakenews_nb.distillation import DISTILLATIONS
    from fakenews_nb.training import RECIPES
    variant = VARIANTS[name]
    distillation = replace(DISTILLATIONS[variant.arm], **variant.changes)
    epochs = args.epochs
    if distillation.match or variant.with_unlabelled: epochs = args.epochs//2
    if variant.same_seconds_as: epochs = count_epochs(variant, seed, args)
    distillation = replace(distillation, stage1_epochs=args.epochs//2)
    return distillation, replace(RECIPES["fast"], seed=seed, epochs=epochs, **RECIPE)


def count_epochs(variant, seed, args):
    "The number of epochs of a plain arm that takes as long as another variant with the same seed."
    longest = kept_result(variant.same_seconds_as, seed, args)
    plain = kept_result({"hard_labels": "hard labels", "logits": "logits"}[variant.arm], seed, args)
    per_epoch = (plain["seconds"] - plain["teacher_seconds"])/args.epochs
    return round((longest["seconds"] - plain["teacher_seconds"])/per_epoch)


def result_file(name, seed, args): return args.work/f"{seed} {name}.json"


def kept_result(name, seed, args):
    "The result of a finished training."
    from fakenews_nb.files import read_json
    return read_json(result_file(name, seed, args))


def train(name, seed, folder, args):
    "Train one student: the run, and what it took."
    from fakenews_nb.distillation import distill
    from fakenews_nb.splits import load_prepared
    distillation, recipe = make_settings(name, seed, args)
    unlabelled_articles = None
    if VARIANTS[name].with_unlabelled:
        others = load_prepared(folder)[0]["train"].to_pandas()[args.limit:2*args.limit]
        unlabelled_articles = others[["title", "text"]]
    clock = make_clock()
    run = distill(args.work/"teacher", folder, args.work/f"{seed} {name}", None, distillation, recipe,
        unlabelled_articles=unlabelled_articles, limit=args.limit, overwrite=True, callbacks=[clock])
    about = run.metrics["distillation"]
    teacher_seconds = about["teacher_seconds"] if distillation.soft_labels else 0.
    curve = [{**point, "seconds": point["seconds"] + teacher_seconds} for point in clock.curve]
    times = {"seconds": clock.seconds + teacher_seconds, "teacher_seconds": teacher_seconds, "steps": clock.steps}
    return run, {
        "name": name,
        "seed": seed,
        **times,
        "curve": curve,
        "stage1": about["stage1"] and about["stage1"]["history"],
        "settings": about["settings"],
        "recipe": run.metrics["recipe"]}


def measure(name, seed, folder, tables, teacher_logits, args):
    "Train and test one student, and keep the result."
    from fakenews_nb.files import write_json
    run, result = train(name, seed, folder, args)
    logits = predict_tables(run.model, tables, RECIPE["max_length"])
    result |= {"scores": score_tables(logits, tables, teacher_logits), **measure_size(run.model, tables["test"])}
    write_json(result, result_file(name, seed, args))
    shutil.rmtree(run.folder)
    scores = result["scores"]
    shown = [f"{table} F1 {scores[table]['macro_f1']:.3f}, AUC {scores[table]['auc']:.3f}" for table in scores]
    print(f"{name}, seed {seed}: {result['seconds']:.0f} s, {result['steps']} steps; {'; '.join(shown)}", flush=True)


def train_teacher(folder, args):
    "Fine-tune the teacher, unless it is kept in --work."
    from fakenews_nb.training import RECIPES, finetune
    if (args.work/"teacher"/"metrics.json").exists(): return
    recipe = replace(RECIPES["fast"], **TEACHER_RECIPE)
    finetune(folder, args.work/"teacher", args.model, recipe, limit=args.limit, resume=True)


def measure_teacher(tables, args):
    "The teacher's logits and scores, from the tokens that the students read."
    import numpy as np

    from fakenews_nb.files import read_json, write_json
    model_folder = args.work/"teacher"/"model"
    kept = args.work/"teacher.npz"
    if not kept.exists(): np.savez(kept, **predict_tables(model_folder, tables, RECIPE["max_length"]))
    logits = dict(np.load(kept))
    about = args.work/"teacher.json"
    if not about.exists():
        metrics = read_json(args.work/"teacher"/"metrics.json")
        write_json({
            "recipe": metrics["recipe"],
            "seconds": metrics["train_seconds"],
            "scores": score_tables(logits, tables, logits),
            **measure_size(model_folder, tables["test"])}, about)
    return logits, read_json(about)


def write_results(teacher, args):
    "Write all results that are kept in --work as one file."
    from fakenews_nb.files import read_json, write_json
    from fakenews_nb.runtime import this_machine, versions
    order = list(VARIANTS)
    runs = [read_json(file) for file in args.work.glob("*.json") if file.name != "teacher.json"]
    runs.sort(key=lambda run: (order.index(run["name"]), run["seed"]))
    write_json({
        "labelled_articles": args.limit,
        "epochs": args.epochs,
        "layer_map": LAYER_MAP,
        "teacher": teacher,
        "runs": runs,
        "machine": asdict(this_machine()),
        "versions": versions(),
    }, args.out)
    return runs


def print_table(runs, teacher):
    "The means over the seeds, and the standard deviations of the scores."
    import pandas as pd
    records = []
    for run in runs:
        record = {"variant": run["name"], "seconds": run["seconds"], "steps": run["steps"]}
        for table, scores in run["scores"].items():
            for score in ("macro_f1", "auc", "teacher_agreement"): record[f"{table} {score}"] = scores[score]
        records.append(record)
    groups = pd.DataFrame(records).groupby("variant", sort=False)
    means = groups.mean()
    means.insert(0, "seeds", groups.size())
    print(means.round(3).T.to_string())
    print("\nstandard deviations over the seeds")
    print(groups.std().round(3).T.to_string())
    print("\nteacher, same tokens")
    print(pd.DataFrame(teacher["scores"]).round(3).to_string())


def read_arguments():
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="prepared folder")
    parser.add_argument("--model", required=True, type=Path, help="folder of the pretrained encoder of the teacher")
    parser.add_argument("--data", required=True, type=Path, help="folder with the corpora for the out-of-domain test")
    parser.add_argument("--work", type=Path, required=True, help="folder in which finished trainings are kept")
    parser.add_argument("--limit", type=int, default=2000, help="labelled articles (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2,
        help="epochs over these, an even number; two stages have half of them each (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="seeds (default: 42 43 44)")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME",
        help="variants to train, in this order (default: all)")
    default_out = Path(__file__).parent/"results"/"distillation.json"
    parser.add_argument("--out", type=Path, default=default_out, help="file of the results (default: %(default)s)")
    return parser.parse_args()


def main():
    args = read_arguments()
    import torch
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    folder, tables = prepare_data(args)
    train_teacher(folder, args)
    teacher_logits, teacher = measure_teacher(tables, args)
    later = [name for name in args.only if name in LATER]
    first = [name for name in args.only if name not in LATER]
    order = [(name, seed) for names in (first, later) for seed in args.seeds for name in names]
    for name, seed in order:
        if result_file(name, seed, args).exists(): continue
        measure(name, seed, folder, tables, teacher_logits, args)
        write_results(teacher, args)
    print_table(write_results(teacher, args), teacher)


if __name__ == "__main__": main()
