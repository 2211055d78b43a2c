"""The server under load: does every client get the right answer, and does it stay up?

    python tests/benchmarks/serve_load.py --model=served --images='photos/*.jpg' --seconds=60
    python tests/benchmarks/serve_load.py --model=served/1 --next=served/2 \
        --images='photos/*.jpg' --minutes=5

Starts deeplab-serve on 127.0.0.1 and asks it from 16 clients at once, each one request after the
other, a mix of good images, images with too many pixels, cut ones, other files and wrong fields.
Prints the answers by kind and status, latency, requests a second, and the server's memory. Exit
code 1 where a good answer is not the SavedModel's, a bad request is not refused with 400 or 413,
or the server dies. 503 and 504 count as answers to good requests: they are what the limits are for.

With `--minutes` the requests are good, and come at `--rate`, by default half of what the server is
first found to answer; in the middle the SavedModel `--next` takes over from `--model`. Exit code 1
where a request is lost, an answer is of neither version, an older version answers after the newer,
or p99 is three times p50 or more. `--kserve_python`, an interpreter that has kserve and tensorflow,
puts the same load on KServe's server, with neither hand-over nor batches.
"""

import base64
import collections
import concurrent.futures
import dataclasses
import glob
import http.client
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
from absl import app, flags
from PIL import Image
from steady_server import Load, run_steady

_MODEL = flags.DEFINE_string("model", None, "The flag of deeplab-serve.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "JPEGs or PNGs: a quoted pattern.", required=True)
_SECONDS = flags.DEFINE_float("seconds", 60, "How long.", lower_bound=1, upper_bound=600)
_MINUTES = flags.DEFINE_float("minutes", None, "A steady load.", lower_bound=0.2, upper_bound=60)
_NEXT = flags.DEFINE_string("next", None, "The SavedModel that takes over from --model.")
_KSERVE = flags.DEFINE_string("kserve_python", None, "Serve by KServe, with this interpreter.")
_RATE = flags.DEFINE_float("rate", None, "Requests a second of --minutes; default: half of all.")
_CLIENTS = flags.DEFINE_integer("clients", 16, "At once.", lower_bound=1, upper_bound=64)
_MOST = flags.DEFINE_integer("most", 100_000, "Requests in all, at most.", lower_bound=1)

HOST = "127.0.0.1"
KINDS = {"good": 0.6, "huge": 0.1, "truncated": 0.1, "no image": 0.1, "wrong field": 0.1}
"""Kind -> its share of the requests."""
MAX_GOOD = 8
"""Images of the pattern that are asked for; the expected labels of each are computed first."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: its body, and the labels that must come back where it is good."""

    kind: str
    body: bytes
    labels: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Answered:
    """What came back; `wrong` says why it must not have."""

    kind: str
    status: int
    seconds: float
    wrong: str = ""


def body_of(data: bytes, field: str = "instances") -> bytes:
    image = {"image_bytes": {"b64": base64.b64encode(data).decode()}}
    return json.dumps({"signature_name": "image_bytes", field: [image]}).encode()


def requests_of(model: pathlib.Path, files: list[pathlib.Path]) -> dict[str, list[Asked]]:
    """Kind -> requests, with the SavedModel's own labels for good ones."""
    from deeplab_tf.cli.flags import import_tensorflow

    import_tensorflow()
    from deeplab_tf.serving.served_model import open_served_model

    served = open_served_model(model)
    requests = collections.defaultdict(list)
    for file in files:
        data = file.read_bytes()
        labels = served.run("image_bytes", np.array([data], object))["labels"][0]
        requests["good"].append(Asked("good", body_of(data), labels))
        requests["truncated"].append(Asked("truncated", body_of(data[: len(data) // 2])))
        requests["wrong field"].append(Asked("wrong field", body_of(data, "instance")))
    huge = io.BytesIO()
    Image.new("L", (8000, 8000)).save(huge, "PNG")
    requests["huge"].append(Asked("huge", body_of(huge.getvalue())))
    requests["no image"].append(Asked("no image", body_of(os.urandom(20_000))))
    return requests


def ask_on(
    port: int, path: str, requests: dict[str, list[Asked]], end: float, most: int, seed: int
) -> list[Answered]:
    """One client: request after request until `end`."""
    choice, answers = random.Random(seed), []
    while time.monotonic() < end and len(answers) < most:
        (kind,) = choice.choices(list(KINDS), list(KINDS.values()))
        answers.append(ask(port, path, choice.choice(requests[kind])))
    return answers


def ask(port: int, path: str, asked: Asked) -> Answered:
    begin = time.monotonic()
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    try:
        connection.request("POST", path, asked.body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answered(asked.kind, 0, time.monotonic() - begin, f"no answer: {error!r}")
    finally:
        connection.close()
    seconds = time.monotonic() - begin
    return Answered(asked.kind, answer.status, seconds, fault(asked, answer.status, content))


def fault(asked: Asked, status: int, content: dict) -> str:
    """Why an answer is wrong; empty where it is right."""
    if status in (503, 504):
        return "" if content.get("error") else f"{status} without a reason"
    if asked.labels is None:
        refused = 413 if asked.kind == "huge" else 400
        return "" if status == refused and content.get("error") else f"{asked.kind} gave {status}"
    if status != 200:
        return f"a good image gave {status}: {content}"
    same = np.array_equal(content["predictions"][0]["labels"], asked.labels)
    return "" if same else "the labels are not the SavedModel's"


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def report(answers: list[Answered], seconds: float, memory: list[float]) -> None:
    counts = collections.Counter((answer.kind, answer.status) for answer in answers)
    print(f"{'kind':12} {'status':>6} {'requests':>8} {'p50, s':>8} {'p99, s':>8}")
    for (kind, status), count in sorted(counts.items()):
        times = [a.seconds for a in answers if (a.kind, a.status) == (kind, status)]
        p50, p99 = np.percentile(times, [50, 99])
        print(f"{kind:12} {status:6} {count:8} {p50:8.3f} {p99:8.3f}")
    print(f"{len(answers) / seconds:.1f} requests/s over {seconds:.0f} s")
    print("server memory, MB, at the begin, middle, end: " + ", ".join(f"{m:.0f}" for m in memory))


def load(process: subprocess.Popen, requests: dict[str, list[Asked]]) -> list[Answered]:
    line = process.stdout.readline()
    name, port = re.findall(r"serving (\S+), .* at http://127\.0\.0\.1:(\d+)", line)[0]
    path = f"/v1/models/{name}:predict"
    begin, memory = time.monotonic(), [memory_mb(process.pid)]
    end, most = begin + _SECONDS.value, -(-_MOST.value // _CLIENTS.value)
    with concurrent.futures.ThreadPoolExecutor(_CLIENTS.value) as pool:
        clients = [
            pool.submit(ask_on, int(port), path, requests, end, most, seed)
            for seed in range(_CLIENTS.value)
        ]
        concurrent.futures.wait(clients, timeout=_SECONDS.value / 2)
        memory.append(memory_mb(process.pid))
        answers = [answer for client in clients for answer in client.result()]
    memory.append(memory_mb(process.pid))
    report(answers, time.monotonic() - begin, memory)
    return answers


def main(_) -> None:
    files = [pathlib.Path(name) for name in sorted(glob.glob(_IMAGES.value))[:MAX_GOOD]]
    if not files:
        sys.exit(f"--images={_IMAGES.value} matches nothing")
    if _MINUTES.value:
        bodies = [body_of(file.read_bytes()) for file in files]
        model = pathlib.Path(_MODEL.value)
        following = pathlib.Path(_NEXT.value or model)
        steady = Load(
            model, following, files, bodies, _MINUTES.value * 60, _CLIENTS.value, _RATE.value
        )
        sys.exit(0 if run_steady(steady, _KSERVE.value) else 1)
    requests = requests_of(pathlib.Path(_MODEL.value), files)
    command = [sys.executable, "-m", "deeplab_tf.cli.serve", f"--model={_MODEL.value}", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        answers = load(process, requests)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    finally:
        process.kill()
    wrong = collections.Counter(answer.wrong for answer in answers if answer.wrong)
    for reason, count in wrong.items():
        print(f"WRONG, {count} times: {reason}")
    right = sum(answer.status == 200 for answer in answers)
    print(f"{right} good answers compared; exit code of the server {code}")
    sys.exit(1 if wrong or code or not right else 0)


if __name__ == "__main__":
    app.run(main)
