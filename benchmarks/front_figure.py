"""The figure of the front page: scores on ISOT and on news from elsewhere, with raw and with cleaned texts.

It draws what cleaning_out_of_domain.py has measured, and takes a second.
"""
import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from fakenews_nb.files import read_json
from fakenews_nb.reports import _ACCENT_COLORS, _NEUTRAL_COLOR, new_axes

HERE = Path(__file__).resolve().parent
RESULTS = HERE/"results"/"cleaning_out_of_domain.json"
FIGURE = HERE.parent/"nbs"/"assets"/"in_and_out_of_domain.png"
CORPORA = {"isot": "ISOT\n(in-domain)", "fakenewsamt": "FakeNewsAMT\n(out-of-domain)",
    "horne2017": "Horne 2017\n(out-of-domain)"}
MODELS = {"TF-IDF + LinearSVC": "linear model", "encoder": "transformer"}
LEVELS = {"none": "raw texts", "standard": "cleaned texts"}


def mean_scores(rows):
    "The macro F1 of each model, level and corpus: the mean over the seeds."
    scores = []
    for row in rows:
        if row["cleaning"] not in LEVELS: continue
        for corpus, measured in row["scores"].items():
            named = {"model": MODELS[row["model"]], "level": LEVELS[row["cleaning"]], "corpus": corpus}
            scores.append({**named, "macro_f1": measured["macro_f1"]})
    return pd.DataFrame(scores).groupby(["model", "level", "corpus"]).macro_f1.mean()


def draw(means, path):
    "A dot for each model, level and corpus."
    plt.rc("font", size=12) # large and narrow: it is read on phones, too
    figure, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
    new_axes(ax)
    places = {corpus: place for place, corpus in enumerate(reversed(CORPORA))}
    styles = zip(MODELS.values(), _ACCENT_COLORS, ("o", "s"), (.12, -.12), strict=False)
    for model, color, marker, shift in styles:
        for level in LEVELS.values():
            heights = [places[corpus] + shift for corpus in CORPORA]
            filled = color if level == "cleaned texts" else "white"
            ax.scatter([means[model, level, corpus] for corpus in CORPORA], heights, marker=marker, s=70,
                facecolor=filled, edgecolor=color, linewidth=2, label=f"{model}, {level}", zorder=3)
    ax.axvline(.5, color=_NEUTRAL_COLOR, lw=1, ls="--")
    ax.annotate(" guessing", (.5, 2.42), color="#555555")
    ax.set_yticks(list(places.values()), [CORPORA[corpus] for corpus in places])
    ax.set(xlim=(.38, 1.01), ylim=(-.5, 2.6), xlabel="macro F1 of models trained on ISOT")
    in_domain = means.xs("isot", level="corpus")
    out_of_domain = means.drop("isot", level="corpus")
    lowest, highest = math.floor(in_domain.min()*100)/100, math.ceil(out_of_domain.max()*100)/100
    ax.set_title(f"Above {lowest:.2f} on ISOT, below {highest:.2f} on news from elsewhere", loc="right", fontsize=13)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=200)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIGURE, help="Picture to write (default: that of the front page).")
    args = parser.parse_args()
    means = mean_scores(read_json(RESULTS)["rows"])
    print(means.unstack("corpus").round(3))
    draw(means, args.out)


if __name__ == "__main__": main()
