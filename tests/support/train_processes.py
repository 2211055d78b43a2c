"""A small training: its experiment, and `deeplab-train` in processes of its own that run it."""

import dataclasses
import json
import os
import socket
import time

from deeplab_tf.config import Experiment, Head, load_experiment, validate
from support.commands import Command

CONFIG = "--config=configs/shapes.py:smoke"


def small(head=Head.NONE, **changes) -> Experiment:
    """The row `smoke` with `changes` of its train section; it is not evaluated by default.

    By default it is without the ASPP, a third of the network's layers.
    """
    experiment = load_experiment("configs/shapes.py:smoke")
    model_config = dataclasses.replace(experiment.model, head=head)
    train = dataclasses.replace(experiment.train, **{"evaluate_every": 0, **changes})
    return validate(dataclasses.replace(experiment, model=model_config, train=train))


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tf_config(ports: list[int], index: int) -> str:
    """What worker `index` finds in its environment."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def start(
    data_dir,
    workdir,
    cluster=None,
    program=("-m", "deeplab_tf.cli.train"),
    flags=(),
    head: Head | None = Head.NONE,
    **changes,
):
    """One process that trains `small(head, **changes)`; `cluster` is (ports, index).

    Without a `head` the config says nothing of it.
    """
    changes = {"evaluate_every": 0, **changes}
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_CONFIG", None)
    if cluster:
        environment["TF_CONFIG"] = tf_config(*cluster)
    return Command(
        *(*program, CONFIG, f"--data_dir={data_dir}", f"--workdir={workdir}"),
        *(f"--config.train.{name}={value}" for name, value in changes.items()),
        *([f"--config.model.head={head}"] if head else []),
        *flags,
        env=environment,
    )


def start_workers(count, data_dir, workdir, **changes):
    """All workers of one training."""
    ports = free_ports(count)
    return [start(data_dir, workdir, (ports, index), **changes) for index in range(count)]


def metrics(workdir):
    """The lines of the training in metrics.jsonl so far."""
    return [row for row in all_metrics(workdir) if "loss" in row]


def all_metrics(workdir):
    """The lines of metrics.jsonl so far, those of evaluations too."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for_step(process, workdir, step, seconds=120):
    """Returns when the run has logged `step`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (workdir / "metrics.jsonl").exists() and any(
            m["step"] >= step for m in metrics(workdir)
        ):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"step {step} was not reached in {seconds} s")
