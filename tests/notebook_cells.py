"Run the cells of a notebook, in a process that may run several notebooks one after the other."
import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_cells(path):
    "Run every cell that needs nothing this machine lacks; returns what went wrong, an empty text if nothing did."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    flags = get_config(path=ROOT).tst_flags.split()
    messages = StringIO()
    main, environment, folder = sys.modules["__main__"], dict(os.environ), Path.cwd()
    try:
        with redirect_stderr(messages): passed, _ = test_nb(path, skip_flags=flags, basepath=ROOT)
    finally: # IPython makes a notebook the main module; the next one shall find what this one has found
        sys.modules["__main__"] = main
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
    return "" if passed else messages.getvalue()
