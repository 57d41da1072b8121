"A model is pushed to a stand-in of the Hugging Face Hub: what arrives, and what does not."
import base64
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from conftest import COMMAND


def is_private(created):
    "Whether a repository was created as a private one; older versions of huggingface_hub say it otherwise."
    return created.get("visibility") == "private" or created.get("private") is True


class StandIn(BaseHTTPRequestHandler):
    "Answers the requests of one upload, and keeps what arrives."
    received: dict
    def do_GET(self):
        if not self.headers.get("Authorization"):
            self.answer({"error": "Invalid username or password."}, 401)
            return
        is_public = self.received.get("is_public", not is_private(self.received.get("created", {})))
        self.answer({"id": "anna/detector", "sha": "0"*40, "private": not is_public})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if not self.headers.get("Authorization"):
            self.answer({"error": "Invalid username or password."}, 401)
            return
        if self.path.endswith("/api/repos/create"):
            self.received["created"] = json.loads(body)
            self.answer({"url": f"http://{self.headers['Host']}/anna/detector", "name": "anna/detector"})
        elif self.path.endswith("/api/validate-yaml"): self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]]
            self.answer({"files": files})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            self.received["files"] = {file["path"]: base64.b64decode(file["content"]) for file in files}
            url = f"http://{self.headers['Host']}/anna/detector/commit/{'0'*40}"
            self.answer({"commitUrl": url, "commitOid": "0"*40, "hookOutput": ""})
        else: self.answer({}, 404)

    def answer(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_): pass


@pytest.fixture
def hub():
    "The stand-in; gives its address and what it received."
    received = {}
    handler = type("Handler", (StandIn,), {"received": received})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()


def push(address, *arguments, **variables):
    "Run `fakenews push` against the stand-in."
    hub = {"HF_ENDPOINT": address, "HF_TOKEN": "hf_token", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    env = {**os.environ, **hub, **variables}
    command = [str(COMMAND), "push", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


def test_pushes_the_model_and_nothing_else(run_folder, hub, prepared):
    address, received = hub
    done = push(address, run_folder, "anna/detector", "--license", "apache-2.0")
    assert done.returncode == 0, done.stderr
    assert is_private(received["created"])
    files = received["files"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "text_pipeline.json", "README.md"} <= set(files)
    assert not [name for name in files if "checkpoint" in name or name.endswith((".parquet", ".bin", ".pt", ".html"))]
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert head["license"] == "apache-2.0"
    assert head["model-index"][0]["results"]
    everything = b"\n".join(content for name, content in files.items() if name != "tokenizer.json")
    assert str(run_folder).encode() not in everything
    assert str(prepared).encode() not in everything
    assert (run_folder/"model"/"README.md").read_bytes() != files["README.md"] # the license is in the upload only


def test_pushes_an_exported_folder(run_folder, hub, tmp_path):
    from fakenews_nb.export import export_model
    address, received = hub
    export_model(run_folder, tmp_path/"exported")
    (tmp_path/"exported"/"training_articles.csv").write_text("a text of training")
    done = push(address, tmp_path/"exported", "anna/detector", "--public")
    assert done.returncode == 0, done.stderr
    assert "not uploaded: training_articles.csv" in done.stderr
    assert "states no license" in done.stderr
    assert not is_private(received["created"])
    assert {"model.onnx", "detector.json", "requirements.txt", "README.md"} <= set(received["files"])
    assert "training_articles.csv" not in received["files"]


@pytest.mark.parametrize("is_public, options, found", [(True, [], "is public"), (False, ["--public"], "is private")])
def test_a_repository_of_another_visibility_is_refused(run_folder, hub, is_public, options, found):
    address, received = hub
    received["is_public"] = is_public # it existed before
    done = push(address, run_folder, "anna/detector", *options)
    assert done.returncode == 2
    assert found in done.stderr
    assert "files" not in received


def test_an_unreachable_hub_is_an_error(run_folder):
    done = push("http://127.0.0.1:9", run_folder, "anna/detector")
    assert done.returncode == 2
    assert "the Hub did not take the model" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_login(run_folder, hub, tmp_path):
    done = push(hub[0], run_folder, "anna/detector", HF_HOME=str(tmp_path), HF_TOKEN="")
    assert done.returncode == 2
    assert "logged in" in done.stderr
    assert "Traceback" not in done.stderr
