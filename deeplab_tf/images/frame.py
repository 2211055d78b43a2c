"""The use of a model of one static size on images of any size.

Tested in tests/inference/test_predictor.py.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf.images.resampling import enlarge_labels, shrink


def into_frame(
    image: np.ndarray, frame: tuple[int, int], fill: np.ndarray, longest: int | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Puts an image of any size into the frame of a model of one static size.

    An image that fits is padded at the bottom and the right; a larger one is first shrunk to fit,
    bilinearly and keeping its aspect.

    Args:
        image: [H, W, bands], of any dtype that `ImageFormat` has.
        frame: the static (height, width).
        fill: [bands], the pixel to pad with: the mean, which the network sees as zero.
        longest: the longest side that the image may have in the frame; None leaves it to the frame.

    Returns:
        The framed image, [1, *frame, bands] in its own dtype, and the height and width of the image
        in the frame.
    """
    height, width = image.shape[:2]
    longest = longest or max(frame)
    shrink = min(1.0, frame[0] / height, frame[1] / width, longest / max(height, width))
    # Rounding down keeps the image inside the frame. The 1e-6 keeps float errors from losing a
    # pixel, and the maximum keeps a thin image from vanishing.
    inner = (max(1, int(height * shrink + 1e-6)), max(1, int(width * shrink + 1e-6)))
    if inner != (height, width):
        image = _shrunk(image, inner)
    framed = np.empty((1, *frame, image.shape[-1]), image.dtype)
    framed[:] = fill
    framed[0, : inner[0], : inner[1]] = image
    return framed, inner


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns an image [H, W, bands] at the smaller (height, width) `size`, in its own dtype."""
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        # The page in a browser computes the same fixed-point numbers.
        small = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(small)
    return shrink(tf.constant(image[None]), size)[0].numpy()


def predict_in_frame(
    image: np.ndarray,
    frame: tuple[int, int],
    fill: np.ndarray,
    run: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
    longest: int | None = None,
) -> np.ndarray:
    """Predicts the labels of an image of any size with a model of one static size.

    An image is put into the frame by `into_frame`. The scores of an image that was shrunk are
    enlarged to the image's size bilinearly or, where the model gives none, its labels by nearest
    neighbour. Small objects in a large image may be lost by shrinking, so a model should be
    exported with a size that fits the images.

    Args:
        image: [H, W, bands].
        frame: the static (height, width).
        fill: [bands], the pixel to pad with: the mean, which the network sees as zero.
        run: the model, from images [1, height, width, bands] to integer labels [1, height, width]
            and the scores [1, height, width, C] whose argmax they are, or None.
        longest: as for `into_frame`.

    Returns:
        The labels, uint8 [H, W].
    """
    framed, inner = into_frame(image, frame, fill, longest)
    part = np.s_[:, : inner[0], : inner[1]]
    labels, scores = run(framed)
    size = image.shape[0], image.shape[1]
    if inner == size:
        return labels[part][0].astype(np.uint8)
    return enlarge_labels(labels[part], None if scores is None else scores[part], size)[0]
