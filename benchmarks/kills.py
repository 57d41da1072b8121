"""Whether a training that was killed and resumed ends in the same files as one that ran through.

Each trial kills a training with SIGKILL, before one of its file operations or at a random moment, and resumes it.
Then it compares the checksums of the model folder and of the predictions with those of the unbroken run, and looks for
files that were left over. A third call, on the finished run, must train nothing.
Further trials press Ctrl-C instead, or damage the last checkpoint or the best one before the training is resumed.
The trainings are forked from a process that has loaded all libraries. File operations are counted by an audit hook;
PyTorch and safetensors write their files without it, so that only random kills hit them in the middle.
Writes results/kills.json. Needs Linux.

    python benchmarks/kills.py
    python benchmarks/kills.py --at /run/.run.json /run/.model --random 0
"""
import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from fakenews_nb import cli
from fakenews_nb.files import sha256, write_json
from fakenews_nb.runtime import this_machine, versions

SETTINGS = ["--model", "tiny", "--lr", "2e-3", "--max-length", "64", "--batch-size", "16", "--epochs", "6"]
TRAIN = ["train", "prepared", *SETTINGS, "--out", "run"]
OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
REFUSED = 2 # exit code of a command that ends in a message
ENDED_FIRST = "ended before the signal"
COMPARED = ("model/*", "predictions/*")
LAST, INTERRUPTED = 78, 104 # steps of the last checkpoint, and of the one whose writing is interrupted


def load_libraries():
    "Import what a training imports, but compute nothing: a thread would not survive a fork."
    import accelerate  # noqa: F401
    import cleanlab  # noqa: F401
    import datasets  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import sklearn.ensemble  # noqa: F401
    import transformers.trainer  # noqa: F401

    import fakenews_nb.error_analysis  # noqa: F401


def written_path(event, args):
    "The path that an audit event is about to change; None if it changes none."
    if event == "open":
        path, _, flags = args
        if not isinstance(path, (str, os.PathLike)) or not flags & (os.O_WRONLY | os.O_RDWR): return None
        return os.path.abspath(path)
    if event not in OPERATIONS: return None
    folder = args[-1] # file descriptor of the folder in which the path stands, or -1
    if event in ("os.remove", "os.rmdir", "os.mkdir") and folder >= 0:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(args[0]))
    return os.path.abspath(os.fsdecode(args[0]))


class Operations:
    "Counts the file operations on the run folder, and sends the process a signal before one of them."
    def __init__(self, work, kill_at, signal_number=signal.SIGKILL):
        self.prefixes = (f"{work}/run", f"{work}/.run")
        self.kill_at = kill_at
        self.signal_number = signal_number
        self.descriptions = []

    def hook(self, event, args):
        path = written_path(event, args)
        if path is None or not path.startswith(self.prefixes): return
        self.descriptions.append(f"{event} {path}")
        if len(self.descriptions) - 1 == self.kill_at: os.kill(os.getpid(), self.signal_number)


def start(words, log, operations=None, counted=None):
    "Run a command of fakenews in a fork; gives its process id."
    process = os.fork()
    if process: return process
    code = 1
    try:
        with open(log, "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        if operations: sys.addaudithook(operations.hook)
        cli.main(words)
        code = 0
    except SystemExit as end: code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if counted: Path(counted).write_text(json.dumps(operations.descriptions))
        os._exit(code)


def finish(process):
    "Wait for a process; gives its exit code, or minus the signal that ended it."
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def checksums():
    "The checksums of what a run is for."
    files = [path for pattern in COMPARED for path in Path("run").glob(pattern) if path.suffix != ".md"]
    return {str(path): sha256(path) for path in sorted(files)}


def left_over():
    "Temporary files and locks that should be gone."
    return [str(path) for path in Path().rglob(".*") if path.suffix in (".partial", ".old", ".lock")]


def resume(expected, again):
    "Resume a killed run and say what came of it; again: resume the finished run once more."
    code = finish(start([*TRAIN, "--resume"], "resumed.log"))
    if code == REFUSED: return "refused in words"
    if code: return f"ended with {code}"
    if checksums() != expected: return "other files"
    if left_over(): return f"left over: {left_over()}"
    if not again: return "equal"
    code = finish(start([*TRAIN, "--resume"], "again.log"))
    is_finished = "nothing is trained" in Path("again.log").read_text()
    return "equal" if code == 0 and is_finished and checksums() == expected else "trained again"


def trial(begin, expected, exit_code=-signal.SIGKILL, damage=None):
    "Start a training that a signal ends, damage it, resume it, and report."
    shutil.rmtree("run", ignore_errors=True)
    for path in Path().glob(".run.*"): path.unlink() if path.is_file() else shutil.rmtree(path)
    code = finish(begin())
    if code == 0: return ENDED_FIRST
    if code != exit_code: return f"not stopped: {code}"
    if damage: damage()
    return resume(expected, again=damage is None)


def kill_at_operation(work, number, signal_number=signal.SIGKILL):
    "A function that starts a training which gets a signal before an operation."
    return lambda: start(TRAIN, "killed.log", Operations(work, number, signal_number))


def kill_at_moment(moment):
    "A function that starts a training and kills it after some seconds."
    def begin():
        process = start(TRAIN, "killed.log")
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        return process
    return begin


def flip_a_byte(path):
    "Change one byte in the middle of a file."
    content = bytearray(path.read_bytes())
    content[len(content)//2] ^= 1
    path.write_bytes(content)


def cut_short(path):
    "Keep the first half of a file."
    content = path.read_bytes()
    path.write_bytes(content[:len(content)//2])


def damages():
    "Name -> a function that damages a stopped run."
    last = Path(f"run/checkpoints/checkpoint-{LAST}")
    def best():
        step = json.loads((last/"trainer_state.json").read_text())["best_global_step"]
        return last.with_name(f"checkpoint-{step}")
    def plant():
        shutil.rmtree("run")
        Path("run").mkdir()
        Path("run/.run.json.12345.partial").touch()
    return {
        "no weights": lambda: (last/"model.safetensors").unlink(),
        "no optimizer": lambda: (last/"optimizer.pt").unlink(),
        "no scheduler": lambda: (last/"scheduler.pt").unlink(),
        "no random state": lambda: (last/"rng_state.pth").unlink(),
        "no checksums": lambda: (last/"checksums.json").unlink(),
        "optimizer cut short": lambda: cut_short(last/"optimizer.pt"),
        "weights changed": lambda: flip_a_byte(last/"model.safetensors"),
        "best checkpoint lost": lambda: shutil.rmtree(best()),
        "only a partial file": plant,
    }


def chosen_operations(operations, every, words):
    "The numbers of the operations before which a training is killed."
    if not words: return range(0, len(operations), every)
    return [next(number for number, name in enumerate(operations) if word in name) for word in words]


def run_trials(every, words, left_out, n_random, seed):
    "All trials; gives the results, and the file operations of an unbroken run."
    work = os.getcwd()
    finish(start(["prepare", "sample", "--out", "prepared"], "prepare.log"))
    begin = time.perf_counter()
    code = finish(start(TRAIN, "unbroken.log", Operations(work, -1), "operations.json"))
    seconds = time.perf_counter() - begin
    if code: sys.exit(Path("unbroken.log").read_text())
    operations = json.loads(Path("operations.json").read_text())
    expected = checksums()
    results = []
    def note(kind, at, outcome):
        results.append({"kind": kind, "at": at, "outcome": outcome})
        print(f"{kind}: {at}: {outcome}", flush=True)
    interrupted = operations.index(f"os.mkdir {work}/run/checkpoints/checkpoint-{INTERRUPTED}")
    for name, damage in damages().items():
        if name in left_out: continue
        note("damage", name, trial(kill_at_operation(work, interrupted), expected, damage=damage))
    ctrl_c = kill_at_operation(work, operations.index(f"os.mkdir {work}/run/checkpoints/checkpoint-{LAST}"),
        signal.SIGINT)
    note("Ctrl-C", "past the best epoch", trial(ctrl_c, expected, exit_code=REFUSED))
    for number in chosen_operations(operations, every, words):
        outcome = trial(kill_at_operation(work, number), expected)
        note("operation", operations[number].replace(work, ""), outcome)
    rng = random.Random(seed)
    for _ in range(n_random):
        moment = rng.uniform(0, seconds)
        note("moment", f"{moment:.3f} s", trial(kill_at_moment(moment), expected))
    return results, operations


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="kill before every n-th file operation")
    parser.add_argument("--at", nargs="+", metavar="WORD", help="kill before the first operation with this word")
    parser.add_argument("--without", nargs="+", default=(), metavar="DAMAGE", help="damages to leave out")
    parser.add_argument("--random", type=int, default=100, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"kills.json")
    args = parser.parse_args()
    out = args.out.absolute()
    about = {"machine": asdict(this_machine()), "versions": versions()}
    load_libraries()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        results, operations = run_trials(args.every, args.at, args.without, args.random, args.seed)
    counts = {}
    for result in results:
        of_kind = counts.setdefault(result["kind"], {})
        of_kind[result["outcome"]] = of_kind.get(result["outcome"], 0) + 1
    about |= {"operations": len(operations), "every": args.every, "outcomes": counts}
    write_json({**about, "trials": results}, out)
    print(f"{len(operations)} file operations; {counts}")
    outcomes = {result["outcome"] for result in results}
    if outcomes - {"equal", "refused in words", ENDED_FIRST}: sys.exit(1)


if __name__ == "__main__": main()
