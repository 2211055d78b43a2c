"""Batches of waiting requests, which share a run of the network where their images have one size.

No request waits for others to come: a request that finds the network idle runs at once, and the
next batch gathers while the network runs.

Tested in tests/serving/test_serving_batches.py.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from deeplab_tf.serving.work import Work

Outputs = dict[str, np.ndarray]
"""The outputs by name; the first axis of each array is that of the images."""


class Network(Protocol):
    """A version of a model, as far as its requests' images go through it."""

    def run(self, signature: str, images: np.ndarray) -> Outputs:
        """Returns the outputs of a signature for images [B, ...]."""
        ...


BATCH_PIXELS = 1 << 22
"""The largest number of pixels that go through the network together, so that a batch's memory is
bounded; a single image may have more."""


@dataclasses.dataclass(frozen=True)
class _Asker:
    work: Work
    model: Network
    answer: asyncio.Future[Outputs]

    @property
    def kind(self) -> tuple:
        return id(self.model), self.work.kind


class Batcher:
    """A queue of requests to all models, which go through the networks in batches.

    One thread runs the batches, whatever their model, so that the memory is that of one batch.

    Args:
        batch_size: the largest number of images that go through the network together. A request
            of more images goes through in parts.
        observe: called with the model and the number of images of each run, in the thread that
            runs.
    """

    def __init__(
        self, batch_size: int, observe: Callable[[Any, int], None] = lambda model, images: None
    ):
        self._batch_size = batch_size
        self._observe = observe
        self._waiting: collections.deque[_Asker] = collections.deque()
        # One thread: the network uses all cores by itself, and two would need twice the memory.
        self._thread = ThreadPoolExecutor(1, "network")
        self._task: asyncio.Task | None = None

    async def answer(self, work: Work, model: Network) -> Outputs:
        """Returns the model's outputs for one request's images; raises what its `run` raises."""
        asker = _Asker(work, model, asyncio.get_running_loop().create_future())
        self._waiting.append(asker)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer_waiting())
        return await asker.answer

    async def _answer_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            works, model = [asker.work for asker in batch], batch[0].model
            outcomes = await loop.run_in_executor(self._thread, self._outcomes, works, model)
            _deliver(batch, outcomes)
            # The batch may be the last of its model, which is freed where nothing holds it.
            del batch, model

    def _next_batch(self) -> list[_Asker]:
        """Takes out the request that has waited longest, and the requests that can join it.

        The other requests keep waiting, in order.
        """
        batch: list[_Asker] = []
        rest: collections.deque[_Asker] = collections.deque()
        images = pixels = 0
        for asker in self._waiting:
            work = asker.work
            if asker.answer.done():  # the request was given up
                continue
            if batch and not (
                asker.kind == batch[0].kind
                and images + work.count <= self._batch_size
                and pixels + work.pixels <= BATCH_PIXELS
            ):
                rest.append(asker)
                continue
            batch.append(asker)
            images, pixels = images + work.count, pixels + work.pixels
        self._waiting = rest
        return batch

    def _outcomes(self, works: list[Work], model: Network) -> list[Outputs | Exception]:
        """Returns, for each request, its outputs or the error that it met.

        A batch that fails is run again request by request, since one request may be the cause: the
        others are then answered.
        """
        try:
            return self._together(works, model)
        except Exception as error:
            if len(works) == 1:
                return [error]
        return [self._outcomes([work], model)[0] for work in works]

    def _together(self, works: list[Work], model: Network) -> list[Outputs | Exception]:
        images = np.concatenate([work.images for work in works])
        outputs = self._in_parts(works[0], images, model)
        ends = np.cumsum([work.count for work in works])
        return [
            {name: array[end - work.count : end] for name, array in outputs.items()}
            for work, end in zip(works, ends, strict=True)
        ]

    def _in_parts(self, work: Work, images: np.ndarray, model: Network) -> Outputs:
        """Returns the outputs for images of the kind of `work`, which go through in parts."""
        step = max(1, min(self._batch_size, BATCH_PIXELS // work.image_pixels))
        parts = []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            self._observe(model, len(part))
            parts.append(model.run(work.signature.name, part))
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _deliver(batch: list[_Asker], outcomes: list[Outputs | Exception]) -> None:
    for asker, outcome in zip(batch, outcomes, strict=True):
        if asker.answer.done():  # the request was given up meanwhile
            continue
        if isinstance(outcome, Exception):
            asker.answer.set_exception(outcome)
        else:
            asker.answer.set_result(outcome)
