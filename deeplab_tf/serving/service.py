"""The work on a question that both protocols share, once it has been read.

Tested in tests/serving/test_rest.py and tests/serving/test_serving_limits.py.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deeplab_tf.serving.batching import Batcher, Outputs
from deeplab_tf.serving.limits import Gate, Limits, within
from deeplab_tf.serving.metrics import Metrics
from deeplab_tf.serving.models import Models, Visit
from deeplab_tf.serving.refusal import Reason
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.work import Question, Work, check_images, small_work

_Asked = TypeVar("_Asked", bound=Question)


class Service:
    """Served models behind their limits, which hold for all models together.

    Args:
        models: the versions of models that answer at first: one, or several of any names.
        limits: the limits.

    Attributes:
        models, limits: the arguments.
        gate: the counter of the requests inside, of both protocols.
        metrics: the figures for Prometheus.
        ready: whether new requests are wanted; false before the models are warm, and when the
            server ends.
    """

    def __init__(self, models: ServedModel | Iterable[ServedModel], limits: Limits):
        self.models = Models([models] if isinstance(models, ServedModel) else models)
        self.limits = limits
        self.gate = Gate(limits.queue_size)
        self.metrics = Metrics(lambda: self.gate.inside, self.models)
        self.ready = False
        # One thread: a message that is parsed takes some ten times its bytes, for one at a time.
        # Two threads would not be faster, since parsing holds the interpreter lock.
        self._reader = ThreadPoolExecutor(1, "reader")
        self._batcher = Batcher(limits.batch_size, self.metrics.batch)

    async def warm_up(self) -> None:
        """Warms every version, and is ready then."""
        for versions in self.models.values():
            for version in versions.available.values():
                await self.warm(version.model)
        self.ready = True

    async def warm(self, model: ServedModel) -> None:
        """Answers a small image by each signature in the thread that answers.

        oneDNN prepares its kernels for each thread anew. A model of `open_answering` has run
        already, so that TensorFlow has made its functions, which takes seconds.

        Raises:
            RefusedError: the model cannot answer.
        """
        for signature in model.signatures.values():
            await self._batcher.answer(small_work(signature), model)

    async def answer(self, read: Callable[[], _Asked], visit: Visit) -> tuple[_Asked, Outputs]:
        """Returns the question that `read` gives, and the outputs for its images.

        Args:
            read: a function that parses a request; the thread for reading runs it.
            visit: the request, bound to its version before `read` returns.

        Raises:
            RefusedError: the request or the images are wrong, or there is no answer within the time
                limit.
        """
        seconds = self.limits.time_limit
        message = f"there is no answer within {seconds:g} s; send smaller images, or fewer at once"
        async with within(seconds, Reason.LATE, message):
            loop = asyncio.get_running_loop()
            question, work = await loop.run_in_executor(self._reader, self._checked, read)
            return question, await self._batcher.answer(work, visit.model)

    def _checked(self, read: Callable[[], _Asked]) -> tuple[_Asked, Work]:
        question = read()
        return question, check_images(question.signature, question.images, self.limits)
