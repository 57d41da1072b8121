"""What happens to a user of a damaged folder: a message, the same verdict, another verdict, a traceback, or a hang.

Each file of a model folder (PyTorch, exported, baseline, ensemble) and of a prepared folder is deleted, emptied, cut
short, replaced or changed at random, and the folder is used: a model predicts one text. Model folders are tried in
three ways: with their checksums, without the file of checksums, and with checksums that fit the damage, as somebody
can compute them who damages a folder on purpose. Exported folders hold their checksums in their manifest.
Writes results/damaged_folders.json. Needs a system with SIGALRM.

    python benchmarks/damaged_folders.py
    python benchmarks/damaged_folders.py --changes 2
"""
import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

from fakenews_nb.core import FakeNewsError
from fakenews_nb.detector import Detector
from fakenews_nb.ensemble import train_classifier
from fakenews_nb.error_analysis import finish_run
from fakenews_nb.export import export_model
from fakenews_nb.files import _write_checksums, write_json
from fakenews_nb.runtime import this_machine, versions
from fakenews_nb.splits import load_prepared, prepare
from fakenews_nb.training import Recipe, finetune

TEXT = "The council met on Monday to discuss the budget. They lie to you!"
RECIPE = Recipe("tiny", epochs=2, learning_rate=3e-3, max_length=64, precision="fp32")
SECONDS = 5 # after which a use counts as hanging
CHECKSUMS = ("kept", "removed", "computed again")
ODD_VALUES = (None, [], {}, -1, 0, 10**9, 1e308, float("nan"), "x", "", True, [1, 2], {"a": 1})


class HangError(BaseException):
    "Raised by the alarm; no except clause of a library catches it."


def raise_hang(*_): raise HangError


def make_folders(work):
    "A folder of each kind."
    with contextlib.redirect_stderr(io.StringIO()):
        prepare("sample", work/"prepared")
        run = finetune(work/"prepared", work/"run", "tiny", RECIPE)
        finish_run(run)
        export_model(run.model, work/"exported")
        baseline = train_classifier(work/"prepared", work/"baseline", "linear_svc")
        ensemble = train_classifier(work/"prepared", work/"ensemble", "char_svc+linear_svc")
    return {"PyTorch": run.model, "exported": work/"exported", "baseline": baseline.model, "ensemble": ensemble.model,
        "prepared": work/"prepared"}


def use(kind, folder):
    "Do with a folder what users do; gives the probability of a verdict, or the number of articles."
    if kind == "prepared": return load_prepared(folder)[0]["train"].num_rows
    [answer] = Detector.load(folder).predict([TEXT])
    return answer.label, round(answer.probability, 6)


# ---- damages ---------------------------------------------------------------------------------------------------------

def replace_by_folder(file):
    file.unlink()
    file.mkdir()


def replace_by_link(file):
    file.unlink()
    file.symlink_to(file.name)


def cut_short(file): file.write_bytes(file.read_bytes()[:file.stat().st_size//2])


DAMAGES = {
    "deleted": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut short": cut_short,
    "a JSON list": lambda file: file.write_text("[]"),
    "JSON null": lambda file: file.write_text("null"),
    "an empty JSON object": lambda file: file.write_text("{}"),
    "deep JSON": lambda file: file.write_text("["*100_000),
    "a folder": replace_by_folder,
    "a link to itself": replace_by_link,
}


def change_bytes(file, rng):
    "Change some bytes at random."
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 20])): content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)


def entries(value):
    "All places in a JSON value: pairs of a list or an object, and an index or a key of it."
    if not isinstance(value, (list, dict)): return []
    keys = list(value) if isinstance(value, dict) else list(range(min(len(value), 20)))
    below = [entry for key in keys for entry in entries(value[key])]
    return [(value, key) for key in keys] + below


def change_value(file, rng):
    "Replace or delete one value of a JSON file."
    content = json.loads(file.read_text())
    places = entries(content)[:400]
    if not places: return
    container, key = rng.choice(places)
    if rng.random() < .1: del container[key]
    else: container[key] = rng.choice(ODD_VALUES)
    file.write_text(json.dumps(content))


# ---- trials ----------------------------------------------------------------------------------------------------------

def outcome_of(kind, folder, expected):
    "Use a folder and say what came of it."
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()): result = use(kind, folder)
        return "same verdict" if result == expected else "other verdict"
    except FakeNewsError: return "message"
    except HangError: return "hang"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    finally: signal.alarm(0)


def trial(kind, source, name, damage, checksums, expected):
    "Damage one file in a copy of a folder, and use it."
    with tempfile.TemporaryDirectory() as work:
        folder = shutil.copytree(source, Path(work)/"folder")
        damage(folder/name)
        stored = folder/"checksums.json"
        if checksums == "removed" and stored.is_file(): stored.unlink()
        if checksums == "computed again" and stored.is_file(): _write_checksums(folder)
        return outcome_of(kind, folder, expected)


def all_damages(name, changes, rng):
    "The damages of one file, by name."
    for label, damage in DAMAGES.items(): yield label, damage
    for _ in range(changes):
        yield "bytes changed", lambda file: change_bytes(file, rng)
        if name.endswith(".json"): yield "a value changed", lambda file: change_value(file, rng)


def run_trials(kind, source, changes, rng):
    "Try all damages of a folder; gives the number of trials per treatment of the checksums and outcome."
    expected = use(kind, source)
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    counts = Counter()
    for checksums in ("kept",) if kind in ("prepared", "exported") else CHECKSUMS:
        for name in names:
            for label, damage in all_damages(name, changes, rng):
                outcome = trial(kind, source, name, damage, checksums, expected)
                counts[checksums, outcome] += 1
                is_fault = outcome.startswith(("traceback", "hang"))
                is_fault = is_fault or (checksums == "kept" and outcome == "other verdict")
                if is_fault: print(kind, checksums, name, label, outcome, flush=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100, help="random changes of each file, of each kind")
    parser.add_argument("--seed", type=int, default=0, help="seed of the changes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"damaged_folders.json")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    signal.signal(signal.SIGALRM, raise_hang)
    begin = time.perf_counter()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for kind, source in make_folders(Path(work)).items():
            for (checksums, outcome), count in run_trials(kind, source, args.changes, rng).items():
                rows.append({"folder": kind, "checksums": checksums, "outcome": outcome, "trials": count})
    about = {"seconds": time.perf_counter() - begin, "seed": args.seed, "machine": asdict(this_machine())}
    write_json({**about, "versions": versions(), "rows": rows}, args.out)
    for row in rows: print(*row.values())


if __name__ == "__main__": main()
