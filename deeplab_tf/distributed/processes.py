"""The worker processes of one run: who they are (TF_CONFIG), and what they tell each other."""

import itertools
import json
import os
import socket
import sys
import time

import numpy as np
import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError, one_line

GOODBYE_SECONDS = 3
"""How long a worker that ends waits for the others to end too."""

EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_GROUP_KEY = 2**30  # TensorFlow's strategies count theirs from 1
_FLAG_KEY = 1
_KEYS = itertools.count(2)
"""One for each gathering of any other shape, which TensorFlow does not take a second time. All
workers come to the same ones in the same order."""


class Workers:
    """All worker processes of a training or an evaluation; one of them is this one.

    Attributes:
        addresses: `host:port` of each, worker 0 first; empty where this process is alone.
        index: which of them this one is.
        cluster: as TF_CONFIG has it.
    """

    def __init__(
        self, addresses: tuple[str, ...] = (), index: int = 0, cluster: dict | None = None
    ):
        self.addresses = addresses
        self.index = index
        self.cluster = cluster or {}

    @property
    def count(self) -> int:
        """How many there are, this one included."""
        return max(1, len(self.addresses))

    @property
    def is_chief(self) -> bool:
        """Whether this is worker 0, which alone writes to the workdir."""
        return self.index == 0

    def gather_flag(self, flag: int) -> list[int]:
        """The `flag` of every worker, on each of them; all must call it."""
        return self._gather(np.array([flag], np.int64), _FLAG_KEY).tolist()

    def gather_text(self, text: str) -> list[str]:
        """The `text` of every worker, on each of them; all must call it."""
        encoded = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        length = max(self.gather_flag(len(encoded)))
        padded = np.zeros(length, np.int64)
        padded[: len(encoded)] = encoded
        rows = self._gather(padded, next(_KEYS)).reshape(self.count, length)
        return [row.astype(np.uint8).tobytes().rstrip(b"\0").decode() for row in rows]

    def sum(self, values: np.ndarray | int) -> np.ndarray:
        """The sum over the workers of int64 `values` of one shape; all must call it."""
        values = np.asarray(values, np.int64)
        rows = self._gather(values.reshape(-1), next(_KEYS))
        return rows.reshape(self.count, *values.shape).sum(0)

    def meet(self) -> None:
        """Returns when all workers have called it."""
        self.gather_flag(0)

    def leave(self, code: int) -> None:
        """Ends this process with `code` where it is not alone; after a `meet`.

        TensorFlow's own way out waits seconds for the others, and a SIGTERM has few of them.
        """
        if self.count == 1:
            return
        last = time.monotonic() + GOODBYE_SECONDS
        # Worker 0 has the service that all are connected to, and goes last.
        while self.is_chief and time.monotonic() < last:
            if not any(map(answers, self.addresses[1:])):
                break
            time.sleep(0.05)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _gather(self, values: np.ndarray, key: int) -> np.ndarray:
        if self.count == 1:
            return values
        # On the hosts, beside the accelerators' queues: nothing waits for a step to end.
        with tf.device("CPU:0"):
            return tf.raw_ops.CollectiveGatherV2(
                input=values,
                group_size=self.count,
                group_key=_GROUP_KEY,
                instance_key=key,
                ordering_token=[],
            ).numpy()


def read_workers() -> Workers:
    """What TF_CONFIG says; this process alone where it is not set.

    Raises:
        DeeplabError: TF_CONFIG is not of the form of `EXAMPLE`. A `chief` beside the workers is
            worker 0.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return Workers()
    try:
        content = json.loads(text)
        cluster = {job: list(addresses) for job, addresses in content["cluster"].items()}
        job, index = content["task"]["type"], int(content["task"]["index"])
        addresses = cluster.get("chief", []) + cluster.get("worker", [])
        for address in addresses:
            _ = address.rsplit(":", 1)[0], int(address.rsplit(":", 1)[1])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DeeplabError(
            f"TF_CONFIG must be JSON like {EXAMPLE}, on each worker with its own index. "
            f"Received: {text[:200]} ({type(error).__name__}: {one_line(str(error))[:100]})"
        ) from error
    if not set(cluster) <= {"chief", "worker"} or len(cluster.get("chief", [])) > 1:
        raise DeeplabError(
            "TF_CONFIG's cluster must have the jobs worker, or one chief and worker. "
            f"Received: {', '.join(cluster)}"
        )
    if job not in cluster or not 0 <= index < len(cluster[job]):
        has = ", ".join(f"{name} 0 to {len(rows) - 1}" for name, rows in cluster.items())
        raise DeeplabError(
            f"TF_CONFIG's task must be one of its cluster ({has}). Received: {job} {index}"
        )
    number = index + (len(cluster.get("chief", [])) if job == "worker" else 0)
    return Workers(tuple(addresses), number, cluster)


def workers_of(name: StrategyName) -> Workers:
    """The worker processes of a run with that strategy; this one alone but for `multi_worker`.

    Raises:
        DeeplabError: TF_CONFIG is wrong, missing for `multi_worker`, or names several workers
            where the strategy is another.
    """
    workers = read_workers()
    if name is StrategyName.MULTI_WORKER and not workers.addresses:
        raise DeeplabError(
            "strategy=multi_worker needs TF_CONFIG in the environment of each worker; "
            "docs/several-devices.md has an example"
        )
    if workers.count > 1 and name not in (StrategyName.AUTO, StrategyName.MULTI_WORKER):
        raise DeeplabError(
            f"TF_CONFIG names {workers.count} workers, and strategy={name} is for one: "
            "use auto or multi_worker, or unset TF_CONFIG"
        )
    return workers


def answers(address: str) -> bool:
    """Whether a process listens on `address`, `host:port`."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False
