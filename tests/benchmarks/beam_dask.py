"""Prediction by workers of Dask with one core each: what a second one gains, and their memory.

    python tests/benchmarks/beam_dask.py --model=saved_model --images='photos/*.jpg'

The images are copied over and over to `--count` files. For one worker and then for two, a scheduler
and the workers are started on the loopback address, each worker bound to one core of its own, and
`deeplab-predict --runner=DaskRunner` predicts all files. The seconds of the command hold its start
(imports, and the model once in the command and in each worker); those of the images are between
the first output and the last. The labels of both ways are compared. Nothing else may run; the CPU
seconds of each worker, and of scheduler and command together, tell what the clock would have been.
"""

import contextlib
import itertools
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
from absl import app, flags

from deeplab_tf.prediction.inputs import find_images

_MODEL = flags.DEFINE_string("model", None, "The flag of deeplab-predict.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "The flag of deeplab-predict.", required=True)
_COUNT = flags.DEFINE_integer("count", 2000, "The number of files to predict.")
SHARES = (0.025, 0.2, 1.0)
"""The shares of the files after which the workers' memory is given."""


@contextlib.contextmanager
def cluster(
    workers: int, folder: pathlib.Path
) -> Iterator[tuple[str, psutil.Process, list[psutil.Process]]]:
    """A scheduler's address, its process, and its workers, each on one core."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    cores = sorted(os.sched_getaffinity(0))[:workers]
    assert len(cores) == workers, f"{workers} cores are needed"
    module = [sys.executable, "-m", "distributed.cli.dask_"]
    scheduler = [*module[:2], f"{module[2]}scheduler", "--host=127.0.0.1", f"--port={port}"]
    scheduler += ["--idle-timeout=300s"]  # where this program is killed
    worker = [*module[:2], f"{module[2]}worker", address, "--nthreads=1", "--no-nanny"]
    worker += [f"--local-directory={folder}", "--death-timeout=60"]
    with contextlib.ExitStack() as stack:
        processes = []
        for core in (None, *cores):
            command = scheduler if core is None else ["taskset", "-c", str(core), *worker]
            process = subprocess.Popen(
                [*command, "--no-dashboard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(psutil.Process(process.pid))
        yield address, processes[0], processes[1:]


def children_cpu() -> float:
    """The CPU seconds of this process' children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def predict(workers: int, images: pathlib.Path, out: pathlib.Path) -> tuple[float, float]:
    """Predicts and prints a row; returns the seconds of the command and of the images."""
    command = [sys.executable, "-m", "deeplab_tf.cli.predict", f"--model={_MODEL.value}"]
    command += [f"--images={images}", f"--out={out}", "--runner=DaskRunner"]
    marks = [round(share * _COUNT.value) for share in SHARES]
    peaks = [0] * workers
    at_marks: list[list[int]] = []
    with cluster(workers, out.with_name(f"{out.name} of dask")) as (address, scheduler, processes):
        command.append(f"--beam_options=dask_client_address={address}")
        begun, before = time.monotonic(), children_cpu()
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while job.poll() is None:
            peaks = [
                max(peak, process.memory_info().rss)
                for peak, process in zip(peaks, processes, strict=True)
            ]
            if len(at_marks) < len(marks) and out.is_dir():
                done = sum(name.endswith(".png") for name in os.listdir(out))
                if done >= marks[len(at_marks)]:
                    at_marks.append(peaks)
            time.sleep(0.2)
        whole = time.monotonic() - begun
        used = [sum(process.cpu_times()[:2]) for process in (*processes, scheduler)]
        others = used.pop() + children_cpu() - before
    assert job.returncode == 0
    at_marks += [peaks] * (len(marks) - len(at_marks))
    times = [path.stat().st_mtime for path in out.glob("*.png")]
    assert len(times) == _COUNT.value
    window = max(times) - min(times)
    memory = "   ".join("/".join(f"{peak >> 20}" for peak in mark) for mark in at_marks)
    seconds = "/".join(f"{one:.0f}" for one in used)
    print(
        f"{workers:7}  {whole:16.1f}  {window:15.1f}  {f'{seconds}, {others:.0f}':>21}  {memory}",
        flush=True,
    )
    return whole, window


def main(_) -> None:
    files = find_images(_IMAGES.value)
    with tempfile.TemporaryDirectory() as root:
        images = pathlib.Path(root) / "images"
        images.mkdir()
        for number, file in zip(range(_COUNT.value), itertools.cycle(files)):
            shutil.copy(file, images / f"{number:06d}{file.suffix}")
        marks = ", ".join(str(round(share * _COUNT.value)) for share in SHARES)
        print(f"{_COUNT.value} images")
        print(
            "workers  s of the command  s of the images  CPU s of each, others  "
            f"peak MB of each after {marks} images"
        )
        outs = {workers: pathlib.Path(root) / str(workers) for workers in (1, 2)}
        seconds = {workers: predict(workers, images, out) for workers, out in outs.items()}
        names = sorted(path.name for path in outs[1].glob("*.png"))
        equal = sum(
            (outs[1] / name).read_bytes() == (outs[2] / name).read_bytes() for name in names
        )
    gains = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(f"two workers: {gains[0]:.2f} times as fast, {gains[1]:.2f} without the start; "
          f"{equal} of {len(names)} labels equal")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
