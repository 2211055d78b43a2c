"""From a model to labels: the paper's inference strategies (section 4.1; tables 4 and 6)."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import config as config_lib
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import EvaluateConfig, Experiment, pixel_statistics
from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.dense_crf import check_dense_crf, refine
from deeplab_tf.inference.windows import in_windows
from deeplab_tf.models import with_output_stride
from deeplab_tf.models.folding import folded

BATCH_PIXELS = 1 << 22
"""What goes through the network together: the feature maps have to fit into memory."""


def settings_of(experiment: Experiment, **overrides) -> EvaluateConfig:
    """The experiment's `evaluate` section with the `overrides` that are not None; validated."""
    given = {name: value for name, value in overrides.items() if value is not None}
    evaluate = dataclasses.replace(experiment.evaluate, **given)
    return config_lib.validate(dataclasses.replace(experiment, evaluate=evaluate)).evaluate


def images_to_labels(
    trained: TrainedModel, settings: EvaluateConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """[B, H, W, bands] in the dtype of `trained.image_format` -> uint8 [B, H, W], by the
    inference strategy of `settings`.

    Raises:
        DeeplabError: `settings.crf` without the CRF's library, or for images that are not RGB.
    """
    if settings.crf and not trained.image_format.is_rgb:
        raise DeeplabError("--crf compares colours, and the images of this model are not RGB")
    config = trained.experiment.model
    stride = settings.output_stride or config.output_stride
    model = folded(with_output_stride(trained.model, config, stride))
    dtype = tf.as_dtype(trained.image_format.dtype)
    labels = label_function(model, settings.scales, settings.flip, settings.crf, dtype)
    labels = in_parts(labels, max(settings.scales))
    if settings.window:
        labels = in_windows(labels, settings.window, stride)
    if settings.pad_to:
        labels = _padded(labels, settings.pad_to, pixel_statistics(config).mean)
    return labels


def in_parts(
    predict: Callable[[np.ndarray], np.ndarray], scale: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    """`predict` for any number of images, at most `BATCH_PIXELS` at a time, or one image.

    `scale` is the largest that the network sees.
    """

    def predict_parts(images: np.ndarray) -> np.ndarray:
        pixels = images.shape[1] * images.shape[2] * scale**2
        step = max(1, int(BATCH_PIXELS / pixels))
        parts = [predict(images[i : i + step]) for i in range(0, len(images), step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return predict_parts


def _padded(
    predict: Callable[[np.ndarray], np.ndarray], side: int, mean: Sequence[float]
) -> Callable[[np.ndarray], np.ndarray]:
    """`predict` on images padded with `mean`, below and right, to `side` pixels a side."""

    def predict_padded(images: np.ndarray) -> np.ndarray:
        count, height, width, bands = images.shape
        if min(height, width) >= side:
            return predict(images)
        framed = np.empty((count, max(side, height), max(side, width), bands), images.dtype)
        framed[:] = np.round(mean)
        framed[:, :height, :width] = images
        return predict(framed)[:, :height, :width]

    return predict_padded


def label_function(
    model: keras.Model,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    crf: bool = False,
    dtype: tf.DType = tf.uint8,
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images, [B, H, W, bands] of `dtype`, to their labels, uint8 [B, H, W].

    One scale of 1 without flip is the argmax of the logits; anything else the argmax of
    `class_probabilities`, which with `crf` are refined before.
    """
    # A single trace serves every size and number of images.
    spec = tf.TensorSpec([None, None, None, model.input_shape[-1]], dtype, name="images")
    if crf:
        check_dense_crf()
        probabilities = tf.function(
            lambda images: class_probabilities(model, images, scales, flip),
            input_signature=[spec],
        )
        return lambda images: np.stack(
            [
                refine(image, unrefined).argmax(axis=-1).astype(np.uint8)
                for image, unrefined in zip(
                    images, probabilities(tf.constant(images)).numpy(), strict=True
                )
            ]
        )
    plain = tuple(scales) == (1.0,) and not flip

    @tf.function(input_signature=[spec])
    def labels(images):
        if plain:
            scores = model(images, training=False)
        else:
            scores = class_probabilities(model, images, scales, flip)
        return tf.cast(tf.argmax(scores, axis=-1), tf.uint8)

    return lambda images: labels(tf.constant(images)).numpy()


def class_probabilities(
    model: keras.Model, images: tf.Tensor, scales: Sequence[float] = (1.0,), flip: bool = False
) -> tf.Tensor:
    """Class probabilities averaged over image scales and, with `flip`, over mirrored images too.

    Each view is resized bilinearly, goes through the model, and its softmax is resized back to the
    image's size; probabilities are averaged, not logits. The views run one after the other, so that
    memory holds one at a time.

    Args:
        model: pixels to logits, as `build_model` says.
        images: [B, H, W, bands], of any integer type.
        scales: positive factors of the image's sides.
        flip: whether to add the left-right mirrored view of each scale.

    Returns:
        float32 [B, H, W, num_classes], which sums to 1 over the classes.
    """
    views = [
        (scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))
    ]
    view_scales = tf.constant([scale for scale, _ in views], tf.float32)
    view_mirrored = tf.constant([mirrored for _, mirrored in views])
    size = tf.shape(images)[1:3]
    pixels = tf.cast(images, tf.float32)

    def add_view(index, total):
        view = tf.image.resize(pixels, _scaled(size, view_scales[index]))
        probabilities = tf.nn.softmax(model(_mirror_if(view_mirrored[index], view), training=False))
        probabilities = tf.image.resize(_mirror_if(view_mirrored[index], probabilities), size)
        return index + 1, total + probabilities

    classes = model.output_shape[-1]
    total = tf.zeros(tf.concat([tf.shape(images)[:3], [classes]], axis=0))
    total.set_shape([images.shape[0], images.shape[1], images.shape[2], classes])
    _, total = tf.while_loop(
        lambda index, _: index < len(views),
        add_view,
        (0, total),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([images.shape[0], None, None, classes]),
        ),
        parallel_iterations=1,
    )
    return total / len(views)


def _scaled(size: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Sides of the scaled image: (side - 1) * scale + 1, which keeps k * output_stride + 1.

    A crop of 513 becomes 257, 385, 641, 769, 897 at the paper's scales. At least 1.
    """
    return tf.cast(tf.floor(tf.cast(size - 1, tf.float32) * scale + 0.5), tf.int32) + 1


def _mirror_if(mirrored: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C], left and right exchanged where `mirrored` is true."""
    return tf.cond(mirrored, lambda: images[:, :, ::-1], lambda: images)
