"""deeplab-serve with real SavedModels: two models, a hand-over by files, and the memory of the old.

The second version's labels differ from the first's everywhere that matters, so that an answer says
by which it was made.
"""

import asyncio
import json
import shutil
import socket
import threading
import time
import urllib.request
import weakref

import numpy as np
import pytest
import tensorflow as tf
from support.commands import Command
from support.model_versions import write_other_version
from support.random_model import random_picture
from support.serving_requests import encode, newest, rows

from deeplab_tf.images.classes import SHAPES
from deeplab_tf.serving.hand_over import HandOver
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.model_folder import ModelFolder
from deeplab_tf.serving.served_model import open_served_model
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.version_policy import parse_policy

PICTURE = random_picture(33, 47)


@pytest.fixture(scope="module")
def other_folder(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "4"
    write_other_version(model_folder, folder, SHAPES.num_classes)
    return folder


def test_tensorflow_frees_the_old_version(model_folder, other_folder, tmp_path, monkeypatch):
    path = tmp_path / "street"
    shutil.copytree(model_folder, path / "3")
    held, load = [], tf.saved_model.load

    def noted(folder):
        loaded = load(folder)
        functions = list(loaded.signatures.values())
        held.append([*map(weakref.ref, (loaded, *functions, *functions[0].variables))])
        return loaded

    monkeypatch.setattr(tf.saved_model, "load", noted)
    folder = ModelFolder(path, "street", parse_policy("latest"), open_served_model, print)
    service = Service(folder.open_first(), Limits())
    before = newest(service).run("serving_default", PICTURE[None])["labels"]
    shutil.copytree(other_folder, path / "4")

    async def looks():
        for _ in range(2):
            await HandOver(service, folder).look()

    asyncio.run(looks())
    old, new = ([ref() is not None for ref in refs] for refs in held)
    assert len(old) > 3 and not any(old) and all(new)
    after = newest(service).run("serving_default", PICTURE[None])["labels"]
    assert (before != after).mean() > 0.3


class Server:
    """A running deeplab-serve."""

    def __init__(self, *arguments):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        flags = [f"--port={self.port}", "--poll_seconds=0.2", *arguments]
        self.process = Command("-m", "deeplab_tf.cli.serve", *flags)

    def get(self, path, data=None):
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return json.loads(answer.read())

    def labels(self, name) -> np.ndarray:
        body = rows(encode(PICTURE))
        (row,) = self.get(f"/v1/models/{name}:predict", body)["predictions"]
        return np.array(row["labels"], np.uint8)

    def states(self, name) -> dict[str, str]:
        told = self.get(f"/v1/models/{name}")["model_version_status"]
        return {each["version"]: each["state"] for each in told}

    def until(self, true, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if true():
                    return
            except OSError:  # not yet listening, or not yet ready
                pass
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError(self.process.communicate())


def test_a_version_that_is_copied_in_takes_over_under_load(model_folder, other_folder, tmp_path):
    streets = tmp_path / "streets"
    shutil.copytree(model_folder, streets / "3")
    given = [f"--model=streets={streets}", f"--model=roofs={other_folder}"]
    server = Server(*given)
    try:
        server.until(lambda: server.get("/readyz")["status"] == "ready")
        old, new = server.labels("streets"), server.labels("roofs")
        assert (old != new).mean() > 0.3
        answers, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                answers.append(server.labels("streets"))
                time.sleep(0.05)

        asking = threading.Thread(target=ask)
        asking.start()
        (streets / "5").mkdir()
        (streets / "5" / "saved_model.pb").write_bytes(b"broken")
        shutil.copytree(other_folder, streets / "4")
        server.until(lambda: server.states("streets") == {"4": "AVAILABLE", "3": "END"})
        stop.set()
        asking.join()
        answers.append(server.labels("streets"))
        versions = [np.array_equal(each, new) for each in answers]
        assert versions == sorted(versions) and versions[0] < versions[-1]
        assert all(
            np.array_equal(each, new if v else old)
            for each, v in zip(answers, versions, strict=True)
        )
    finally:
        server.process.terminate()
        out, err = server.process.communicate(60)
    assert server.process.returncode == 0, err
    address = f"at http://127.0.0.1:{server.port}"
    assert out.splitlines()[:2] == [
        f"serving streets, version 3, {address}",
        f"serving roofs, version 4, {address}",
    ]
    lines = [line for line in out.splitlines() if line.startswith("streets: ")]
    assert "streets: version 5 is waited for: assets.extra/deeplab_tf.json is missing" in lines
    assert lines[-2:] == ["streets: version 4 answers", "streets: version 3 has ended"]
