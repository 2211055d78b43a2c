"""The work on a question that both protocols share, once it has been read.

Tested in tests/serving/test_rest.py and tests/serving/test_serving_limits.py.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.serving.batching import Batcher, Outputs
from deeplab_tf.serving.limits import Gate, Limits, within
from deeplab_tf.serving.metrics import Metrics
from deeplab_tf.serving.refusal import Reason
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.work import Question, Work, check_images

_WARM_UP_SIZE = (65, 65)
_Asked = TypeVar("_Asked", bound=Question)


class Service:
    """A served model behind its limits.

    Attributes:
        model, limits: the arguments.
        gate: the counter of the requests inside, of both protocols.
        metrics: the figures for Prometheus.
        ready: whether new requests are wanted; false before the model is warm, and when the server
            ends.
    """

    def __init__(self, model: ServedModel, limits: Limits):
        self.model = model
        self.limits = limits
        self.gate = Gate(limits.queue_size)
        self.metrics = Metrics(lambda: self.gate.inside)
        self.ready = False
        # One thread: a message that is parsed takes some ten times its bytes, for one at a time.
        # Two threads would not be faster, since parsing holds the interpreter lock.
        self._reader = ThreadPoolExecutor(1, "reader")
        self._batcher = Batcher(model.run, limits.batch_size, self.metrics.batch_images.observe)

    async def warm_up(self) -> None:
        """Answers one small image, so that the first client does not wait for TensorFlow.

        The thread that answers clients does this, since oneDNN prepares its kernels for each thread
        anew.
        """
        signature = self.model.signatures[SIGNATURE]
        pixels = np.zeros((1, *_WARM_UP_SIZE, signature.bands), signature.dtype)
        await self._batcher.answer(Work(signature, pixels, _WARM_UP_SIZE))
        self.ready = True

    async def answer(self, read: Callable[[], _Asked]) -> tuple[_Asked, Outputs]:
        """Returns the question that `read` gives, and the outputs for its images.

        Args:
            read: a function that parses a request; the thread for reading runs it.

        Raises:
            RefusedError: the request or the images are wrong, or there is no answer within the time
                limit.
        """
        seconds = self.limits.time_limit
        message = f"there is no answer within {seconds:g} s; send smaller images, or fewer at once"
        async with within(seconds, Reason.LATE, message):
            loop = asyncio.get_running_loop()
            question, work = await loop.run_in_executor(self._reader, self._checked, read)
            return question, await self._batcher.answer(work)

    def _checked(self, read: Callable[[], _Asked]) -> tuple[_Asked, Work]:
        question = read()
        return question, check_images(question.signature, question.images, self.limits)
