"""The worker processes of one run, as TF_CONFIG names them, and the values that they exchange.

Tested in tests/training/test_workers.py.
"""

import enum
import itertools
import json
import os
import socket

import numpy as np
import tensorflow as tf

from deeplab_tf.config import StrategyName
from deeplab_tf.errors import DeeplabError, one_line

CONNECT_SECONDS = 1.0
"""How many seconds an attempt to connect to a worker takes at most."""

EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_GROUP_KEY = 2**30  # TensorFlow's strategies count their keys from 1, so this one stays free
_FLAG_KEY = 1
_KEYS = itertools.count(2)
"""Keys of the gatherings that are no flag: TensorFlow takes no key a second time with another
shape, so each gathering has a new key. All workers take the same keys in the same order."""


class Workers:
    """All worker processes of a training or an evaluation, of which this process is one.

    Attributes:
        addresses: `host:port` of each worker, worker 0 first; empty where there is only this
            process.
        index: the number of this worker in `addresses`.
        cluster: the addresses of each job, as TF_CONFIG has them.
    """

    def __init__(
        self, addresses: tuple[str, ...] = (), index: int = 0, cluster: dict | None = None
    ):
        self.addresses = addresses
        self.index = index
        self.cluster = cluster or {}

    @property
    def count(self) -> int:
        """Returns how many workers there are, this one included."""
        return max(1, len(self.addresses))

    @property
    def is_chief(self) -> bool:
        """Returns whether this is worker 0, the only one that writes to the workdir."""
        return self.index == 0

    def gather_flag(self, flag: int) -> list[int]:
        """Returns the `flag` of every worker, on each worker; all workers must call this."""
        return self._gather(np.array([flag], np.int64), _FLAG_KEY).tolist()

    def gather_text(self, text: str) -> list[str]:
        """Returns the `text` of every worker, on each worker; all workers must call this."""
        encoded = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        length = max(self.gather_flag(len(encoded)))
        padded = np.zeros(length, np.int64)
        padded[: len(encoded)] = encoded
        rows = self._gather(padded, next(_KEYS)).reshape(self.count, length)
        return [row.astype(np.uint8).tobytes().rstrip(b"\0").decode() for row in rows]

    def sum(self, values: np.ndarray | int) -> np.ndarray:
        """Returns the sum over the workers of int64 `values` of one shape; all must call this."""
        values = np.asarray(values, np.int64)
        rows = self._gather(values.reshape(-1), next(_KEYS))
        return rows.reshape(self.count, *values.shape).sum(0)

    def meet(self) -> None:
        """Returns when all workers have called this method."""
        self.gather_flag(0)

    def _gather(self, values: np.ndarray, key: int) -> np.ndarray:
        if self.count == 1:
            return values
        # The gathering runs on the hosts' CPUs, past the accelerators' queues, so it waits for no
        # step to end.
        with tf.device("CPU:0"):
            return tf.raw_ops.CollectiveGatherV2(
                input=values,
                group_size=self.count,
                group_key=_GROUP_KEY,
                instance_key=key,
                ordering_token=[],
            ).numpy()


def read_workers() -> Workers:
    """Returns the workers that TF_CONFIG names, or only this process where TF_CONFIG is not set.

    A `chief` in TF_CONFIG is worker 0.

    Raises:
        DeeplabError: TF_CONFIG does not have the form of `EXAMPLE`.
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
    """Returns the worker processes of a run with the strategy `name`.

    Several workers are returned only with `auto` and `multi_worker`.

    Raises:
        DeeplabError: TF_CONFIG is wrong, missing for `multi_worker`, or names several workers
            for a strategy of one process.
    """
    workers = read_workers()
    if name is StrategyName.MULTI_WORKER and not workers.addresses:
        raise DeeplabError(
            "strategy=multi_worker needs TF_CONFIG in the environment of each worker; "
            "docs/distributed.md has an example"
        )
    if workers.count > 1 and name not in (StrategyName.AUTO, StrategyName.MULTI_WORKER):
        raise DeeplabError(
            f"TF_CONFIG names {workers.count} workers, and strategy={name} is for one: "
            "use auto or multi_worker, or unset TF_CONFIG"
        )
    return workers


class Reach(enum.Enum):
    """What a connection to a worker's address meets.

    `LISTENS` is a process that listens, and `REFUSED` a machine on which none does. `SILENT` is
    neither in `CONNECT_SECONDS`: a network or a machine that stands still, and may go on.
    """

    LISTENS = enum.auto()
    REFUSED = enum.auto()
    SILENT = enum.auto()


def reach(address: str) -> Reach:
    """Returns what a connection to `address`, `host:port`, meets."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            return Reach.LISTENS
    except (ConnectionRefusedError, ConnectionResetError):
        return Reach.REFUSED
    except OSError:
        return Reach.SILENT


def answers(address: str) -> bool:
    """Returns whether a process listens on `address`, `host:port`."""
    return reach(address) is Reach.LISTENS
