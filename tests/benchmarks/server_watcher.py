"""What a running deeplab-serve tells of itself during a load: memory, batches, its versions."""

import json
import pathlib
import re
import shutil
import threading
import time
import urllib.request

HOST = "127.0.0.1"


class Watcher:
    """The server's memory each second, and where it is given a second version, the hand-over."""

    def __init__(self, pid: int, port: int, name: str):
        self.pid, self.port, self.name = pid, port, name
        self.memory: list[float] = []
        self.copied = self.ended = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def copy(self, version: pathlib.Path, folder: pathlib.Path) -> None:
        """Copies a version into the model's folder, which begins the hand-over."""
        self.copied = time.monotonic()
        shutil.copytree(version, folder)

    def batches(self) -> tuple[float, float]:
        """The number of batches and of their images until now."""
        page = self._get("/metrics")
        count, images = (
            float(re.findall(rf"^deeplab_batch_images_{what} (\S+)", page, re.M)[0])
            for what in ("count", "sum")
        )
        return count, images

    def _watch(self) -> None:
        while not self._stop.wait(1):
            status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
            self.memory.append(int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024)
            if self.copied and not self.ended:
                told = json.loads(self._get(f"/v1/models/{self.name}"))["model_version_status"]
                if len(told) > 1 and told[-1]["state"] == "END":
                    self.ended = time.monotonic()

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=60) as answer:
            return answer.read().decode()
