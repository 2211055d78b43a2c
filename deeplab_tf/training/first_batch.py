"""Messages on the first batch and the first loss of a training, which show faults early."""

import math

import numpy as np

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, Classes

SURPRISING = 2.0
"""A first loss gets a note where it is this many times above or below the loss of guessing."""


def describe_batch(images: np.ndarray, masks: np.ndarray, classes: Classes) -> str:
    """Returns one line on the batch: size, classes, void, pixel values; a second if all is void.

    Args:
        images: [B, H, W, bands].
        masks: the ground truth, integer [B, H, W].
        classes: the classes of the data set.

    Raises:
        DeeplabError: a label is neither a class nor void.
    """
    found, counts = np.unique(masks, return_counts=True)
    wrong = [int(label) for label in found if classes.num_classes <= label != VOID]
    if wrong:
        raise DeeplabError(
            f"the first batch has label {wrong[0]}, but {classes.dataset} has the classes 0 to "
            f"{classes.num_classes - 1} and {VOID} for void; write the records again with "
            "deeplab-prepare"
        )
    void = counts[found == VOID].sum() / masks.size
    present = np.count_nonzero(found != VOID)
    text = (
        f"first batch: {len(images)} images of {images.shape[2]}x{images.shape[1]}, {present} of "
        f"{classes.num_classes} classes, {void:.1%} void, pixels {images.min():.0f} to "
        f"{images.max():.0f}"
    )
    if void == 1:
        text += (
            "\nnote: the first batch teaches nothing; look at the masks (deeplab-prepare --check)"
        )
    return text


def describe_first_loss(cross_entropy: float, num_classes: int, fresh: bool) -> str:
    """Returns one line that compares the first loss with ln(classes), the loss of guessing.

    A second line is a note, where a fresh network's loss is far from that of guessing.

    Args:
        cross_entropy: the mean over the valid pixels of the first batch, in nats.
        num_classes: the number of classes to guess from.
        fresh: whether the network begins with random weights, and so can only guess.
    """
    guessing = math.log(num_classes)
    text = f"first loss: {cross_entropy:.2f}; guessing costs ln({num_classes}) = {guessing:.2f}"
    if fresh and not guessing / SURPRISING <= cross_entropy <= guessing * SURPRISING:
        text += (
            "\nnote: random weights should begin near guessing; look at the masks (deeplab-prepare "
            "--check), and try --overfit_one_batch"
        )
    return text
