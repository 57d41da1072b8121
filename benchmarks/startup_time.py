"""How long the command takes to answer, and a detector to read a very long text.

    python benchmarks/startup_time.py

`fakenews --help` should answer in under half a second, and ten megabytes of text in under half a minute.
"""
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

FAKENEWS = Path(sys.executable).parent/"fakenews"
ROUNDS = 5


def seconds_of(work):
    "The time that a function takes."
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def answer(): subprocess.run([str(FAKENEWS), "--help"], check=True, capture_output=True)


def import_public_names():
    code = "from fakenews_nb import prepare, finetune, Detector"
    subprocess.run([sys.executable, "-c", code], check=True)


def tiny_detector(folder):
    "A detector trained for a few steps on the sample."
    from fakenews_nb import RECIPES, Detector, finetune, prepare
    prepare("sample", folder/"data")
    recipe = replace(RECIPES["fast"], epochs=1, min_steps=0, max_length=64)
    return Detector.load(finetune(folder/"data", folder/"run", "tiny", recipe, limit=64).folder)


def main():
    "Print a row per measurement."
    rows = {
        "fakenews --help": [seconds_of(answer) for _ in range(ROUNDS)],
        "import of the public names": [seconds_of(import_public_names) for _ in range(ROUNDS)]}
    with tempfile.TemporaryDirectory() as name:
        detector = tiny_detector(Path(name))
        text = "The council met on Monday. "*400_000
        rows["a text of ten megabytes"] = [seconds_of(lambda: detector.predict(text)) for _ in range(ROUNDS)]
    print(f"{'':<30}{'median, s':>12}{'least, s':>12}")
    for title, seconds in rows.items(): print(f"{title:<30}{median(seconds):>12.2f}{min(seconds):>12.2f}")


if __name__ == "__main__":
    main()
