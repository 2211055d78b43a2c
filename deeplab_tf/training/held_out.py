"""The network of a training, evaluated on the held-out split while it trains."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.records import naming_corrupt_file
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.confusion import Scores
from deeplab_tf.inference.devices import CopyOnEachDevice
from deeplab_tf.inference.examples import count_examples
from deeplab_tf.inference.scorer import Scorer
from deeplab_tf.inference.working_size import once
from deeplab_tf.training.held_out_split import HeldOutSplit

LOSS_UNITS = 1 << 20
"""The units of a nat in which an image's loss is counted, so that the sum over all images is exact
in any order and over any number of workers."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The figures of some weights on the held-out split.

    Attributes:
        scores: the figures of the confusion matrix over all images.
        loss: the mean cross entropy over the valid pixels of all images, in nats.
    """

    scores: Scores
    loss: float


class HeldOut:
    """The network of a training on the held-out split, built once for all evaluations.

    Args:
        trained: the network, whose weights are read anew at each evaluation, with its experiment.
        split: the split.
        devices: the names of this process' devices, each of which gets a copy of the network; empty
            where TensorFlow's own choice of one device will do.
        workers: the processes of the training, which share the images.
        report: gets one line at the first image that is larger than those of the training.

    Raises:
        DeeplabError: the experiment's `evaluate` section asks for a CRF that cannot be had.
    """

    def __init__(
        self,
        trained: TrainedModel,
        split: HeldOutSplit,
        devices: list[str],
        workers: Workers,
        report: Callable[[str], None] = print,
    ):
        experiment, note = trained.experiment, once(report)
        self._scorers = CopyOnEachDevice(
            lambda: Scorer(trained, experiment.evaluate, note), devices
        )
        self._classes = trained.classes.num_classes
        self._split, self._workers = split, workers
        self._images = evaluation_images(
            split.files, workers.index * split.every, workers.count * split.every
        )

    def measure(self, stopped: Callable[[], int]) -> tuple[Measured | None, int]:
        """Evaluates the present weights; all workers must call this method.

        Args:
            stopped: a function that gives the number of a signal that stops all workers, or 0. All
                workers call it together, after each image.

        Returns:
            The figures and 0; or None and the number of the signal.

        Raises:
            DeeplabError: a record file is corrupt, or the network gives what is not finite.
        """
        for copy in self._scorers.copies:
            copy.copy_weights()
        at_once = len(self._scorers.copies)
        matrix, units = np.zeros((self._classes, self._classes), np.int64), 0
        counted = count_examples(self._score, self._examples(), self._classes, at_once)
        # Workers with an image less take part in the last round too.
        rounds = range(-(-self._split.num_images // self._workers.count))
        for _ in tqdm.tqdm(rounds, desc="validate", unit="image", disable=None, leave=False):
            if (each := next(counted, None)) is not None:
                matrix += each.matrix
                units += self._units(each.name, each.more)
            if stop := stopped():
                counted.close()
                return None, stop
        *cells, units = self._workers.sum(np.array([*matrix.flat, units], np.int64))
        matrix = np.array(cells, np.int64).reshape(matrix.shape)
        return Measured(Scores.from_matrix(matrix), int(units) / LOSS_UNITS / int(matrix.sum())), 0

    def _score(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
        with self._scorers.take() as scorer:
            return scorer(image, mask)

    def _units(self, name: str, loss: float) -> int:
        if not math.isfinite(loss):
            raise DeeplabError(
                f"the network gives scores that are not finite for {name} of {self._split.name}; "
                "train in another --workdir with a lower train.base_learning_rate"
            )
        return round(loss * LOSS_UNITS)

    def _examples(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        with naming_corrupt_file(self._split.files):
            for name, image, mask in self._images.as_numpy_iterator():
                yield name.decode(), image, mask
