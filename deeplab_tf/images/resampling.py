"""Images shrunk and scores enlarged again, as operations of TensorFlow, alone or inside a graph.

Pixel centres lie at half-integers on both grids, in both directions.

Tested in tests/inference/test_working_size.py.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

STRIP_VALUES = 1 << 22
"""The most scores that a strip of the enlarged scores has: 16 MB in float32; one row may have
more."""


def shrunk_size(height, width, longest):
    """Returns the (height, width) of an image whose longer side is shrunk to `longest` pixels.

    The sides keep their proportion, rounded to whole pixels, halves up, and are at least 1. All
    numbers are Python integers, or all are scalar integer tensors.
    """
    most = tf.maximum if tf.is_tensor(height) else max
    longer = most(height, width)
    return tuple(most((side * longest + longer // 2) // longer, 1) for side in (height, width))


def shrink(images: tf.Tensor, size: tuple) -> tf.Tensor:
    """Returns images [B, H, W, bands] at the smaller (height, width) `size`, in their own dtype.

    Each pixel is the mean, under a triangle twice as wide as the shrinkage, of the pixels that it
    covers, and is rounded unless it is a float. The pixels are those of Pillow's bilinear `resize`
    but for the rounding.
    """
    sides = tf.cast(tf.stack(size), tf.int32)
    small = tf.image.resize(images, sides, antialias=True)
    if tf.as_dtype(images.dtype).is_floating:
        return small
    return tf.saturate_cast(tf.round(small), images.dtype)


def enlarge(scores: tf.Tensor, size: tuple) -> tf.Tensor:
    """Returns scores [B, h, w, C] interpolated bilinearly to [B, *size, C], float32."""
    return enlarged_rows(scores, size, tf.range(size[0]))


def enlarge_by_strips(
    scores: tf.Tensor, size: tuple, reduce: Callable[[tf.Tensor], dict[str, tf.Tensor]]
) -> dict[str, tf.Tensor]:
    """Returns `reduce(enlarge(scores, size))`, with one strip of rows in memory at a time.

    Args:
        scores: float32 [B, h, w, C].
        size: (height, width) of the result.
        reduce: a function from scores [B, rows, W, C] to maps [B, rows, W] by name, which needs
            only a pixel's own scores.

    Returns:
        Maps [B, *size], by the names of `reduce`.
    """
    batch, classes = tf.shape(scores)[0], tf.shape(scores)[3]
    row = tf.cast(batch, tf.int64) * tf.cast(size[1] * classes, tf.int64)
    strip = tf.cast(tf.maximum(tf.constant(STRIP_VALUES, tf.int64) // row, 1), tf.int32)
    count = (size[0] + strip - 1) // strip
    names = reduce(scores)  # only for its names and dtypes; a graph drops the unused operations
    maps = {
        name: tf.TensorArray(values.dtype, size=count, infer_shape=False)
        for name, values in names.items()
    }

    def add_strip(index, maps):
        rows = tf.range(index * strip, tf.minimum((index + 1) * strip, size[0]))
        found = reduce(enlarged_rows(scores, size, rows))
        # Strips are joined along the first axis, so the rows come first.
        return index + 1, {
            name: array.write(index, tf.transpose(found[name], (1, 0, 2)))
            for name, array in maps.items()
        }

    _, maps = tf.while_loop(
        lambda index, _: index < count,
        add_strip,
        (tf.constant(0), maps),
        parallel_iterations=1,
    )
    return {name: tf.transpose(array.concat(), (1, 0, 2)) for name, array in maps.items()}


def enlarged_rows(scores: tf.Tensor, size: tuple, rows: tf.Tensor) -> tf.Tensor:
    """Returns the given rows of `enlarge(scores, size)`, [B, len(rows), W, C]."""
    height = tf.shape(scores)[1]
    scale = tf.cast(height, tf.float32) / tf.cast(size[0], tf.float32)
    position = (tf.cast(rows, tf.float32) + 0.5) * scale - 0.5
    above = tf.floor(position)
    share = (position - above)[None, :, None, None]
    first = tf.gather(scores, tf.clip_by_value(tf.cast(above, tf.int32), 0, height - 1), axis=1)
    second = tf.gather(
        scores, tf.clip_by_value(tf.cast(above, tf.int32) + 1, 0, height - 1), axis=1
    )
    lines = first + (second - first) * share
    return tf.raw_ops.ResizeBilinear(
        images=lines, size=tf.stack([tf.size(rows), size[1]]), half_pixel_centers=True
    )


def shrink_images(images: np.ndarray, longest: int) -> np.ndarray:
    """Returns images [B, H, W, bands] whose longer side is shrunk to `longest`, in their dtype."""
    size = shrunk_size(images.shape[1], images.shape[2], longest)
    # One image at a time: a large photo is copied for TensorFlow.
    return np.concatenate([_shrink(image[None], tf.constant(size)).numpy() for image in images])


def enlarge_labels(
    labels: np.ndarray | None, scores: np.ndarray | None, size: tuple[int, int]
) -> np.ndarray:
    """Returns the labels of images of (height, width) `size` by those of the shrunk images.

    Args:
        labels: integers [B, h, w], which are enlarged by nearest neighbour where there are no
            scores.
        scores: float32 [B, h, w, C], whose argmax the labels are, which are enlarged bilinearly.
        size: the images' own size.

    Returns:
        uint8 [B, *size].
    """
    if scores is not None:
        return _argmax_of_enlarged(tf.constant(scores), tf.constant(size)).numpy()
    assert labels is not None
    height, width = size
    return np.stack(
        [
            np.asarray(
                Image.fromarray(found.astype(np.uint8)).resize(
                    (width, height), Image.Resampling.NEAREST
                )
            )
            for found in labels
        ]
    )


def enlarge_probabilities(
    scores: np.ndarray, size: tuple[int, int], are_logits: bool
) -> np.ndarray:
    """Returns float32 [B, *size, C], the enlarged scores, as class probabilities.

    `are_logits` says whether `scores`, float32 [B, h, w, C], are logits and not probabilities.
    """
    arguments = tf.constant(scores), tf.constant(size), tf.constant(are_logits)
    return _enlarged_probabilities(*arguments).numpy()


@tf.function(autograph=False, reduce_retracing=True)
def _shrink(images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return shrink(images, (size[0], size[1]))


@tf.function(
    autograph=False, input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([2], tf.int32)]
)
def _argmax_of_enlarged(scores: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return enlarge_by_strips(scores, (size[0], size[1]), _labels)["labels"]


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec([None] * 4),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.bool),
    ],
)
def _enlarged_probabilities(scores: tf.Tensor, size: tf.Tensor, are_logits: tf.Tensor) -> tf.Tensor:
    enlarged = enlarge(scores, (size[0], size[1]))
    return tf.cond(are_logits, lambda: tf.nn.softmax(enlarged), lambda: enlarged)


def _labels(scores: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"labels": tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)}
