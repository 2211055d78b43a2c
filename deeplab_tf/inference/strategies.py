"""The paper's inference strategies (section 4.1; tables 4 and 6).

A strategy turns a model into a function from images to labels or class probabilities.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import config as config_lib
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import EvaluateConfig, Experiment
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.resampling import enlarge_labels, enlarge_probabilities
from deeplab_tf.images.scored import ScoreMap
from deeplab_tf.inference.dense_crf import check_dense_crf, refine
from deeplab_tf.inference.windows import in_windows
from deeplab_tf.inference.working_size import (
    Enlarge,
    at_working_size,
    noting,
    working_size_of,
)
from deeplab_tf.models import with_output_stride
from deeplab_tf.models.folding import fold_into, folded

BATCH_PIXELS = 1 << 22
"""The most pixels that go through the network together, as feature maps must fit into memory."""


def resolve_evaluate_config(experiment: Experiment, **overrides) -> EvaluateConfig:
    """Returns the experiment's `evaluate` section with the `overrides` that are not None.

    Raises:
        DeeplabError: the section is not valid with the overrides.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    evaluate_config = dataclasses.replace(experiment.evaluate, **given)
    return config_lib.validate(dataclasses.replace(experiment, evaluate=evaluate_config)).evaluate


def images_to_labels(
    trained: TrainedModel,
    evaluate_config: EvaluateConfig,
    report: Callable[[str], None] = print,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images to their labels, by the strategy of `evaluate_config`.

    Images larger than those of the training go through the strategy, scales and CRF included, at
    the working size, and its scores are enlarged: logits in one view, else probabilities.

    Args:
        trained: the network and its experiment.
        evaluate_config: output_stride, working_size, scales, flip, windows, padding and CRF.
        report: gets one line at the first image that is larger than those of the training.

    Returns:
        A function of images [B, H, W, bands] in the dtype of `trained.image_format` that gives
        uint8 [B, H, W].

    Raises:
        DeeplabError: `evaluate_config.crf` is true and the CRF's library is missing or the images
            are not RGB.
    """
    return Strategy(trained, evaluate_config).labels(report)


def images_to_probabilities(
    trained: TrainedModel,
    evaluate_config: EvaluateConfig,
    report: Callable[[str], None] = print,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function like that of `images_to_labels` which gives class probabilities.

    Returns:
        A function that gives float32 [B, H, W, num_classes], which sum to 1 over the classes.
    """
    return Strategy(trained, evaluate_config).probabilities(report)


class Strategy:
    """The network at a strategy's output_stride, in the strategy's parts, windows and padding."""

    def __init__(self, trained: TrainedModel, evaluate_config: EvaluateConfig):
        if evaluate_config.crf and not trained.image_format.is_rgb:
            raise DeeplabError("--crf compares colours, and the images of this model are not RGB")
        model_config = trained.experiment.model
        self._evaluate_config = evaluate_config
        self._stride = evaluate_config.output_stride or model_config.output_stride
        self._source = trained.model
        self._model = folded(with_output_stride(trained.model, model_config, self._stride))
        self._dtype = tf.as_dtype(trained.image_format.dtype)
        self._mean = model_config.input_format.mean
        self._working = working_size_of(trained.experiment, evaluate_config)

    def labels(self, report: Callable[[str], None] = print) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the function of `images_to_labels`."""
        return self._at_working_size(label_function, enlarge_labels, report)

    def probabilities(
        self, report: Callable[[str], None] = print
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the function of `images_to_probabilities`."""
        are_logits = gives_logits(self._evaluate_config)
        return self._at_working_size(
            probability_function,
            lambda _, found, size: enlarge_probabilities(found, size, are_logits),
            report,
        )

    def _at_working_size(
        self,
        make: Callable[..., Callable[[np.ndarray], np.ndarray]],
        enlarge: Enlarge,
        report: Callable[[str], None],
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the function of `make` for images of any size; `enlarge` is of their scores."""
        scores = self.apply(score_function)
        predict = at_working_size(
            self.apply(make), lambda images: (None, scores(images)), self._working.longest, enlarge
        )
        return noting(predict, self._working, report)

    def scores(self, report: Callable[[str], None] = print) -> Callable[[np.ndarray], ScoreMap]:
        """Returns a function like that of `labels` which gives the scores of the labels.

        The scores of an image larger than those of the training are those of the shrunk image.
        """
        find = self.apply(score_function)

        def scores(images: np.ndarray) -> ScoreMap:
            found = find(self._working.shrunk(images))
            return ScoreMap(found, gives_logits(self._evaluate_config))

        return noting(scores, self._working, report)

    def copy_weights(self) -> None:
        """Takes the present weights of `trained.model` over into every function of `apply`.

        Nothing is traced anew.
        """
        fold_into(self._model, self._source)

    def apply(
        self, make: Callable[..., Callable[[np.ndarray], np.ndarray]]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the function that `make` makes of the network, for any number of images."""
        evaluate_config = self._evaluate_config
        predict = make(self._model, evaluate_config, self._dtype)
        predict = in_parts(predict, max(evaluate_config.scales))
        if evaluate_config.window:
            predict = in_windows(predict, evaluate_config.window, self._stride)
        if evaluate_config.pad_to:
            predict = _padded(predict, evaluate_config.pad_to, self._mean)
        return predict


def in_parts(
    predict: Callable[[np.ndarray], np.ndarray], scale: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function like `predict` for any number of images.

    The function gives `predict` at most `BATCH_PIXELS` pixels at a time, or one image. `scale` is
    the largest scale at which the network sees the images.
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
    """Returns a function like `predict` that pads images with `mean` and cuts the result back.

    Images smaller than `side` pixels are padded below and right to `side` pixels a side.
    """

    def predict_padded(images: np.ndarray) -> np.ndarray:
        count, height, width, bands = images.shape
        if min(height, width) >= side:
            return predict(images)
        framed = np.empty((count, max(side, height), max(side, width), bands), images.dtype)
        framed[:] = mean if images.dtype.kind == "f" else np.round(mean)
        framed[:, :height, :width] = images
        return predict(framed)[:, :height, :width]

    return predict_padded


def label_function(
    model: keras.Model, evaluate_config: EvaluateConfig, dtype: tf.DType = tf.uint8
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images [B, H, W, bands] of `dtype` to their labels, uint8 [B, H, W].

    The labels of one scale of 1, without flip and CRF, are the argmax of the logits. All others are
    the argmax of `probability_function`.

    Args:
        model: a network from pixels to logits, as `build_model` says.
        evaluate_config: scales, flip and CRF are read, as they are when this function is called.
        dtype: the type of the images, uint8 or uint16.
    """
    if evaluate_config.crf:
        refined = probability_function(model, evaluate_config, dtype)
        return lambda images: refined(images).argmax(axis=-1).astype(np.uint8)
    scales, flip = tuple(evaluate_config.scales), evaluate_config.flip
    plain = gives_logits(evaluate_config)

    @tf.function(autograph=False, input_signature=[_any_images(model, dtype)])
    def labels(images):
        if plain:
            scores = model(images, training=False)
        else:
            scores = class_probabilities(model, images, scales, flip)
        return tf.cast(tf.argmax(scores, axis=-1), tf.uint8)

    return lambda images: labels(tf.constant(images)).numpy()


def gives_logits(evaluate_config: EvaluateConfig) -> bool:
    """Returns whether labels are the argmax of logits: one view of scale 1, and no CRF."""
    one_view = tuple(evaluate_config.scales) == (1.0,) and not evaluate_config.flip
    return one_view and not evaluate_config.crf


def score_function(
    model: keras.Model, evaluate_config: EvaluateConfig, dtype: tf.DType = tf.uint8
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images, [B, H, W, bands] of `dtype`, to the scores of their labels.

    The scores, float32 [B, H, W, num_classes], are those whose argmax `label_function` gives:
    logits where `gives_logits`, else probabilities. The arguments are those of `label_function`.
    """
    if not gives_logits(evaluate_config):
        return probability_function(model, evaluate_config, dtype)
    logits = tf.function(
        lambda images: model(images, training=False),
        autograph=False,
        input_signature=[_any_images(model, dtype)],
    )
    return lambda images: logits(tf.constant(images)).numpy()


def probability_function(
    model: keras.Model, evaluate_config: EvaluateConfig, dtype: tf.DType = tf.uint8
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from images, [B, H, W, bands] of `dtype`, to `class_probabilities`.

    The function gives float32 [B, H, W, num_classes]; the fully connected CRF, where
    `evaluate_config` has it, refines the probabilities of each image. The arguments are those of
    `label_function`.
    """
    scales, flip, crf = evaluate_config.scales, evaluate_config.flip, evaluate_config.crf
    if crf:
        check_dense_crf()
    probabilities = tf.function(
        lambda images: class_probabilities(model, images, scales, flip),
        autograph=False,
        input_signature=[_any_images(model, dtype)],
    )

    def predict(images: np.ndarray) -> np.ndarray:
        found = probabilities(tf.constant(images)).numpy()
        if not crf:
            return found
        return np.stack([refine(*both) for both in zip(images, found, strict=True)])

    return predict


def _any_images(model: keras.Model, dtype: tf.DType) -> tf.TensorSpec:
    """Returns the shape of images of any size and number, so that one trace serves them all."""
    return tf.TensorSpec([None, None, None, model.input_shape[-1]], dtype, name="images")


def class_probabilities(
    model: keras.Model, images: tf.Tensor, scales: Sequence[float] = (1.0,), flip: bool = False
) -> tf.Tensor:
    """Returns class probabilities averaged over image scales and, with `flip`, mirrored images too.

    Each view of the image is resized bilinearly and goes through the model, and its softmax is
    resized back to the image's size. Probabilities are averaged, not logits. The views run one
    after the other, so memory holds one view at a time.

    Args:
        model: a network from pixels to logits, as `build_model` says.
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
    """Returns the sides of the scaled image, (side - 1) * scale + 1, and at least 1.

    A side of the form k * output_stride + 1 keeps this form: a crop of 513 becomes 257, 385, 641,
    769, 897 at the paper's scales.
    """
    return tf.cast(tf.floor(tf.cast(size - 1, tf.float32) * scale + 0.5), tf.int32) + 1


def _mirror_if(mirrored: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Returns images [B, H, W, C] with left and right exchanged where `mirrored` is true."""
    return tf.cond(mirrored, lambda: images[:, :, ::-1], lambda: images)
