"""The work on a question that both protocols share, once it has been read.

Tested in tests/serving/test_rest.py and tests/serving/test_serving_limits.py.
"""

import asyncio

import numpy as np

from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.serving.batching import Batcher, Outputs
from deeplab_tf.serving.limits import Gate, Limits, within
from deeplab_tf.serving.metrics import Metrics
from deeplab_tf.serving.refusal import Reason
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.signature import Signature
from deeplab_tf.serving.work import Work, check_images

_WARM_UP_SIZE = (65, 65)


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

    async def answer(self, signature: Signature, images: np.ndarray) -> Outputs:
        """Checks `images` and returns the outputs for them.

        Raises:
            RefusedError: the images are wrong, or there is no answer within the time limit.
        """
        seconds = self.limits.time_limit
        message = f"there is no answer within {seconds:g} s; send smaller images, or fewer at once"
        # A thread checks the images, since reading a long header would hold up other requests.
        work = await asyncio.to_thread(check_images, signature, images, self.limits.max_pixels)
        async with within(seconds, Reason.LATE, message):
            return await self._batcher.answer(work)
