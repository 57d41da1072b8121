"""The API under 1, 8 and 50 clients, beside a server that calls `pipeline` for each request.

    python benchmarks/api.py --articles isot --path FOLDER --tokenizer MODEL

The model has TinyBERT's shape and random weights, which do not change the time; MODEL is a model folder whose
tokenizer has TinyBERT's vocabulary. Each client sends one real article of 512 tokens, waits for the answer, and sends
the next one. The clients run on the same machine as the server and use some of its processors. The servers take turns,
for several rounds; the table shows medians over the rounds. Writes results/api.json.
"""
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import pandas as pd
from serving import FAKENEWS, add_abstention, article_options, cut_texts, make_model

CLIENTS = (1, 8, 50)
SECONDS = 10. # of each measurement
WARM_UP = 2. # seconds before it
RESULTS = Path(__file__).parent/"results"/"api.json"
WITH_PIPELINE = """
import sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline
classify = pipeline("text-classification", sys.argv[1], device="cpu")
app = FastAPI()
class Article(BaseModel):
    text:str
@app.get("/health")
def health(): return {}
@app.post("/v1/predict")
def predict(article:Article): return classify(article.text, truncation=True)[0]
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


def commands(folder):
    "The servers; each command ends with a port."
    options = ["--no-page", "--requests-per-minute", "0", "--port"]
    def serve(name): return [str(FAKENEWS), "serve", str(folder/name), *options]
    return {
        "FastAPI and pipeline": [sys.executable, "-c", WITH_PIPELINE, str(folder/"pytorch")],
        "fakenews serve, PyTorch": serve("pytorch"),
        "fakenews serve, onnxruntime int8": serve("int8")}


@contextmanager
def running(command):
    "Run a server on a free port; gives its address."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen([*command, port], env=env)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None: raise RuntimeError(f"the server ended with {process.returncode}")
            try: httpx.get(address + "/health")
            except httpx.TransportError: time.sleep(.2)
            else: break
        yield address
    finally:
        process.terminate()
        process.wait(30)


async def ask(client, texts, until, seconds):
    "One client: send an article, wait for the answer, and so on."
    while time.perf_counter() < until:
        start = time.perf_counter()
        answer = await client.post("/v1/predict", json={"text": next(texts)})
        answer.raise_for_status()
        seconds.append(time.perf_counter() - start)


async def answers(address, texts, clients):
    "Seconds of each answer, and answers a second, after a warm-up."
    texts = cycle(texts)
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        for duration in (WARM_UP, SECONDS):
            seconds = []
            start = time.perf_counter()
            await asyncio.gather(*(ask(client, texts, start + duration, seconds) for _ in range(clients)))
            rate = len(seconds)/(time.perf_counter() - start)
    return seconds, rate


def measure(address, texts, clients):
    "One row of the table."
    seconds, rate = asyncio.run(answers(address, texts, clients))
    p50, p95, p99 = (pd.Series(seconds)*1000).quantile([.5, .95, .99])
    return {"answers a second": rate, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99}


def main():
    parser = article_options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name: compare(args, Path(name))


def compare(args, folder):
    "Make the models, measure all servers in turn, print and store the table."
    from fakenews_nb import export_model, load_articles
    from fakenews_nb.runtime import this_machine, versions
    articles = load_articles(args.articles, path=args.path).sample(frac=1, random_state=0)
    make_model(folder/"pytorch", args.tokenizer)
    add_abstention(folder/"pytorch", articles.tail(300))
    export_model(folder/"pytorch", folder/"int8", int8=True, articles=articles.tail(20))
    texts = cut_texts(articles, args.tokenizer)[512]
    rows = []
    for _ in range(args.rounds):
        for server, command in commands(folder).items():
            with running(command) as address:
                for clients in CLIENTS:
                    measured = measure(address, texts, clients)
                    print(server, clients, measured, file=sys.stderr)
                    rows.append({"clients": clients, "server": server, **measured})
    table = pd.DataFrame(rows).groupby(["clients", "server"], sort=False).median().round(1)
    print(table.to_string())
    stored = {"rows": table.reset_index().to_dict("records"), "rounds": args.rounds, "articles": args.articles,
        "machine": this_machine().name, "versions": versions()}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
