"""Fifty clients of the server at the same time, for a minute: latency, errors and memory.

The server runs in a process of its own, with an exported model of TinyBERT's shape and random weights. Each client
sends an article, waits for the answer and sends the next one at once; every tenth request is a batch, and every
fiftieth one cannot be answered (no JSON, an unknown field, too many articles) and must end in a message. The clients
share the processors with the server. Growth is the memory of the last ten seconds less that of the ten seconds after
the first ten, medians. Writes results/many_clients.json. Needs Linux.

    python benchmarks/many_clients.py
    python benchmarks/many_clients.py --clients 8 --seconds 10
"""
import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import httpx
import numpy as np
from determinism import make_model

from fakenews_nb.export import export_model
from fakenews_nb.files import write_json
from fakenews_nb.runtime import this_machine, versions
from fakenews_nb.sample import sample_articles
from fakenews_nb.splits import prepare
from fakenews_nb.tokenization import TextPipeline

RESULTS = Path(__file__).parent/"results"/"many_clients.json"
FAKENEWS = Path(sys.executable).parent/"fakenews"
WARM_UP = 10 # seconds before memory is looked at
ODD_BODIES = (b"{", b'{"headline": "x"}', b'{"articles": []}', b"[" * 10_000, b'{"text": 7}')


def make_detector(work):
    "An exported model folder of TinyBERT's shape."
    prepare("sample", work/"prepared")
    model = make_model(work/"model", work/"prepared")
    TextPipeline().save(model)
    export_model(model, work/"exported")
    return work/"exported"


def start_server(folder, log):
    "Start the server on a free port; gives the process and its address."
    words = [str(FAKENEWS), "serve", str(folder), "--no-page", "--port", "0", "--requests-per-minute", "0"]
    server = subprocess.Popen(words, stderr=log.open("w"))
    while "serving on" not in log.read_text():
        if server.poll() is not None: sys.exit(log.read_text())
        time.sleep(.1)
    address = log.read_text().partition("serving on ")[2].split()[0]
    return server, address


def memory_megabytes(process):
    "What a process holds in memory."
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages*os.sysconf("SC_PAGE_SIZE")/1e6


class Load:
    "The clients, and what they saw."
    def __init__(self, address, texts, seconds):
        self.address = address
        self.texts = texts
        self.end = time.perf_counter() + seconds
        self.latencies = []
        self.statuses = Counter()
        self.faults = Counter()
        self.n_articles = 0

    async def client(self, number):
        "Send one request after the other."
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as client:
            count = number # so that the clients do not send the same kind at the same time
            while time.perf_counter() < self.end:
                count += 1
                if count % 50 == 0: await self.send_odd(client, ODD_BODIES[count//50 % len(ODD_BODIES)])
                elif count % 10 == 0: await self.send(client, "/v1/predict/batch", self.batch(count), 8)
                else: await self.send(client, "/v1/predict", self.article(count), 1)

    def article(self, number): return {"title": "A title", "text": self.texts[number % len(self.texts)]}

    def batch(self, number): return {"articles": [self.article(number + place) for place in range(8)]}

    async def send(self, client, address, body, n_articles):
        "Send articles, and note how long the answer took."
        begin = time.perf_counter()
        try: answer = await client.post(address, json=body)
        except httpx.HTTPError as error:
            self.faults[type(error).__name__] += 1
            return
        self.latencies.append(time.perf_counter() - begin)
        self.statuses[answer.status_code] += 1
        self.n_articles += n_articles
        if answer.status_code != 200: self.faults[f"status {answer.status_code}"] += 1

    async def send_odd(self, client, content):
        "Send what cannot be answered; the answer must say why."
        headers = {"content-type": "application/json"}
        try: answer = await client.post("/v1/predict/batch", content=content, headers=headers)
        except httpx.HTTPError as error:
            self.faults[type(error).__name__] += 1
            return
        self.statuses[answer.status_code] += 1
        if not 400 <= answer.status_code < 500 or "error" not in answer.json(): self.faults["an odd request"] += 1


async def watch(process, end, memory):
    "Note the memory of the server every second."
    while time.perf_counter() < end:
        memory.append(memory_megabytes(process))
        await asyncio.sleep(1)


async def run_clients(load, n_clients, process):
    "Run all clients; gives the memory of the server, second by second."
    memory = []
    clients = [load.client(number) for number in range(n_clients)]
    await asyncio.gather(watch(process, load.end, memory), *clients)
    return memory


def summary(load, memory, args):
    "What the file of results holds."
    latency = {f"p{percent}": float(np.percentile(load.latencies, percent)) for percent in (50, 90, 99)}
    latency["longest"] = max(load.latencies)
    after_warm_up = memory[WARM_UP:2*WARM_UP] or memory
    growth = np.median(memory[-WARM_UP:]) - np.median(after_warm_up)
    return {"clients": args.clients, "seconds": args.seconds, "requests": load.statuses.total(),
        "articles_per_second": load.n_articles/args.seconds, "latency_seconds": latency,
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "faults": dict(load.faults), "memory_megabytes": memory, "growth_megabytes": float(growth)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    texts = [text for text in sample_articles().text if isinstance(text, str)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        server, address = start_server(make_detector(work), work/"log.txt")
        try:
            load = Load(address, texts, args.seconds)
            memory = asyncio.run(run_clients(load, args.clients, server.pid))
        finally:
            server.terminate()
            server.wait()
    results = summary(load, memory, args)
    about = {"machine": asdict(this_machine()), "versions": versions()}
    write_json(about | results, args.out)
    print(results)
    if load.faults: sys.exit(1)


if __name__ == "__main__": main()
