"""Labels that OpenVINO's int8 changes, for several exponents of SmoothQuant.

    python benchmarks/int8_smoothing.py RUN PREPARED

RUN is a run folder of `fakenews train`, PREPARED the folder that it was trained on.
The exponent is chosen on validation articles: the test articles are for the exported folder's own card.
Writes results/int8_smoothing.json.
"""
import argparse
import json
import tempfile
from pathlib import Path

EXPONENTS = (.3, .5, .65, .8, .95) # .95 is NNCF's default
RESULTS = Path(__file__).parent/"results"/"int8_smoothing.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("prepared", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name: compare(args, Path(name))


def compare(args, folder):
    "Export with each exponent, count the labels that change, print and store the table."
    from fakenews_nb import export, load_prepared, predict
    from fakenews_nb.cleaning import Rule
    from fakenews_nb.runtime import this_machine, versions
    dataset, manifest = load_prepared(args.prepared)
    train, validation = dataset["train"].to_pandas(), dataset["validation"].to_pandas()
    rules = tuple(Rule(**rule) for rule in manifest["rules"])
    before = predict(args.run, validation, rules).predicted
    rows = []
    for exponent in EXPONENTS:
        export._SMOOTHING = exponent
        out = folder/str(exponent)
        export.export_model(args.run, out, int8=True, engine="openvino", articles=validation.head(8), calibration=train,
            cleaned_by=rules)
        changed = int((predict(out, validation, rules).predicted != before).sum())
        rows.append({"exponent": exponent, "labels changed": changed, "articles": len(validation)})
        print(rows[-1])
    stored = {"rows": rows, "machine": this_machine().name, "versions": versions()}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
