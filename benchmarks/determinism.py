"""Whether the same seed gives the same bytes, and where that ends.

A model of TinyBERT's shape with random weights is trained on a part of the sample, again and again: in the same
process, in other processes, with another number of threads, with two processes that share each batch, killed and
resumed, and with the instructions of an older processor. Each run is compared with a reference: are the files of the
model folder and of the predictions the same, byte by byte, and if not, by how much does a probability differ?
Preparing and exporting are compared as well. Writes results/determinism.json; nothing here uses a GPU.

    python benchmarks/determinism.py
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from speed import SHAPE

from fakenews_nb.evaluation import load_predictions
from fakenews_nb.files import sha256, write_json
from fakenews_nb.runtime import this_machine, versions

RESULTS = Path(__file__).parent/"results"/"determinism.json"
FAKENEWS = Path(sys.executable).parent/"fakenews"
SETTINGS = ("--limit", "160", "--epochs", "3", "--lr", "5e-4", "--max-length", "128", "--precision", "fp32")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
TWO_THREADS = {"OMP_NUM_THREADS": "2"}
OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
COMPARED = ("model/*", "predictions/*")
TWICE_IN_A_NOTEBOOK = """
import sys
from fakenews_nb import cli
for out in sys.argv[1:3]:
    try: cli.main(["train", *sys.argv[3:], "--out", out])
    except SystemExit as end: assert not end.code
"""


def environment(changes):
    "The environment of a run; Python's own hashes of text differ from one process to the next."
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "random"}
    return {**os.environ, **fixed, **changes}


def run(words, changes):
    "Run a command to its end."
    command = [str(word) for word in words]
    done = subprocess.run(command, env=environment(changes), capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr)


def train(prepared, model, out, changes, *options):
    "Train a model in a process of its own."
    run([FAKENEWS, "train", prepared, "--model", model, *SETTINGS, *options, "--out", out], changes)
    return out


def train_killed(prepared, model, out, changes, *options):
    "Train a model, kill the processes after their first checkpoint, and resume."
    words = [FAKENEWS, "train", prepared, "--model", model, *SETTINGS, *options, "--out", out]
    command = [str(word) for word in words]
    running = subprocess.Popen(command, env=environment(changes), stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(out.glob("checkpoints/checkpoint-*/checksums.json")):
        if running.poll() is not None: sys.exit("the training ended before its first checkpoint")
        time.sleep(.02)
    os.killpg(running.pid, 9)
    running.wait()
    run([*words, "--resume"], changes)
    return out


def make_model(folder, prepared):
    "Write a model folder of TinyBERT's shape, without dropout so that two processes can take the steps of one."
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from fakenews_nb.core import ID2LABEL, LABEL2ID
    from fakenews_nb.splits import load_prepared
    from fakenews_nb.tokenization import train_tokenizer
    tokenizer = train_tokenizer(list(load_prepared(prepared)[0]["train"]["text"]))
    torch.manual_seed(0)
    shape = SHAPE | {"vocab_size": len(tokenizer), "hidden_dropout_prob": 0., "attention_probs_dropout_prob": 0.}
    config = BertConfig(**shape, id2label=ID2LABEL, label2id=LABEL2ID)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def checksums(folder, patterns=COMPARED):
    "The checksums of the files of a folder; a model card states the time of the training, and is left out."
    files = [path for pattern in patterns for path in folder.glob(pattern) if path.suffix != ".md"]
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(files)}


def compare(name, reference, other):
    "A row of the table: which files differ, and by how much the probabilities do."
    expected, found = checksums(reference), checksums(other)
    differing = sorted(file for file in expected | found if expected.get(file) != found.get(file))
    first, second = (load_predictions(folder/"predictions"/"test.parquet") for folder in (reference, other))
    difference = np.abs(first.probabilities - second.probabilities).max()
    row = {"run": name, "same_bytes": not differing, "differing_files": differing,
        "largest_difference": float(difference), "other_labels": int((first.predicted != second.predicted).sum())}
    print(json.dumps(row), flush=True)
    return row


def compare_folders(name, first, second):
    "The same for two folders without predictions."
    expected, found = checksums(first, ("*",)), checksums(second, ("*",))
    differing = sorted(file for file in expected | found if expected.get(file) != found.get(file))
    row = {"run": name, "same_bytes": not differing, "differing_files": differing}
    print(json.dumps(row), flush=True)
    return row


def run_all(work):
    "All comparisons."
    for name in ("first", "second"): run([FAKENEWS, "prepare", "sample", "--out", work/name], ONE_THREAD)
    prepared = work/"first"
    model = make_model(work/"encoder", prepared)
    def trained(name, changes, *options): return train(prepared, model, work/name, changes, *options)
    reference = trained("reference", ONE_THREAD)
    rows = [compare_folders("articles prepared twice", prepared, work/"second")]
    rows.append(compare("in another process", reference, trained("again", ONE_THREAD)))
    twice = [work/"cell_1", work/"cell_2"]
    run([sys.executable, "-c", TWICE_IN_A_NOTEBOOK, *twice, prepared, "--model", model, *SETTINGS], ONE_THREAD)
    rows.append(compare("twice in one process", reference, twice[1]))
    killed = train_killed(prepared, model, work/"killed", ONE_THREAD)
    rows.append(compare("killed and resumed", reference, killed))
    two_threads = trained("two_threads", TWO_THREADS)
    rows.append(compare("two threads against one", reference, two_threads))
    rows.append(compare("two threads, again", two_threads, trained("two_threads_again", TWO_THREADS)))
    two_processes = trained("two_processes", ONE_THREAD, "--processes", "2")
    rows.append(compare("two processes against one", reference, two_processes))
    rows.append(compare("two processes, again",
        two_processes, trained("two_processes_again", ONE_THREAD, "--processes", "2")))
    killed = train_killed(prepared, model, work/"two_killed", ONE_THREAD, "--processes", "2")
    rows.append(compare("two processes, killed and resumed", two_processes, killed))
    rows.append(compare("instructions of an older processor", reference, trained("older", ONE_THREAD | OLDER)))
    for name in ("exported", "exported_again"): run([FAKENEWS, "export", reference, "--out", work/name], ONE_THREAD)
    rows.append(compare_folders("a model exported twice", work/"exported", work/"exported_again"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--keep", type=Path, help="folder to keep the runs in")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    rows = run_all(work)
    if args.keep: shutil.copytree(work, args.keep)
    shutil.rmtree(work)
    about = {"settings": SETTINGS, "machine": asdict(this_machine()), "versions": versions()}
    write_json(about | {"runs": rows}, args.out)


if __name__ == "__main__": main()
