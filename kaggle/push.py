"""Publish the tutorials as Kaggle notebooks, with the kaggle program: `make kaggle-push`.

Each folder beside this file holds the `kernel-metadata.json` of a tutorial.
What is pushed is a copy of the notebook without outputs, in which links to other pages lead to the site.
The program needs an API token of Kaggle (kaggle.com/settings); its user becomes the owner, or name one with --owner.
"""
import argparse
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
SITE = "https://fakenews-nb.github.io/fakenews_nb"
PAGE_LINK = re.compile(r"\]\(((?:[\w.]+/)*)(?:\d\d_)?(\w+)\.ipynb(#[\w.-]+)?\)")


def metadata_files(): return sorted(HERE.glob("*/kernel-metadata.json"))


def with_site_links(text, folder):
    "Markdown of a page in a folder of the site, whose links to other pages lead to the site."
    def address(match):
        page = posixpath.normpath(posixpath.join(folder, match[1], match[2]))
        return f"]({SITE}/{page}.html{match[3] or ''})"
    return PAGE_LINK.sub(address, text)


def write_kernel(metadata_file, owner, out):
    "Write a folder that `kaggle kernels push` takes; returns it."
    metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
    source = (metadata_file.parent/metadata["code_file"]).resolve()
    notebook = nbformat.read(source, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code": cell.outputs = []
        else: cell.source = with_site_links(cell.source, "tutorials")
    folder = Path(out)/metadata_file.parent.name
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder/source.name)
    _, _, slug = metadata["id"].partition("/")
    if owner: metadata["id"] = f"{owner}/{slug}"
    metadata["code_file"] = source.name
    (folder/"kernel-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorials", nargs="*", help="Folders to push (default: all).")
    parser.add_argument("--owner", help="Kaggle user name (default: that of the metadata).")
    parser.add_argument("--out", type=Path, help="Write the folders here, and push nothing.")
    args = parser.parse_args()
    files = [file for file in metadata_files() if not args.tutorials or file.parent.name in args.tutorials]
    if not files: sys.exit(f"no such tutorial; there are {', '.join(file.parent.name for file in metadata_files())}")
    if not args.out and not shutil.which("kaggle"):
        sys.exit("the kaggle program is missing: pip install kaggle, and put an API token where it says")
    with tempfile.TemporaryDirectory() as temporary:
        for file in files:
            folder = write_kernel(file, args.owner, args.out or temporary)
            print(folder.name)
            if not args.out: subprocess.run(["kaggle", "kernels", "push", "-p", folder], check=True)


if __name__ == "__main__": main()
