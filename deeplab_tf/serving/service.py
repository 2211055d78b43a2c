"""The work on a question that both protocols share, once it has been read.

Tested in tests/serving/test_rest.py and tests/serving/test_serving_limits.py.
"""

import asyncio
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image

from deeplab_tf.serving.batching import Batcher, Outputs
from deeplab_tf.serving.limits import Gate, Limits, within
from deeplab_tf.serving.metrics import Metrics
from deeplab_tf.serving.models import Models, Visit
from deeplab_tf.serving.refusal import Reason
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.signature import Signature
from deeplab_tf.serving.work import Question, Work, check_images

_WARM_UP_SIZE = (65, 65)
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

    @property
    def model(self) -> ServedModel:
        """The newest version of the first model."""
        return next(iter(self.models.values())).newest.model

    async def warm_up(self) -> None:
        """Warms every version, and is ready then."""
        for versions in self.models.values():
            for version in versions.available.values():
                await self.warm(version.model)
        self.ready = True

    async def warm(self, model: ServedModel) -> None:
        """Answers a small image by each signature, so that no client waits for TensorFlow.

        TensorFlow makes its functions in another thread than the one that answers, which takes
        seconds; the one that answers follows, since oneDNN prepares its kernels for each thread
        anew.

        Raises:
            RefusedError: the model cannot answer.
        """
        works = [_small_work(signature) for signature in model.signatures.values()]
        for work in works:
            await asyncio.to_thread(model.run, work.signature.name, work.images)
        for work in works:
            await self._batcher.answer(work, model)

    async def answer(
        self, read: Callable[[], _Asked], visit: Visit | None = None
    ) -> tuple[_Asked, Outputs]:
        """Returns the question that `read` gives, and the outputs for its images.

        Args:
            read: a function that parses a request; the thread for reading runs it.
            visit: the request, bound to its version before `read` returns; None: a request to the
                newest version of the first model.

        Raises:
            RefusedError: the request or the images are wrong, or there is no answer within the time
                limit.
        """
        seconds = self.limits.time_limit
        message = f"there is no answer within {seconds:g} s; send smaller images, or fewer at once"
        async with within(seconds, Reason.LATE, message):
            loop = asyncio.get_running_loop()
            question, work = await loop.run_in_executor(self._reader, self._checked, read)
            model = self.model if visit is None else visit.model
            return question, await self._batcher.answer(work, model)

    def _checked(self, read: Callable[[], _Asked]) -> tuple[_Asked, Work]:
        question = read()
        return question, check_images(question.signature, question.images, self.limits)


def _small_work(signature: Signature) -> Work:
    """Returns one black image for a signature."""
    if signature.takes_bytes:
        file = io.BytesIO()
        Image.new("RGB", _WARM_UP_SIZE).save(file, "PNG")
        images = np.array([file.getvalue()], object)
    else:
        images = np.zeros((1, *_WARM_UP_SIZE, signature.bands), signature.dtype)
    return Work(signature, images, _WARM_UP_SIZE)
