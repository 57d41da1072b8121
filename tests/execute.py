"""Execute notebooks in place, and store what a reader should see: `make execute NB="nbs/10_cleaning.ipynb …"`.

Figures are stored in twice the displayed size, for high-resolution screens.
Left out are progress bars, messages on standard error, and the outputs of cells that the site does not show.
With `--strip`, the notebooks are not executed.
"""
import argparse
import base64
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

BIN = Path(sys.executable).parent
UNSEEN = re.compile(r"^#\| output: false", re.M)


def is_unwanted(output):
    "Whether an output is a progress bar or a message on standard error."
    is_bar = "<progress" in str(output) or "widget-view" in str(output)
    return is_bar or output.get("name") == "stderr"


def shrink_figure(output):
    "Store a figure with a palette of 256 colours, if that is smaller: a chart needs no more."
    png = output.get("data", {}).get("image/png")
    if not png: return
    image, smaller = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if image.mode == "P": return
    image.convert("RGB").quantize(256).save(smaller, "PNG", optimize=True)
    shrunk = base64.b64encode(smaller.getvalue()).decode()
    if len(shrunk) < len(png): output.data["image/png"] = shrunk


def strip(path):
    "Remove from a notebook what no reader needs."
    notebook = nbformat.read(path, 4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code": continue
        kept = [] if UNSEEN.search(cell.source) else cell.outputs
        cell.outputs = [output for output in kept if not is_unwanted(output)]
        for output in cell.outputs: shrink_figure(output)
    nbformat.write(notebook, path)
    subprocess.run([BIN/"nbdev_clean", "--fname", path], check=True)


def execute(path):
    "Execute a notebook in place."
    run = [BIN/"jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", "--ExecutePreprocessor.timeout=-1"]
    with tempfile.TemporaryDirectory() as settings:
        profile = Path(settings)/"profile_default"
        profile.mkdir()
        (profile/"ipython_kernel_config.py").write_text('c.InlineBackend.figure_formats = {"retina"}', encoding="utf-8")
        subprocess.run([*run, path], check=True, env={**os.environ, "IPYTHONDIR": settings})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--strip", action="store_true", help="Only remove what no reader needs.")
    args = parser.parse_args()
    for path in args.notebooks:
        if not args.strip: execute(path)
        strip(path)


if __name__ == "__main__": main()
