"""How readable the exported code is, beside well-known packages: long lines, dense statements, private names.

    python benchmarks/readability.py                      # this package, its tests and its benchmarks
    python benchmarks/readability.py fastcore setfit      # and installed packages, or folders of source files

A dense statement has more than 40 nodes in Python's syntax tree. Of a compound statement, only its parts are counted.
"""
import ast
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPOUND = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With, ast.Try)
NO_NODE = (ast.Load, ast.Store, ast.arguments, ast.arg)
MAX_LINE, MAX_NODES = 120, 40


def nodes(statement):
    "The size of a statement: nodes of its syntax tree, without contexts and parameters."
    return sum(not isinstance(node, NO_NODE) for node in ast.walk(statement))


def public_names(tree):
    "The names in a module's `__all__`."
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            try: return len(ast.literal_eval(node.value))
            except ValueError: return 0
    return 0


def without_names_list(source, tree):
    "The lines of a module, without blank ones and without `__all__`."
    generated = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            generated.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return [line for number, line in lines if line.strip() and number not in generated]


def measure(folder):
    "Counts over the Python files of a folder."
    found = dict(lines=0, long_lines=0, statements=0, dense_statements=0, definitions=0, private=0, public_names=0)
    for path in sorted(Path(folder).rglob("*.py")):
        if path.name == "_modidx.py": continue
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        lines = without_names_list(source, tree)
        simple = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and not isinstance(node, COMPOUND)]
        defined = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        found["lines"] += len(lines)
        found["long_lines"] += sum(len(line) > MAX_LINE for line in lines)
        found["statements"] += len(simple)
        found["dense_statements"] += sum(nodes(statement) > MAX_NODES for statement in simple)
        found["definitions"] += len(defined)
        found["private"] += sum(name.startswith("_") for name in defined)
        found["public_names"] += public_names(tree)
    return found


def percentages(found):
    "The measures that the project sets itself, in per cent."
    return {
        "long lines": 100*found["long_lines"]/max(found["lines"], 1),
        "dense statements": 100*found["dense_statements"]/max(found["statements"], 1),
        "private definitions": 100*found["private"]/max(found["definitions"], 1)}


def folder_of(name):
    "The source folder of an installed package, or the folder itself."
    if Path(name).is_dir(): return Path(name)
    spec = find_spec(name)
    if spec is None or spec.origin is None: sys.exit(f"{name} is neither a folder nor an installed package")
    return Path(spec.origin).parent


def main(folders):
    "Print a row per folder."
    heads = ["", "lines", "> 120", "statements", "> 40 nodes", "definitions", "private", "in __all__"]
    print("".join(f"{head:>13}" for head in heads))
    for folder in folders:
        found = measure(folder)
        percent = percentages(found)
        row = [folder.name, f"{found['lines']:,}", f"{percent['long lines']:.2f} %"]
        row += [f"{found['statements']:,}", f"{percent['dense statements']:.2f} %"]
        row += [f"{found['definitions']:,}", f"{percent['private definitions']:.1f} %", f"{found['public_names']:,}"]
        print("".join(f"{cell:>13}" for cell in row))


if __name__ == "__main__":
    ours = [ROOT/"fakenews_nb", ROOT/"tests", ROOT/"benchmarks"]
    main(ours + [folder_of(name) for name in sys.argv[1:]])
