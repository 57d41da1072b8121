"""What random and hostile inputs do: files, texts, cleaning rules, folders, requests to the server, and command lines.

Hypothesis draws the inputs, from pieces that have a meaning for the code and from any characters, and changes bytes of
files. Each input is used as a user would use it. A result or a message is what should come of it; these are faults:
a traceback, a use of more than five seconds (a minute for a command, which may train a model), a cleaning rule that
takes more than a second for a million characters,
a message of more than 2,000 characters, an answer of the server that is neither a verdict nor a message, a text that
changes when it is cleaned again or when its label is another, and rows that two readers of tables read differently.
The memory of the process is noted after each tenth of a target's inputs; growth is that of the second half, because
libraries are loaded when they are first needed.
Writes results/fuzz.json. Needs a system with SIGALRM, and Linux for the growth.

    python benchmarks/fuzz.py
    python benchmarks/fuzz.py --inputs 500
    python benchmarks/fuzz.py --only "table files" --inputs 5000
"""
import argparse
import contextlib
import csv
import gc
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
import pandas as pd
from damaged_folders import DAMAGES, HangError, change_bytes, change_value, make_folders, raise_hang, use
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from typer.main import get_command

import fakenews_nb.serving
from fakenews_nb import cli
from fakenews_nb.cleaning import LEVELS, Rule, clean_articles, clean_text
from fakenews_nb.core import FakeNewsError
from fakenews_nb.data import load_articles
from fakenews_nb.detector import Detector
from fakenews_nb.files import _write_checksums, write_json
from fakenews_nb.runtime import this_machine, versions
from fakenews_nb.serving import Answer, Answers, Failure, make_app
from fakenews_nb.streams import open_table
from fakenews_nb.tables import read_table

SECONDS = 5 # after which a use counts as hanging
COMMAND_SECONDS = 60 # the same for a command, which may train, export or compare models
LONG = 1_000_000 # characters of a long text, which is to be cleaned within a second
LONGEST_MESSAGE = 2_000 # characters
CHUNK = 500 # inputs that Hypothesis draws at a time; it remembers them until then
LEAST_CHUNK = 25 # the first inputs of each chunk are simple ones
FAULTS = ("traceback", "hang", "slow", "long message", "changes when cleaned again", "depends on the label",
    "readers differ", "server error", "exit code")


class Fault(Exception):
    "Something that should not come of an input; the message names it."


# ---- texts -----------------------------------------------------------------------------------------------------------

PHRASES = (
    "(Reuters)", "WASHINGTON (Reuters) - ", "AP", "Featured image", "featured", "image", "Photo by ", "via ", "via:",
    "pic.twitter.com/", "https://", "www.", "example.com", ".co", "(@a)", "[VIDEO]", "(video)", "WATCH", "breaking",
    "read", "more", "source:", "h/t", "screen", "grab", "U.S.", "U", "S", "Monday", "on", "march", "None", "nan")
SIGNS = (
    "/", "@", "#", "&amp;", "&", ";", "<p>", "<", ">", "</a", "<!--", "![CDATA[", "]]", "!", ":", ".", "..", "\u2026",
    "-", "--", "\u2014", "\u201c", "'", "\"", "(", ")", "[", "$x^$", "=1+1", "a", "B", "7", " ", "\n", "\t", "\r")
ODD = ( # wrong decodings, invisible characters, halves of characters, controls, marks, other scripts
    "\u00e2\u20ac\u2122", "\u00c3\u00a9", "\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\ufeff", "\ud800",
    "\udfff", "\0", "\x1b[31m", "\u202e", "\u0130", "\u03a3", "\u0301", "\u20dd", "\ufe0f", "\U0001f600",
    "\u4eca\u5929", "\u0e01")
PIECES = PHRASES + SIGNS + ODD
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=25).map("".join)
units = st.lists(st.sampled_from(PIECES) | st.text(min_size=1, max_size=3), min_size=1, max_size=4).map("".join)
levels = st.sampled_from([level for level in LEVELS if level != "none"])
fields = st.sampled_from(["title", "text"])


def clean_twice(level, field, text):
    "Clean a text, clean the result again, and clean it in tables with other labels."
    rules = LEVELS[level]
    once = clean_text(text, rules, field)
    if clean_text(once, rules, field) != once: raise Fault("changes when cleaned again")
    cells = pd.Series([text, text], dtype=object)
    table = clean_articles(pd.DataFrame({"title": cells, "text": cells, "label": [0, 1]}), rules)
    if table[field].iloc[0] != table[field].iloc[1]: raise Fault("depends on the label")


def clean_long(level, field, unit, tail):
    "Clean a long text that repeats a few pieces."
    text = unit*(LONG//len(unit)) + tail
    for rule in LEVELS[level]:
        begin = time.perf_counter()
        cleaned = rule.apply(text, field)
        if time.perf_counter() - begin > 1: raise Fault(f"slow: {rule.name}")
        text = cleaned
    clean_text(unit*(LONG//len(unit)) + tail, LEVELS[level], field)


# ---- cleaning rules from elsewhere -----------------------------------------------------------------------------------

PATTERN_PIECES = ("a", "b", ".", r"\w", r"\s", r"\b", r"\p{L}", "(", ")", "(?:", "(?=", "(?i)", "[", "]", "[^", "*",
    "+", "?", "{2}", "{1,99999}", "|", "^", "$", "\\", r"\1", "(a+)+", "(a|a)*", "(.*)*", "ftfy.fix_encoding",
    "str.lower")
odd_values = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(texts, max_size=2)
patterns = st.lists(st.sampled_from(PATTERN_PIECES), max_size=8).map("".join)
replacements = texts | st.sampled_from([r"\1", "\\"])
rules = st.fixed_dictionaries(
    {"name": texts, "pattern": patterns, "replacement": replacements, "why": st.just("tried")},
    optional={"field": st.sampled_from(["both", "title", "text"]), "needs": st.lists(texts, max_size=2)})
odd_rules = st.fixed_dictionaries({"name": odd_values, "pattern": odd_values, "replacement": odd_values,
    "why": odd_values})


def apply_rule(parts, text):
    "Make a rule of what a file states, and apply it."
    try: clean_text(text, (Rule(**parts),))
    except re.error: return "message" # loaders of folders turn it into one
    return "used"


# ---- table files -----------------------------------------------------------------------------------------------------

COLUMNS = ("id", "title", "text", "label", "date", "subject", "source", "content", "url", "")
plain_cells = st.sampled_from(["", "0", "1", "fake", "real", "3/2/2016", "2016-02-30", "1.0", "true"]) | texts
json_cells = st.recursive(plain_cells | odd_values, lambda below: st.lists(below, max_size=2)
    | st.dictionaries(texts, below, max_size=2), max_leaves=4)
column_names = st.just(["title", "text", "label"]) | st.lists(st.sampled_from(COLUMNS) | texts, min_size=1, max_size=5)
labelled_rows = st.tuples(plain_cells, plain_cells, st.sampled_from(["0", "1", "fake", "real"])).map(list)
mutations = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["replace", "insert", "delete", "cut"]),
    st.binary(max_size=3)), max_size=3)
suffixes = st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx"])
packings = st.sampled_from(["", "", "", ".gz", ".zip"])


def delimited(names, rows, delimiter, is_quoted):
    "A CSV or TSV file; without quoting, a cell may break it."
    if not is_quoted: return "\n".join(delimiter.join(map(str, row)) for row in [names, *rows])
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([names, *rows])
    return buffer.getvalue()


def as_bytes(text): return text.encode("utf-8", errors="surrogatepass")


def parquet_or_excel(suffix, names, rows):
    "A Parquet file or an Excel workbook; CSV where the writers refuse the cells."
    buffer = io.BytesIO()
    try:
        table = pd.DataFrame(rows, columns=names)
        if suffix == ".parquet": table.to_parquet(buffer)
        else: table.to_excel(buffer, index=False)
    except Exception: return as_bytes(delimited(names, rows, ",", True))
    return buffer.getvalue()


def table_bytes(suffix, names, rows, is_quoted):
    "The content of a file."
    width = len(names)
    rows = [(row*width)[:width] if row else [""]*width for row in rows]
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    if suffix == ".csv": return as_bytes(delimited(names, rows, ",", is_quoted))
    if suffix == ".tsv": return as_bytes(delimited(names, rows, "\t", is_quoted))
    if suffix == ".jsonl": return as_bytes("\n".join(map(json.dumps, objects)))
    if suffix == ".json": return as_bytes(json.dumps(objects))
    return parquet_or_excel(suffix, names, rows)


def packed(content, packing, name):
    "Put a file into an archive."
    if packing == ".gz": return gzip.compress(content, 1)
    if packing != ".zip": return content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive: archive.writestr(name, content)
    return buffer.getvalue()


def mutated(content, changes):
    "Change some bytes."
    content = bytearray(content)
    for place, kind, piece in changes:
        start = int(place*len(content))
        if kind == "replace": content[start:start + len(piece)] = piece
        elif kind == "insert": content[start:start] = piece
        elif kind == "delete": del content[start:start + 5]
        else: del content[start:]
    return bytes(content)


@st.composite
def table_files(draw):
    "The name and the content of a file."
    suffix = draw(suffixes)
    packing = draw(packings)
    cells = json_cells if suffix in (".json", ".jsonl") else plain_cells
    rows = draw(st.lists(labelled_rows, min_size=1, max_size=6) | st.lists(st.lists(cells, max_size=5), max_size=6))
    content = table_bytes(suffix, draw(column_names), rows, is_quoted=draw(st.integers(0, 2)) > 0)
    if not draw(st.integers(0, 2)): content = mutated(content, draw(mutations))
    content = packed(content, packing, f"news{suffix}")
    if packing and draw(st.booleans()): content = mutated(content, draw(mutations))
    return f"news{suffix}{packing}", content


def rows_of(table):
    "The cells of a table as text, to compare two readers."
    cells = table.to_numpy(dtype=object)
    return [[None if is_missing(cell) else str(cell) for cell in row] for row in cells]


def is_missing(cell):
    "Whether a cell holds nothing."
    return cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell))


def attempt(function):
    "The result of a function, or None if it ended in a message."
    try: return function()
    except FakeNewsError as error:
        check_message(str(error))
        return None


def check_message(message):
    "A message must be short enough to be read."
    if len(message) > LONGEST_MESSAGE: raise Fault("long message")


def read_both_ways(file, skip):
    "Read a table whole and in batches; the rows must be the same."
    whole = attempt(lambda: rows_of(read_table(file, skip_bad_rows=skip)))
    stream = attempt(lambda: rows_of(pd.concat(open_table(file, skip_bad_rows=skip).batches(2))))
    if whole != stream: raise Fault("readers differ")


def read_file(named, skip, drop):
    "Read a file as a table, in batches, and as articles."
    name, content = named
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/name
        file.write_bytes(content)
        if not name.endswith((".parquet", ".xlsx")): read_both_ways(file, skip)
        labels = {"0": 0, "1": 1}
        articles = attempt(lambda: load_articles(file, labels=labels, skip_bad_rows=skip, drop_unlabelled=drop))
    return "message" if articles is None else "used"


# ---- folders, predictions, requests ----------------------------------------------------------------------------------

@dataclass
class Fixtures:
    "What is made once."
    folders:dict[str, Path] # kind -> folder
    detector:Detector
    client:TestClient


def read_folder(fixtures, kind, damage, number):
    "Damage one file of a folder, and use it."
    rng = random.Random(number)
    source = fixtures.folders[kind]
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    name = rng.choice(names)
    with tempfile.TemporaryDirectory() as work:
        folder = shutil.copytree(source, Path(work)/"folder")
        if damage in DAMAGES: DAMAGES[damage](folder/name)
        elif name.endswith(".json") and rng.random() < .7: change_value(folder/name, rng)
        else: change_bytes(folder/name, rng)
        stored = folder/"checksums.json"
        if stored.is_file() and rng.random() < .7: _write_checksums(folder)
        use(kind, folder)


good_articles = st.fixed_dictionaries({"title": texts, "text": texts})
articles = good_articles | st.fixed_dictionaries({}, optional={"title": texts | odd_values, "text": texts | odd_values,
    "id": odd_values})
several = st.fixed_dictionaries({"articles": st.lists(good_articles, min_size=1, max_size=3)})
odd_bodies = articles | st.fixed_dictionaries({"articles": st.lists(articles, max_size=3) | odd_values}) | odd_values
requests = st.tuples(st.just("/v1/predict"), good_articles, st.just([]), st.just("application/json"))
requests |= st.tuples(st.just("/v1/predict/batch"), several, st.just([]), st.just("application/json"))
requests |= st.tuples(st.sampled_from(["/v1/predict", "/v1/predict/batch"]), odd_bodies, mutations,
    st.sampled_from(["application/json", "application/json", "text/plain", ""]))
one_or_many = texts | articles | odd_values | st.lists(texts | odd_values | articles, max_size=4)
titles = st.none() | one_or_many
ANSWERS = [set(model.model_fields) for model in (Answer, Answers, Failure)]


def predict(fixtures, value, titles):
    "Predict what somebody passes."
    answer = fixtures.detector.predict(value, titles)
    if not isinstance(answer, (list, tuple)): raise Fault("server error: an odd answer")


def request(fixtures, address, body, changes, content_type):
    "Send a request to the server."
    content = mutated(as_bytes(json.dumps(body)), changes)
    answer = fixtures.client.post(address, content=content, headers={"content-type": content_type})
    if answer.status_code >= 500: raise Fault(f"server error {answer.status_code}")
    names = set(answer.json())
    if names not in ANSWERS: raise Fault(f"server error: an answer of {', '.join(names)}")
    return "message" if "error" in names else "used"


# ---- command lines ---------------------------------------------------------------------------------------------------

VALUES = (
    "", "-1", "0", "1", "2.5", "1e999", "nan", "x", "sample", "none", "clean", "isot", "a=b", "a=b,c", "=", ",",
    "text=text", "1=fake,0=real", "\u00e9", "\udce9", "-", "--", "a"*3000, "tiny", "linear_svc", "tiny+linear_svc")
PLACES = (
    "news.csv", "broken.csv", "empty.csv", "prepared", "run", "baseline", "missing", "new", ".", "..", "new/deep/out")
SLOW = ("epochs", "min_steps", "folds") # options that may ask for more work than a trial should take
LEFT_OUT = ("processes", "ray") # options that start other processes
NOT_TRIED = ("demo",)
BRIEF = {"train": ("--limit", "20", "--epochs", "1"), "distill": ("--limit", "20", "--epochs", "1"),
    "transfer": ("--epochs", "1", "--min-steps", "0")}
COMMANDS = {name: command for name, command in get_command(cli.app).commands.items() if name not in NOT_TRIED}
words = st.sampled_from(VALUES + PLACES)
LIKELY = { # what is stated for a parameter more often than anything else
    "data": ("prepared", "news.csv", "sample"), "model": ("run", "baseline", "tiny", "linear_svc"), "run": ("run",),
    "teacher": ("run",), "out": ("new",), "source": ("sample", "news.csv"), "file": ("news.csv",)}
LIKELY |= {
    "texts": ("A text.",), "labels": ("1=fake,0=real",), "columns": ("title=none",), "threshold": (".5", ".9"),
    "error_rate": (".1", "1"), "train": ("sample",), "test": ("sample",), "engine": ("numpy",)}


@st.composite
def command_lines(draw):
    "The words of a command line."
    name = draw(st.sampled_from(list(COMMANDS)))
    line = [name, *BRIEF.get(name, ())]
    for parameter in COMMANDS[name].params:
        is_argument = parameter.param_type_name == "argument"
        needed = 19 if is_argument or parameter.required or parameter.name == "labels" else 2
        if parameter.name in LEFT_OUT or draw(st.integers(0, 19)) >= needed: continue
        if not is_argument: line.append(parameter.opts[0])
        if getattr(parameter, "is_flag", False): continue
        if parameter.name in SLOW: line.append(draw(st.sampled_from(["-1", "0", "1", "x"])))
        elif draw(st.integers(0, 4)): line.append(draw(st.sampled_from(LIKELY.get(parameter.name, VALUES))))
        else: line.append(draw(words))
    return line


def run_command(fixtures, line):
    "Run a command line in a folder with files; the folder is thrown away."
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder)/"deep"/"inside"
        shutil.copytree(fixtures.folders["command line"], inside)
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        with contextlib.chdir(inside), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try: cli.main(line)
            except SystemExit as end: code = end.code or 0
    if code not in (0, 2): raise Fault(f"exit code {code}")
    return "message" if code else "used"


def make_fixtures(work):
    "Folders of each kind, a detector, a server, and a folder in which command lines run."
    folders = make_folders(work)
    shell = work/"shell"
    shell.mkdir()
    (shell/"news.csv").write_text("title,text,label\nA,The council met.,1\nB,They lie!,0\n"*20)
    (shell/"broken.csv").write_text('title,text,label\nA,"open,1\nB,x\n')
    (shell/"empty.csv").touch()
    shutil.copytree(folders["prepared"], shell/"prepared")
    shutil.copytree(folders["PyTorch"].parent, shell/"run")
    shutil.copytree(folders["baseline"].parent, shell/"baseline")
    detector = Detector.load(folders["exported"])
    limits = fakenews_nb.serving.Limits(per_minute=0)
    client = TestClient(make_app(detector, page=False, limits=limits), base_url="http://localhost",
        raise_server_exceptions=False)
    return Fixtures(folders | {"command line": shell}, detector, client)


# ---- trials ----------------------------------------------------------------------------------------------------------

@dataclass
class Target:
    "What is tried."
    name:str
    part:float # of all inputs
    inputs:st.SearchStrategy[Any] # tuples of arguments
    use:Callable[..., Any] # gives "used", "message" or None, which means used
    seconds:int = SECONDS # after which it counts as hanging


def targets(fixtures):
    "All targets, with the part of the inputs that each gets."
    def with_fixtures(function): return lambda *arguments: function(fixtures, *arguments)
    kinds = st.sampled_from(["PyTorch", "exported", "baseline", "ensemble", "prepared"])
    damages = st.sampled_from([*DAMAGES, *["at random"]*10])
    numbers = st.integers(0, 2**32)
    found = [
        Target("table files", .4, st.tuples(table_files(), st.booleans(), st.booleans()), read_file),
        Target("cleaning", .4, st.tuples(levels, fields, texts), clean_twice),
        Target("cleaning, long texts", .005, st.tuples(levels, fields, units, texts), clean_long),
        Target("cleaning rules", .045, st.tuples(rules | rules | odd_rules, texts), apply_rule)]
    found += [
        Target("folders", .05, st.tuples(kinds, damages, numbers), with_fixtures(read_folder)),
        Target("predictions", .05, st.tuples(one_or_many, titles), with_fixtures(predict)),
        Target("requests", .03, requests, with_fixtures(request))]
    lines = st.tuples(command_lines())
    return [*found, Target("command lines", .02, lines, with_fixtures(run_command), COMMAND_SECONDS)]


def outcome_of(target, arguments):
    "Use an input and say what came of it."
    signal.alarm(target.seconds)
    try: return target.use(*arguments) or "used"
    except FakeNewsError as error:
        return "long message" if len(str(error)) > LONGEST_MESSAGE else "message"
    except Fault as fault: return str(fault)
    except HangError: return "hang"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt): raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    finally: signal.alarm(0)


def memory_megabytes():
    "What the process holds in memory."
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages*os.sysconf("SC_PAGE_SIZE")/1e6


class Trials:
    "Draws the inputs of a target and counts the outcomes."
    def __init__(self, target, first_seed):
        self.target = target
        self.first_seed = first_seed
        self.counts = Counter()
        self.examples = {}
        self.longest = 0.

    def run(self, n_inputs):
        "Try some inputs; gives a row of the table of results."
        begin = time.perf_counter()
        memory = []
        number = 0
        while self.counts.total() < n_inputs:
            chunk = min(CHUNK, max(LEAST_CHUNK, n_inputs//10), n_inputs - self.counts.total())
            self.run_chunk(chunk, self.first_seed + number)
            number += 1
            if self.counts.total() >= n_inputs*(len(memory) + 1)/10: memory.append(memory_megabytes())
        growth = memory[-1] - memory[len(memory)//2]
        return {"target": self.target.name, "inputs": self.counts.total(), "outcomes": dict(self.counts),
            "longest_seconds": self.longest, "memory_megabytes": memory, "growth_megabytes": growth,
            "seconds": time.perf_counter() - begin}

    def run_chunk(self, n_inputs, number):
        "Try the inputs that a seed draws."
        everything = list(HealthCheck)
        options = settings(max_examples=n_inputs, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=everything)
        seed(number)(options(given(self.target.inputs)(self.trial)))()

    def trial(self, arguments):
        "Try one input."
        begin = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()): outcome = outcome_of(self.target, arguments)
        self.longest = max(self.longest, time.perf_counter() - begin)
        self.counts[outcome] += 1
        if is_fault(outcome) and outcome not in self.examples:
            self.examples[outcome] = repr(arguments)[:1000]
            print(f"{self.target.name}: {outcome}: {self.examples[outcome]}", flush=True)


def is_fault(outcome):
    "Whether an outcome should not be."
    return outcome.startswith(FAULTS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs over all targets")
    parser.add_argument("--only", help="the name of one target, which gets all inputs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent/"results"/"fuzz.json")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, raise_hang)
    fakenews_nb.serving.serve = lambda *_, **__: None # a server would run until it is stopped
    rows = []
    with tempfile.TemporaryDirectory() as work:
        fixtures = make_fixtures(Path(work))
        for target in targets(fixtures):
            if args.only not in (None, target.name): continue
            n_inputs = args.inputs if args.only else max(1, round(target.part*args.inputs))
            rows.append(Trials(target, args.seed).run(n_inputs))
            print(json.dumps(rows[-1]), flush=True)
    about = {"seed": args.seed, "machine": asdict(this_machine()), "versions": versions()}
    write_json({**about, "targets": rows}, args.out)
    n_faults = sum(count for row in rows for outcome, count in row["outcomes"].items() if is_fault(outcome))
    print(f"{sum(row['inputs'] for row in rows):,} inputs, {n_faults:,} faults")
    if n_faults: sys.exit(1)


if __name__ == "__main__": main()
