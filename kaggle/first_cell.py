import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

package = "fakenews_nb"
archive = "https://github.com/fakenews-nb/fakenews_nb/archive/refs/heads/main.zip"
if not importlib.util.find_spec("fakenews_nb"): # install it, and replace nothing that is there
    installed = {}
    for found in importlib.metadata.distributions(): installed.setdefault(found.name, found.version)
    constraints = [f"{name}=={version}" for name, version in installed.items()]
    Path("installed.txt").write_text("\n".join(constraints))
    attached = sorted(Path("/kaggle/input").rglob("fakenews_nb-*.whl")) # for work without internet
    source = ["--no-index", "--find-links", attached[-1].parent, package] if attached else [f"{package} @ {archive}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", "installed.txt", *source]
    if subprocess.run(pip).returncode:
        raise RuntimeError("pip could not install fakenews_nb; without internet, attach the offline kit")

from fakenews_nb.notebooks import start_notebook

settings = start_notebook("isot")
