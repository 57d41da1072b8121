"""How long an installation takes, and how large it is: the full one, and the light one for exported models.

    python benchmarks/install.py

Each goes into an empty environment, with the tested versions; the time includes the downloads.
"""
import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fakenews_nb.export import _LIGHT_PACKAGES
from fakenews_nb.files import write_json
from fakenews_nb.runtime import versions

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT/"benchmarks"/"results"/"install.json"


def megabytes(folder): return sum(file.lstat().st_size for file in folder.rglob("*"))/1e6


def measure(folder, *requirements):
    "Install into an empty environment; returns seconds, megabytes and the number of packages."
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    empty = megabytes(folder)
    pip = [sys.executable, "-m", "pip", "--python", folder/"bin"/"python"]
    start = time.perf_counter()
    for requirement in requirements:
        subprocess.run([*pip, "install", "--quiet", "-c", ROOT/"constraints.txt", *requirement], check=True)
    seconds = time.perf_counter() - start
    packages = subprocess.check_output([*pip, "list", "--format=freeze"], text=True).split()
    return {"seconds": seconds, "megabytes": megabytes(folder) - empty, "packages": len(packages)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
        subprocess.run(build, check=True, capture_output=True)
        wheel = next(folder.glob("*.whl"))
        measured = {
            "full": measure(folder/"full", [wheel]),
            "light": measure(folder/"light", ["onnxruntime", *_LIGHT_PACKAGES], ["--no-deps", wheel])}
    for kind, result in measured.items():
        print(f"{kind}: {result['seconds']:.0f} s, {result['megabytes']:,.0f} MB, {result['packages']} packages")
    write_json({**measured, "versions": versions()}, args.out)


if __name__ == "__main__": main()
