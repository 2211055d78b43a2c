"""The server that `steady_load` asks: ours with a hand-over, or KServe's."""

import contextlib
import dataclasses
import functools
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from server_watcher import HOST, Watcher
from steady_load import Asker, Good, capacity, report, report_hand_over, steady

CAPACITY_SECONDS = 10.0
SIDE = pathlib.Path(__file__).with_name("kserve_side.py")


@dataclasses.dataclass(frozen=True)
class Load:
    """A load: the SavedModels of two versions, images and their bodies, seconds, clients, and
    requests a second, None for half of what the server can answer."""

    model: pathlib.Path
    following: pathlib.Path
    files: list[pathlib.Path]
    bodies: list[bytes]
    seconds: float
    clients: int
    rate: float | None = None


def run_steady(load: Load, kserve_python: str | None) -> bool:
    """Prints the figures of a steady load; returns whether all was as it must be."""
    models = {1: load.model} if kserve_python else {1: load.model, 2: load.following}
    requests = good_of(load, models)
    with _served(load, kserve_python) as (process, port, street):
        asker = Asker(port, "/v1/models/street:predict", requests)
        _wait_for(asker, process)
        most = capacity(asker, load.clients, min(CAPACITY_SECONDS, load.seconds / 2))
        rate = load.rate or most / 2
        print(f"{most:.1f} requests/s by {load.clients} clients; {rate:.1f} from here")
        with Watcher(process.pid, port, "street") as watcher:
            if kserve_python:
                samples = steady(asker, rate, load.seconds, lambda: None)
            else:
                copy = functools.partial(watcher.copy, load.following, street / "2")
                runs, images = watcher.batches()
                samples = steady(asker, rate, load.seconds, copy)
                runs_end, images_end = watcher.batches()
                print(f"{(images_end - images) / (runs_end - runs):.2f} images a batch")
        good = report(samples, watcher)
        if kserve_python:
            return good
        good &= report_hand_over(samples, watcher)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        print(f"exit code of the server {code}")
        return good and not code


def good_of(load: Load, models: dict[int, pathlib.Path]) -> list[Good]:
    """Good requests, with each version's labels."""
    from deeplab_tf.cli.flags import import_tensorflow

    import_tensorflow()
    from deeplab_tf.serving.served_model import open_served_model

    labels: list[dict[int, np.ndarray]] = [{} for _ in load.files]
    for version, model in models.items():
        served = open_served_model(model)
        for known, file in zip(labels, load.files, strict=True):
            image = np.array([file.read_bytes()], object)
            known[version] = served.run("image_bytes", image)["labels"][0]
    return [Good(body, known) for body, known in zip(load.bodies, labels, strict=True)]


@contextlib.contextmanager
def _served(
    load: Load, kserve_python: str | None
) -> Iterator[tuple[subprocess.Popen, int, pathlib.Path]]:
    """Runs a server for the block: its process, its port, and the folder of its versions."""
    with tempfile.TemporaryDirectory() as folder:
        street = pathlib.Path(folder, "street")
        shutil.copytree(load.model, street / "1")
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "deeplab_tf.cli.serve", f"--model={street}"]
        command.append(f"--port={port}")
        if kserve_python:
            command = [kserve_python, str(SIDE), str(street / "1"), str(port)]
        process = subprocess.Popen(command)
        try:
            yield process, port, street
        finally:
            process.kill()


def _wait_for(asker: Asker, process: subprocess.Popen) -> None:
    """Returns when the server answers."""
    end = time.monotonic() + 300
    while (sample := asker.ask(0, time.monotonic())).wrong:
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"the server does not answer: {sample.wrong}")
        time.sleep(0.5)
