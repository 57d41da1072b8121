"""Build what a Kaggle notebook without internet needs: `make kaggle-offline`.

The folder holds the wheel of this package, the wheels that Kaggle's image may lack, and TinyBERT.
Attach it to a notebook as a data set; the first cell of each tutorial finds it.
The versions of the wheels are those of the environment that runs this file.
"""
import argparse
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Kaggle's image has these, with all that they need; the first cell replaces nothing that is installed.
IN_IMAGE = {
    "accelerate", "datasets", "matplotlib", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy",
    "seaborn", "tokenizers", "torch", "transformers"}
EXTRAS = ("explain",)
ELSEWHERE = re.compile(r"(?:sys_platform|platform_system) *== *['\"](?:win32|darwin|Windows|Darwin)")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def plain(name): return re.sub(r"[-_.]+", "-", name).lower()


def requirement_names(name, extras=()):
    "The packages that a package requires, without those of extras that are not asked for."
    for line in distribution(name).requires or []:
        requirement, _, marker = line.partition(";")
        asked = re.search(r"extra *== *['\"]([\w-]+)['\"]", marker)
        if asked and asked[1] not in extras: continue
        if ELSEWHERE.search(marker): continue
        yield plain(re.match(r"[\w.-]+", requirement.strip())[0])


def lacking_packages():
    "The packages that Kaggle's image may lack, with the versions of this environment."
    found, todo = {}, list(requirement_names("fakenews_nb", EXTRAS))
    while todo:
        name = todo.pop()
        if name in found or name in IN_IMAGE: continue
        try: found[name] = distribution(name).version
        except PackageNotFoundError: continue # needed on other systems or Python versions only
        todo += requirement_names(name)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def pip(*words): subprocess.run([sys.executable, "-m", "pip", *map(str, words)], check=True)


def save_model(name, folder):
    "Store the encoder as safetensors, with its tokenizer."
    from fakenews_nb.models import load_encoder
    model, tokenizer = load_encoder(name)
    model.base_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT/"dist"/"kaggle-offline", help="Folder to write.")
    parser.add_argument("--python", default="3.13", help="Python version of the image (default: 3.13).")
    parser.add_argument("--model", default="tinybert", help="Encoder to add: tinybert, a folder, or none.")
    args = parser.parse_args()
    if args.out.exists(): sys.exit(f"{args.out} exists: delete it, or choose another --out")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as temporary:
        kit = Path(temporary)/"kit"
        pip("wheel", "--quiet", "--no-deps", "--wheel-dir", kit, ROOT)
        platforms = [f"--platform={name}" for name in PLATFORMS]
        target = ["--only-binary=:all:", f"--python-version={args.python}", *platforms]
        pip("download", "--quiet", "--no-deps", *target, "--dest", kit, *lacking_packages())
        if args.model != "none": save_model(args.model, kit/"tinybert")
        kit.rename(args.out)
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())/1e6
    n_wheels = len(list(args.out.glob("*.whl")))
    print(f"{args.out}: {n_wheels} wheels, {size:.0f} MB; attach it to a notebook as a data set")


if __name__ == "__main__": main()
