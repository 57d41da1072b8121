"""Run a tutorial as Kaggle would, once without internet and once with it: `make kaggle-simulate` (as root, on Linux).

The stand-in has what matters of Kaggle's image: its versions (constraints-colab.txt), an environment without this
package and without what it adds, /kaggle/input (read-only) and /kaggle/working, Kaggle's variables, a notebook kernel.
It differs in four things: it has Python 3.11, no GPU, an encoder of TinyBERT's shape with random weights,
and ISOT's files are made of the built-in sample.
With internet, the package comes from a local archive of the last commit, because no address serves it here.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from offline import IN_IMAGE, plain

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ISOT = "fake-and-real-news-dataset"
NOTEBOOK_TOOLS = ("ipykernel", "nbconvert", "ipywidgets")
SMALL = '{"epochs": 6, "max_length": 96, "min_steps": 0, "learning_rate": 5e-4}' # enough for random weights
# Inside: a private /kaggle, its input read-only, then the notebook; the network is cut before by unshare.
INSIDE = """
ip link set lo up && mount -t tmpfs tmpfs /kaggle && mkdir /kaggle/input /kaggle/working &&
mount --bind "$SIMULATED_INPUT" /kaggle/input && mount -o remount,bind,ro /kaggle/input &&
cp "$SIMULATED_NOTEBOOK" /kaggle/working/page.ipynb && cd /kaggle/working &&
"$SIMULATED_BIN/jupyter" nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=-1 page.ipynb &&
cp page.ipynb "$SIMULATED_NOTEBOOK.done" && ls -R /kaggle/working | head -40
"""


def call(*words, **options): subprocess.run([str(word) for word in words], check=True, **options)


def make_image(folder):
    "An environment with the versions of Kaggle's image, without this package."
    names = [line for line in (ROOT/"constraints-colab.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {plain(line.split("==")[0]) for line in names}
    call(sys.executable, "-m", "venv", folder)
    others = sorted(IN_IMAGE - pinned)
    install = (folder/"bin"/"python", "-m", "pip", "install", "--quiet", "-c", ROOT/"constraints-colab.txt")
    call(*install, *names, *others, *NOTEBOOK_TOOLS)


def write_isot(folder):
    "ISOT's two files, made of the built-in sample."
    from fakenews_nb import load_articles
    sample = load_articles("sample")
    folder.mkdir(parents=True)
    for label, name in enumerate(("Fake.csv", "True.csv")):
        rows = sample[sample.label == label][["title", "text", "subject", "date"]]
        rows.to_csv(folder/name, index=False)


def write_encoder(folder):
    "An encoder of TinyBERT's shape, with random weights and the vocabulary of the sample."
    from transformers import BertConfig, BertModel

    from fakenews_nb import load_articles
    from fakenews_nb.tokenization import article_texts, train_tokenizer
    tokenizer = train_tokenizer(list(article_texts(load_articles("sample"))), max_length=512)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=312, num_hidden_layers=4, num_attention_heads=12,
        intermediate_size=1200, max_position_embeddings=512)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_page(page, image, inputs, work, network):
    "Execute a notebook inside the stand-in; returns the executed notebook."
    notebook = nbformat.read(page, 4)
    if network: # the address of the package, which is not published here, is that of a local archive
        archive = work/"main.zip"
        call("git", "archive", "--format=zip", "--prefix=main/", "-o", archive, "HEAD", cwd=ROOT)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        lines = first.source.splitlines()
        lines = [f'archive = "{archive.as_uri()}"' if line.startswith("archive =") else line for line in lines]
        first.source = "\n".join(lines)
    copy = work/f"page-{'online' if network else 'offline'}.ipynb"
    nbformat.write(notebook, copy)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAKENEWS_", "PYTHON", "HF_"))}
    env = kept | {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "FAKENEWS_RECIPE": SMALL, "OMP_NUM_THREADS": "1",
        "PATH": f"{image/'bin'}{os.pathsep}{os.environ['PATH']}", "SIMULATED_BIN": str(image/"bin"),
        "SIMULATED_INPUT": str(inputs), "SIMULATED_NOTEBOOK": str(copy)}
    isolate = ["unshare", "--mount"] + ([] if network else ["--net"])
    call(*isolate, "bash", "-ec", INSIDE, env=env)
    return nbformat.read(f"{copy}.done", 4)


def first_output(notebook):
    "What the first cell printed."
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=ROOT/"nbs"/"tutorials"/"01_finetune_tinybert.ipynb")
    parser.add_argument("--image", type=Path, help="Folder that keeps the environment, for a second call.")
    args = parser.parse_args()
    if os.geteuid(): sys.exit("this needs root, to mount /kaggle")
    had_kaggle = Path("/kaggle").exists()
    Path("/kaggle").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        image = args.image.resolve() if args.image else work/"image"
        if not (image/"bin"/"jupyter").exists(): make_image(image)
        offline, online = work/"offline", work/"online"
        write_isot(offline/"datasets"/"clmentbisaillon"/ISOT) # the layout of today
        write_isot(online/ISOT) # the older one
        call(sys.executable, HERE/"offline.py", "--out", offline/"kit", "--model", "none", "--python", "3.11")
        for inputs in (offline, online): write_encoder(inputs/"tinybert")
        for inputs, network in ((offline, False), (online, True)):
            done = run_page(args.page, image, inputs, work, network)
            print(f"== {'with' if network else 'without'} internet", first_output(done), sep="\n")
            call(image/"bin"/"python", "-m", "pip", "--quiet", "uninstall", "--yes", "fakenews_nb")
    if not had_kaggle: shutil.rmtree("/kaggle")
    print("passed")


if __name__ == "__main__": main()
