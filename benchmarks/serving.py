"""Latency, throughput, cold start, size and memory of a detector, beside what people use otherwise.

    python benchmarks/serving.py --articles isot --path FOLDER --tokenizer MODEL

The model has TinyBERT's shape and random weights, which do not change the time; MODEL is a model folder whose
tokenizer has TinyBERT's vocabulary. The articles are real. Each side runs in a process of its own, all sides in turn,
for several rounds; the tables show medians over the rounds. Writes results/serving.json.

- Latency: 1, 8 or 32 articles of 64 to 512 tokens, on one and on all processors; the first calls are not measured.
- Throughput: test articles as they are, at most 512 tokens each, with cleaning and tokenization.
- Cold start: a process from its start to its first answer.

`pipeline` and `Trainer.predict` are those of transformers; the texts of `pipeline` are not cleaned.
`Trainer.predict` pads every article to 512 tokens, as the source notebook does.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from speed import SHAPE

TOKENS = (64, 128, 256, 512)
BATCHES = (1, 8, 32)
MAX_TOKENS = 4096 # of a measured call: 32 articles of 512 tokens would take seconds
THROUGHPUT = 192 # articles
SECONDS = 2. # that a latency is measured for, at least
LEAST_CALLS = 5
RESULTS = Path(__file__).parent/"results"/"serving.json"
FOLDERS = ("pytorch", "fp32", "int8", "openvino_bf16", "openvino_int8")
FAKENEWS = Path(sys.executable).parent/"fakenews"


def article_options(description):
    "A parser with the options for articles and tokenizer that several benchmarks share."
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", default="isot", help="name of a corpus, or a file of articles")
    parser.add_argument("--path", help="folder of the corpus")
    parser.add_argument("--tokenizer", help="model folder with TinyBERT's vocabulary")
    return parser


# ---- the models ------------------------------------------------------------------------------------------------------

def make_model(folder, tokenizer_folder):
    "Write a model folder of TinyBERT's shape."
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from fakenews_nb.core import ID2LABEL, LABEL2ID
    from fakenews_nb.tokenization import TextPipeline
    torch.manual_seed(0)
    config = BertConfig(**SHAPE, id2label=ID2LABEL, label2id=LABEL2ID)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.model_max_length = SHAPE["max_position_embeddings"]
    tokenizer.save_pretrained(folder)
    TextPipeline().save(folder)


def add_abstention(folder, articles):
    "Give a model folder the rules that a finished run has."
    from fakenews_nb.abstention import fit_abstention
    from fakenews_nb.evaluation import Predictions, article_outputs
    outputs = article_outputs(folder, articles)
    labels = articles.label.to_numpy(dtype=int)
    fit_abstention(Predictions(articles, outputs.logits), outputs.embeddings, outputs.embeddings, labels).save(folder)


def cut_texts(articles, tokenizer_folder):
    "Texts of about as many tokens as asked for, cut from long articles: tokens -> 32 texts."
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    long = [text for text in articles.text if isinstance(text, str) and len(text) > 5000][:32]
    texts = {tokens: [] for tokens in TOKENS}
    for text in long:
        places = tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        for tokens in TOKENS: texts[tokens].append(text[:places[tokens - 3][1]] if tokens < 512 else text)
    return texts


# ---- the sides: each gives a function from raw texts to answers ------------------------------------------------------

def pipeline_side(folders, threads):
    from transformers import pipeline
    classify = pipeline("text-classification", str(folders["pytorch"]), device="cpu")
    return lambda texts: classify(texts, truncation=True, batch_size=len(texts))


def trainer_side(folders, threads):
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    from fakenews_nb.models import load_classifier
    from fakenews_nb.tokenization import TextPipeline
    model, tokenizer = load_classifier(folders["pytorch"])
    pipeline = TextPipeline.load(folders["pytorch"])
    settings = TrainingArguments(output_dir=str(folders["pytorch"].parent/"trainer"), per_device_eval_batch_size=32,
        use_cpu=True, report_to="none", disable_tqdm=True)
    trainer = Trainer(model, settings)

    def predict(texts):
        cleaned = pipeline.texts({"title": [None]*len(texts), "text": texts})
        tokens = tokenizer(cleaned, truncation=True, padding="max_length", max_length=512)
        return trainer.predict(Dataset.from_dict(dict(tokens))).predictions
    return predict


def detector_side(name):
    def side(folders, threads):
        from fakenews_nb import Detector
        detector = Detector.load(folders[name], threads=threads)
        return lambda texts: detector.predict(list(texts))
    return side


def linear_side(folders, threads):
    from fakenews_nb import fit_baseline
    from fakenews_nb.cleaning import RULES
    train = pd.read_parquet(folders["train"])
    baseline = fit_baseline("linear_svc", train, RULES)
    return lambda texts: baseline.predict_logits(pd.DataFrame({"title": "", "text": texts}, dtype=object))


SIDES = {
    "pipeline": pipeline_side,
    "Trainer.predict, static padding": trainer_side,
    "Detector, PyTorch": detector_side("pytorch"),
    "Detector, onnxruntime fp32": detector_side("fp32"),
    "Detector, onnxruntime int8": detector_side("int8"),
    "Detector, OpenVINO bf16": detector_side("openvino_bf16"),
    "Detector, OpenVINO int8": detector_side("openvino_int8"),
    "LinearSVC": linear_side}


# ---- measuring, in a process of its own ------------------------------------------------------------------------------

def call_seconds(predict, texts):
    "Seconds of repeated calls."
    predict(texts)
    seconds = []
    end = time.perf_counter() + SECONDS
    while len(seconds) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        predict(texts)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure(side, threads, folder):
    "Measure one side; prints JSON."
    folders = {path.stem if path.suffix else path.name: path for path in Path(folder).iterdir()}
    texts = {int(tokens): listed for tokens, listed in json.loads(folders["texts"].read_text()).items()}
    predict = SIDES[side](folders, threads)
    rows = []
    for tokens in TOKENS:
        for n_articles in BATCHES:
            if n_articles > 1 and n_articles*tokens > MAX_TOKENS: continue
            seconds = call_seconds(predict, texts[tokens][:n_articles])
            rows.append({"tokens": tokens, "articles": n_articles, "seconds": seconds})
    articles = pd.read_parquet(folders["articles"]).text.tolist()
    start = time.perf_counter()
    predict(articles)
    seconds = time.perf_counter() - start
    print(json.dumps({"latency": rows, "throughput": len(articles)/seconds, "megabytes": peak_megabytes()}))


def peak_megabytes():
    "The peak memory of this process since it began; `getrusage` would count the parent process, too."
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])/1024


def run_side(side, threads, folder):
    "Measure one side in a new process."
    command = [sys.executable, __file__, "--side", side, "--threads", str(threads), "--folder", str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode: raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def cold_starts(folders, rounds):
    "Seconds of whole processes that answer one text, in turn."
    text = "The council met on Monday to review the budget."
    with_pipeline = ("import sys; from transformers import pipeline; "
        "print(pipeline('text-classification', sys.argv[1], device='cpu')(sys.argv[2]))")
    commands = {
        "pipeline": [sys.executable, "-c", with_pipeline, str(folders["pytorch"]), text],
        "fakenews predict, PyTorch": [str(FAKENEWS), "predict", str(folders["pytorch"]), text],
        "fakenews predict, onnxruntime fp32": [str(FAKENEWS), "predict", str(folders["fp32"]), text],
        "fakenews predict, onnxruntime int8": [str(FAKENEWS), "predict", str(folders["int8"]), text],
        "fakenews predict, OpenVINO int8": [str(FAKENEWS), "predict", str(folders["openvino_int8"]), text]}
    seconds = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            seconds[name].append(time.perf_counter() - start)
    return seconds


# ---- tables ----------------------------------------------------------------------------------------------------------

def latency_table(rows):
    "Milliseconds of a call: 50th, 95th and 99th percentile over all rounds."
    table = pd.DataFrame(rows).explode("seconds")
    table["ms"] = table.seconds.astype(float)*1000
    by = table.groupby(["threads", "tokens", "articles", "side"], sort=False).ms
    return by.quantile([.5, .95, .99]).unstack().round(1).rename(columns={.5: "p50", .95: "p95", .99: "p99"})


def folder_megabytes(folder): return sum(path.stat().st_size for path in folder.iterdir())/1e6


def main():
    parser = article_options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="*", default=list(SIDES), help="only these")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        measure(args.side, args.threads, args.folder)
        return
    with tempfile.TemporaryDirectory() as name: compare(args, Path(name))


def compare(args, folder):
    "Make the models and the texts, measure all sides in turn, print and store the tables."
    from fakenews_nb import export_model, load_articles
    from fakenews_nb.runtime import this_machine, versions
    articles = load_articles(args.articles, path=args.path).sample(frac=1, random_state=0)
    make_model(folder/"pytorch", args.tokenizer)
    add_abstention(folder/"pytorch", articles.tail(300))
    export_model(folder/"pytorch", folder/"fp32")
    few = {"int8": True, "articles": articles.tail(20)}
    export_model(folder/"pytorch", folder/"int8", **few)
    export_model(folder/"pytorch", folder/"openvino_bf16", engine="openvino")
    export_model(folder/"pytorch", folder/"openvino_int8", engine="openvino", calibration=articles.tail(300), **few)
    (folder/"texts.json").write_text(json.dumps(cut_texts(articles, args.tokenizer)))
    articles.head(THROUGHPUT).to_parquet(folder/"articles.parquet")
    articles.iloc[THROUGHPUT:].to_parquet(folder/"train.parquet")
    latency, throughput, memory = [], [], []
    for _ in range(args.rounds):
        for threads in sorted({1, this_machine().cpus}):
            for side in args.sides:
                result = run_side(side, threads, folder)
                latency += [{"side": side, "threads": threads, **row} for row in result["latency"]]
                throughput.append({"side": side, "threads": threads, "articles_per_second": result["throughput"]})
                memory.append({"side": side, "threads": threads, "megabytes": result["megabytes"]})
                print(f"{side}, {threads} threads: {result['throughput']:.1f} articles a second", file=sys.stderr)
    folders = {name: folder/name for name in FOLDERS}
    starts = cold_starts(folders, max(5, args.rounds))
    tables = {
        "latency in ms": latency_table(latency),
        "articles per second": pd.DataFrame(throughput).groupby(["threads", "side"], sort=False).median().round(1),
        "peak memory in MB": pd.DataFrame(memory).groupby(["threads", "side"], sort=False).median().round(0),
        "cold start in s": pd.DataFrame({name: {"median": np.median(s)} for name, s in starts.items()}).T.round(2),
        "size in MB": pd.DataFrame({name: {"MB": folder_megabytes(path)} for name, path in folders.items()}).T.round(2)}
    for title, table in tables.items(): print(f"\n{title}\n{table.to_string()}")
    stored = {title: table.reset_index().to_dict("records") for title, table in tables.items()}
    stored |= {"machine": this_machine().name, "versions": versions(), "articles": args.articles}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
