"""A million rows predicted in constant memory, killed twice at random and resumed.

    python benchmarks/million_rows.py MODEL              # an exported folder; an hour on two cores
    python benchmarks/million_rows.py MODEL --rows 50000

The rows are short texts, each with an id. A chart of the memory against the rows that are done goes to
results/million_rows.png, the numbers to results/million_rows.json. At the end, the ids of the output must be
those of the input, in the same order.
"""
import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent/"results"
FAKENEWS = Path(sys.executable).parent/"fakenews"
WORDS = "council report budget crooked agency secret rain harbor vote said monday river school train market".split()
KILLS = 2
EVERY = .5 # seconds between two looks at the process


def write_articles(path, rows, seed):
    "Write a CSV file of short texts."
    draw = random.Random(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number in range(rows): writer.writerow([f"a{number}", " ".join(draw.choices(WORDS, k=draw.randint(3, 20)))])


def done_rows(parts):
    "The rows of the finished parts."
    return max((int(path.stem.split("-")[1]) for path in parts.glob("*-*.csv")), default=0)


def watch(command, parts, kill_at):
    "Run the command until it ends, or kill it when so many rows are done; returns what was seen."
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = []
    while process.poll() is None:
        try: seen.append((done_rows(parts), process.memory_info().rss/1e6))
        except psutil.NoSuchProcess: break
        if kill_at is not None and seen[-1][0] >= kill_at: process.send_signal(signal.SIGKILL)
        time.sleep(EVERY)
    return seen, process.wait()


def ids_of(path):
    "The ids of a CSV file."
    with open(path, newline="", encoding="utf-8") as file: return [row["id"] for row in csv.DictReader(file)]


def draw_chart(runs, path):
    "Memory against rows, a line for each process."
    from fakenews_nb.reports import new_axes
    ax = new_axes(None, width=6, height=3)
    for number, seen in enumerate(runs, start=1):
        ax.plot([rows for rows, _ in seen], [memory for _, memory in seen], label=f"process {number}")
    ax.set(xlabel="rows done", ylabel="memory (MB)", ylim=(0, None))
    ax.set_title("The memory does not grow with the rows")
    ax.legend()
    ax.figure.savefig(path, dpi=120, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    kills = sorted(draw.randint(args.rows//50, args.rows*9//10) for _ in range(KILLS))
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name)/"in.csv", Path(name)/"out.csv"
        write_articles(source, args.rows, args.seed)
        command = [str(FAKENEWS), "predict", args.model, "--file", str(source), "--out", str(out)]
        start = time.perf_counter()
        runs, codes = [], []
        for kill_at in [*kills, None]:
            seen, code = watch(command, Path(name)/".out.csv.parts", kill_at)
            runs.append(seen)
            codes.append(code)
            print(f"process {len(runs)}: exit code {code}, {seen[-1][0]:,} rows done, "
                f"at most {max(memory for _, memory in seen):.0f} MB", flush=True)
        seconds = time.perf_counter() - start
        same = ids_of(source) == ids_of(out)
    print(f"{args.rows:,} rows in {seconds:.0f} s; ids in = ids out: {same}")
    assert same
    assert codes == [-signal.SIGKILL]*KILLS + [0]
    draw_chart(runs, RESULTS/"million_rows.png")
    peaks = [max(memory for _, memory in seen) for seen in runs]
    result = {"rows": args.rows, "seconds": seconds, "killed_at": kills, "exit_codes": codes, "peak_megabytes": peaks}
    (RESULTS/"million_rows.json").write_text(json.dumps({**result, "ids_equal": same}, indent=1) + "\n")


if __name__ == "__main__":
    main()
