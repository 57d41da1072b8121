"The server over real connections: answers, limits, hostile requests, many clients, and the page in a browser."
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import COMMAND, ONE_THREAD, ROOT, fakenews

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def server(*arguments):
    "Run `fakenews serve` on a free port; gives its address."
    with running([COMMAND, "serve", *arguments, "--port"]) as address: yield address


@contextmanager
def running(command):
    "Run a command that ends with a free port; gives the address of its server."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**ONE_THREAD, "PORT": str(port)}
    process = subprocess.Popen([*map(str, command), str(port)], stderr=subprocess.PIPE, text=True, env=env)
    address = f"http://localhost:{port}"
    try:
        wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address, process):
    "Wait until a server answers."
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read()
        try:
            if httpx.get(address + "/health").status_code == 200: return
        except httpx.TransportError: time.sleep(.2)
    raise AssertionError("the server does not answer")


@pytest.fixture(scope="module")
def address(exported):
    "A server without the page and with small limits."
    limits = ("--max-articles", "20", "--max-megabytes", "1", "--max-seconds", "2", "--requests-per-minute", "0")
    with server(exported, "--no-page", *limits) as address: yield address


def predict(address, **article):
    "Ask for one verdict."
    return httpx.post(address + "/v1/predict", json=article, timeout=60)


# ---- answers ---------------------------------------------------------------------------------------------------------

def test_answers_like_the_detector(address, exported):
    from fakenews_nb.detector import Detector
    verdict = Detector.load(exported).predict("The council met on Monday.", "Council meets")
    answer = predict(address, title="Council meets", text="The council met on Monday.").json()
    assert answer["label"] == verdict.label
    assert np.isclose(answer["probability"], verdict.probability, atol=1e-6)
    assert set(answer) == set(verdict._fields)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_one_line_of_curl(address):
    body = '{"title": "A title", "text": "A body."}'
    line = ["curl", "-s", address + "/v1/predict", "-H", "Content-Type: application/json", "-d", body]
    assert json.loads(subprocess.check_output(line))["label"] in ("fake", "real")


def test_many_clients_get_their_own_answers(address, exported, prepared):
    from fakenews_nb.detector import Detector
    articles = pd.read_parquet(prepared/"test.parquet").head(60)
    pairs = list(zip(articles.title, articles.text, strict=True))
    expected = Detector.load(exported).predict([text for _, text in pairs], [title for title, _ in pairs])
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda pair: predict(address, title=pair[0], text=pair[1]).json(), pairs))
    for answer, verdict in zip(answers, expected, strict=True):
        assert answer["label"] == verdict.label
        assert np.isclose(answer["probability"], verdict.probability, atol=1e-5)


def test_a_batch_keeps_its_order(address):
    texts = [f"Article {number} about the council." for number in range(20)]
    answers = httpx.post(address + "/v1/predict/batch", json={"articles": [{"text": text} for text in texts]}).json()
    alone = [predict(address, text=text).json() for text in texts]
    for answer, one in zip(answers["verdicts"], alone, strict=True):
        assert np.isclose(answer["probability"], one["probability"], atol=1e-5)


def test_an_answer_is_sent_at_once(address):
    "Where Nagle's algorithm is left on, the second half of an answer waits 40 ms for an acknowledgement."
    seconds = []
    with httpx.Client(base_url=address) as client:
        for _ in range(31):
            start = time.perf_counter()
            client.post("/v1/predict", json={"text": "The council met."})
            seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < .03


ODD = ["\0\1\2 council", "<script>alert(1)</script> council", "=1+1", "word "*100_000, "é"*9]


@pytest.mark.parametrize("text", ODD, ids=["control", "HTML", "formula", "long", "one word"])
def test_odd_texts_get_an_answer(address, text):
    answer = predict(address, text=text)
    assert answer.status_code == 200
    assert 0 <= answer.json()["probability"] <= 1


def test_half_a_surrogate_pair_is_no_crash(address):
    headers = {"content-type": "application/json"}
    answer = httpx.post(address + "/v1/predict", content=rb'{"text": "half \ud800 a pair"}', headers=headers)
    assert answer.status_code in (200, 422)


# ---- refusals --------------------------------------------------------------------------------------------------------

def refusal(answer):
    "Status and text of an error, which has the documented form."
    error = answer.json()["error"]
    assert set(error) == {"what", "where", "fix"}
    return answer.status_code, error["what"]


def test_a_body_that_is_not_json(address):
    answer = httpx.post(address + "/v1/predict", content=b"text=hello", headers={"content-type": "application/json"})
    assert refusal(answer) == (400, "the body is not JSON")


def test_a_misspelt_field_is_named(address):
    answer = predict(address, title="A title", body="A body")
    assert refusal(answer)[0] == 422
    assert answer.json()["error"]["where"] == "body"
    assert "A body" not in answer.text


def test_too_many_articles(address):
    answer = httpx.post(address + "/v1/predict/batch", json={"articles": [{"text": "a"}]*21})
    assert refusal(answer)[0] == 413


def test_a_large_body(address):
    assert refusal(predict(address, text="x"*1_100_000))[0] == 413


def test_a_large_body_without_a_length(address):
    def pieces():
        for _ in range(30): yield b"x"*100_000
    answer = httpx.post(address + "/v1/predict", content=pieces(), headers={"content-type": "application/json"})
    assert refusal(answer)[0] == 413


def test_a_slow_body(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        lines = ["POST /v1/predict HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 99"]
        connection.sendall("\r\n".join([*lines, "", '{"text"']).encode())
        start = time.monotonic()
        answer = connection.recv(4096)
    assert b" 408 " in answer.splitlines()[0]
    assert time.monotonic() - start < 10


def test_other_names_and_hosts_are_refused(address):
    assert refusal(httpx.get(address + "/health", headers={"host": "evil.test"}))[0] == 400
    for path in ("/gradio_api/file=https://example.test/x", "/gradio_api/proxy=https://example.test/x"):
        assert httpx.get(address + path).status_code == 404


def test_the_port_is_in_use(exported):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, messages = fakenews("serve", exported, "--no-page", "--port", port, code=2)
    assert "cannot listen" in messages
    assert str(port) in messages


def test_too_many_requests_and_too_many_waiting(exported):
    "The model is slow here, so that requests have to wait."
    from fastapi.testclient import TestClient

    from fakenews_nb.detector import Detector
    from fakenews_nb.serving import Limits, make_app
    detector = Detector.load(exported)
    busy = threading.Event()

    class Slow(Detector):
        def _verdicts(self, titles, bodies, progress=True):
            busy.wait(20)
            return super()._verdicts(titles, bodies, progress)
    slow = Slow(detector.model, detector.text_pipeline, detector.abstention)
    app = make_app(slow, page=False, only_local=False, limits=Limits(waiting=3))
    with TestClient(app) as client, ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(client.post, "/v1/predict", json={"text": "The council met."}) for _ in range(12)]
        time.sleep(1)
        busy.set()
        codes = [one.result().status_code for one in waiting]
    assert codes.count(503) >= 7
    assert codes.count(200) >= 3


# ---- the page --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def page_address(run_folder):
    "A server with the page."
    pytest.importorskip("gradio")
    with server(run_folder, "--error-rate", "0.1") as address: yield address


@pytest.fixture(scope="module")
def browser():
    "Chromium."
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None: pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script> **The** council met. They lie to you!'


def open_page(browser, address, **settings):
    "Open the page; gives the page and the list of addresses that it asks for."
    page = browser.new_page(**settings)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="Predict", exact=True).wait_for(timeout=60_000)
    return page, asked, errors


def save_screenshot(page, name):
    "Keep a picture where FAKENEWS_SCREENSHOTS names a folder."
    folder = os.environ.get("FAKENEWS_SCREENSHOTS")
    if folder: page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_page_predicts_an_article(browser, page_address, width, scheme):
    page, asked, errors = open_page(browser, page_address, viewport={"width": width, "height": 900},
        color_scheme=scheme)
    page.get_by_label("Headline").fill("A headline")
    page.get_by_label("Body").fill(HOSTILE)
    page.get_by_role("button", name="Predict", exact=True).click()
    page.get_by_role("heading", name="Reads like").or_(page.get_by_role("heading", name="Too uncertain")).wait_for()
    page.get_by_text("Nobody checked a fact").wait_for()
    page.get_by_role("heading", name="Which sentences weighed most?").wait_for()
    page.wait_for_timeout(1000)
    save_screenshot(page, f"article-{width}-{scheme}")
    assert page.evaluate("window.pwned") is None
    assert not errors
    foreign = [url for url in asked if not url.startswith((page_address, "data:", "blob:"))]
    assert foreign == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_page_predicts_a_file(browser, page_address, tmp_path):
    (tmp_path/"news.csv").write_text("headline,body\n=1+1,The council met.\nThey lie!,You will not believe it!\n")
    page, asked, errors = open_page(browser, page_address, viewport={"width": 1280, "height": 900})
    page.get_by_role("tab", name="File").click()
    page.locator("input[type=file]").set_input_files(tmp_path/"news.csv")
    page.get_by_label("news.csv", exact=True).wait_for()
    page.get_by_role("button", name="Predict the file").click()
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.get_by_label("Result")).to_have_value(re.compile("name them above"))
    page.get_by_role("button", name="Other column names").click()
    page.get_by_label("Column of headlines").fill("headline")
    page.get_by_label("Column of bodies").fill("body")
    page.get_by_role("button", name="Predict the file").click()
    expect(page.get_by_label("Result")).to_have_value("2 articles predicted.")
    page.wait_for_timeout(1000)
    save_screenshot(page, "file")
    with page.expect_download() as download: page.locator("a[download]").last.click()
    written = download.value.path().read_text()
    assert written.count("\n") == 3
    assert "'=1+1" in written
    left = list(Path(tempfile.gettempdir()).glob("fakenews-*/*-verdicts.csv"))
    assert left == []
    page.get_by_role("tab", name="About").click()
    page.get_by_text("What it is not").wait_for()
    save_screenshot(page, "about")
    assert not errors
    assert all(url.startswith((page_address, "data:", "blob:")) for url in asked)
    page.close()


def test_page_makes_no_request_for_a_visitor(page_address):
    "Gradio's own addresses that fetch from elsewhere are closed."
    assert httpx.get(page_address + "/gradio_api/file=http://127.0.0.1:9/x").status_code == 404
    assert httpx.get(page_address + "/gradio_api/file=/etc/passwd").status_code in (403, 404)


def test_page_downloads_nothing_for_a_visitor(page_address):
    "Gradio would download a file that is given as a link."
    asked = []
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen()
        elsewhere.settimeout(3)
        link = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/news.csv"
        functions = httpx.get(page_address + "/config").json()["dependencies"]
        of_a_file = next(function["id"] for function in functions if len(function["inputs"]) == 3)
        given = {"path": link, "meta": {"_type": "gradio.FileData"}}
        request = {"data": [given, "", ""], "fn_index": of_a_file, "session_hash": "a"}
        answer = httpx.post(page_address + "/gradio_api/queue/join", json=request)
        try: asked.append(elsewhere.accept())
        except TimeoutError: pass
    assert refusal(answer) == (400, "a file was given as a link")
    assert not asked


def test_page_with_a_full_disk(exported, tmp_path):
    "A visitor hears that the result could not be stored, and no path of the server."
    pytest.importorskip("gradio")
    resource = pytest.importorskip("resource")
    from fakenews_nb.detector import Detector
    from fakenews_nb.page import _answer_file
    pd.DataFrame({"text": ["The council met."]*200}).to_csv(tmp_path/"news.csv", index=False)
    detector = Detector.load(exported)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try: message, download = _answer_file(detector, str(tmp_path/"news.csv"), tmp_path, 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert message["value"].startswith("The server could not store the result.")
    assert str(tmp_path) not in message["value"]
    assert download["value"] is None
    assert not (tmp_path/"news-verdicts.csv").exists()


def test_serve_needs_no_torch(exported):
    "An exported folder is served without the heavy packages."
    from test_light import BLOCKED
    code = """
from fastapi.testclient import TestClient
from fakenews_nb import Detector
from fakenews_nb.serving import make_app
client = TestClient(make_app(Detector.load(sys.argv[1]), page=False, only_local=False))
print(client.post("/v1/predict", json={"text": "The council met."}).json()["label"])
"""
    answer = subprocess.check_output([sys.executable, "-c", BLOCKED + code, str(exported)], text=True)
    assert answer.strip() in ("fake", "real")


def test_a_rule_that_backtracks_for_ever_is_stopped(exported):
    "A model folder from elsewhere may bring such a rule; the server must not hang."
    from fakenews_nb.cleaning import Rule
    from fakenews_nb.core import DataError
    from fakenews_nb.detector import Detector
    from fakenews_nb.tokenization import TextPipeline
    detector = Detector.load(exported)
    endless = Rule("endless", r"(a|aa)+$", "", "a test")
    hostile = Detector(detector.model, TextPipeline((endless,)), detector.abstention)
    start = time.monotonic()
    with pytest.raises(DataError, match="'endless' takes more than 2 seconds"): hostile.predict("a"*80 + "!")
    assert time.monotonic() - start < 60


def test_the_space(exported, tmp_path):
    "The files of a Hugging Face Space start the page and the API."
    pytest.importorskip("gradio")
    shutil.copytree(ROOT/"deploy"/"space", tmp_path/"space")
    shutil.copytree(exported, tmp_path/"space"/"model")
    with running([sys.executable, tmp_path/"space"/"app.py"]) as address:
        assert predict(address, text="The council met.").json()["label"] in ("fake", "real")
        assert "Fake-news detector" in httpx.get(address).text
