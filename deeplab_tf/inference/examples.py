"""The labelled examples of a split through a network, each with its confusion matrix.

Tested in tests/evaluation/test_evaluate.py and tests/training/test_held_out.py, through
`evaluate_split` and `HeldOut`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.confusion import check_truth, confusion_matrix
from deeplab_tf.parallel import in_threads

More = TypeVar("More")


@dataclasses.dataclass(frozen=True)
class CountedExample(Generic[More]):
    """One example and what a network made of it.

    Attributes:
        name: the id of the example.
        image, mask: the image [H, W, bands] and its ground truth, uint8 [H, W].
        labels: the prediction, uint8 [H, W].
        matrix: int64 [C, C] of the example; rows are true classes, columns predicted classes.
        more: what else the network gave.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    matrix: np.ndarray
    more: More


def count_examples(
    predict: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, More]],
    examples: Iterable[tuple[str, np.ndarray, np.ndarray]],
    num_classes: int,
    at_once: int,
) -> Iterator[CountedExample[More]]:
    """Yields every example with its prediction and its confusion matrix, in the given order.

    Args:
        predict: a function from an image [H, W, bands] and its mask, uint8 [H, W], to labels, uint8
            [H, W], and anything else.
        examples: (id, image, mask) of each example.
        num_classes: the number of classes, without void.
        at_once: the number of threads that call `predict`.

    Raises:
        DeeplabError: a mask has a label that is no class; the message names the example.
    """

    def count(example: tuple[str, np.ndarray, np.ndarray]) -> CountedExample[More]:
        name, image, mask = example
        try:
            check_truth(mask, num_classes)  # before `predict`, which may use it as an index
        except DeeplabError as error:
            raise DeeplabError(f"example {name}: {error}") from error
        labels, more = predict(image, mask)
        try:
            matrix = confusion_matrix(mask, labels, num_classes)
        except DeeplabError as error:
            raise DeeplabError(f"example {name}: {error}") from error
        return CountedExample(name, image, mask, labels, matrix, more)

    return in_threads(count, examples, at_once)
