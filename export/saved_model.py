"""The export as a SavedModel: labels from pixels or encoded images, in TensorFlow or TF Serving."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.artefacts.saved_model import (
    EXTRA_DIR,
    SAVED_MODEL_FILE,
    SIGNATURE,
    WORKING_SIZE,
)
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import check_folder, folder_of, json_with, whole_folder
from deeplab_tf.images.resampling import enlarge, enlarge_by_strips, shrink, shrunk_size
from deeplab_tf.images.scored import labels_and_confidence
from deeplab_tf.inference.strategies import class_probabilities
from deeplab_tf.inference.working_size import working_size_of
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.models.folding import folded

from .exif import exif_orientation, upright
from .operations import refuse_space_to_batch, saved_model_operations
from .parity import ComparedImages, Export, check, compare, keras_logits, write_report


@dataclasses.dataclass(frozen=True)
class Serving:
    """The outputs of a SavedModel, and the views that they are computed from.

    Attributes:
        signatures: the signatures besides the two that are always there, any of `probabilities`,
            `logits` and `uncertainty`.
        scales, flip: the views whose class probabilities are averaged, as in `EvaluateConfig`.
    """

    signatures: tuple[str, ...] = ()
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @property
    def one_view(self) -> bool:
        """Returns whether the image goes through the network once, as it is."""
        return self.scales == (1.0,) and not self.flip


PLAIN = Serving()
is_saved_model = folder_of(
    *(SAVED_MODEL_FILE, "fingerprint.pb", "variables", "assets", EXTRA_DIR, "parity.json"),
    known={f"{EXTRA_DIR}/{DESCRIPTION}": json_with("labels", "experiment")},
)
"""Recognises a SavedModel of `export_saved_model`."""


def export_saved_model(
    trained: TrainedModel,
    out_dir: str | os.PathLike,
    images: ComparedImages,
    serving: Serving = PLAIN,
) -> Export:
    """Writes the SavedModel `out_dir` with `parity.json` inside; all of it or nothing appears.

    Args:
        trained: the model to export.
        out_dir: the folder to write: absent, empty, or a SavedModel of ours, which is replaced.
        images: the images on which the written model and `trained.model` must agree.
        serving: the outputs and views.

    Raises:
        DeeplabError: `out_dir` holds anything else, the two models disagree, or logits are asked
            for with several views.
    """
    out_dir = pathlib.Path(out_dir)
    check_folder(out_dir, is_saved_model)
    if "logits" in serving.signatures and not serving.one_view:
        raise DeeplabError(
            "several scales and flip average probabilities, of which there are no logits; give "
            "--scales=1 --noflip, or ask for --signatures=probabilities"
        )
    with whole_folder(out_dir, is_saved_model) as temporary:
        write_saved_model(trained, temporary, serving)
        parity = compare(_reference(trained, serving), saved_model_runner(temporary), images)
        check(parity, "none", f"SavedModel {out_dir}")
        size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
        export = Export(out_dir, out_dir / "parity.json", size, parity)
        stride = trained.experiment.model.output_stride
        write_report(
            temporary / "parity.json",
            export,
            format="saved_model",
            quantize="none",
            output_stride=stride,
            facts={**dataclasses.asdict(serving), "working_size": _working_size(trained)},
        )
    return export


def _reference(trained: TrainedModel, serving: Serving) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that gives the scores of `serving_module` by the Keras model itself."""
    if serving.one_view:
        return keras_logits(trained.model)
    return lambda images: class_probabilities(
        trained.model, tf.constant(images), serving.scales, serving.flip
    ).numpy()


def saved_model_runner(
    directory: str | os.PathLike,
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that runs the loaded SavedModel.

    The function maps uint8 [1, H, W, 3] to labels uint8 [1, H, W] and scores float32 [1, H, W, C].
    """
    served = tf.saved_model.load(str(directory))
    serve = served.signatures[SIGNATURE]

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return serve(images=tf.constant(image))["labels"].numpy(), served.scores(image).numpy()

    return run


def write_saved_model(
    trained: TrainedModel, directory: str | os.PathLike, serving: Serving = PLAIN
) -> None:
    """Writes a SavedModel with the description in `assets.extra`, readable by plain TensorFlow.

    Signatures:
        serving_default: `images` uint8 [B, H, W, 3] (or the data set's bands, uint16 where they
            have 16 bits) -> `labels` uint8 [B, H, W], and `confidence` float32 [B, H, W], the
            largest class probability, in 0..1.
        image_bytes: `image_bytes` string [B], JPEG or PNG, all of one size -> the same for the
            upright images (EXIF orientation of JPEGs applied), at their own size; only for RGB
            models.
        probabilities, logits: on request, `images` as above -> float32 [B, H, W, C]: answers a
            hundred times the size.
        uncertainty: on request, `images` as above -> `uncertainty` float32 [B, H, W], the entropy
            of the class probabilities in nats, 0 to ln(C).

    The network sees an image longer than the experiment's working size shrunk to it, and its scores
    are enlarged to the image's size, a strip at a time where only labels are asked for. The
    variable `working_size` holds that size in pixels, 0 for any.

    The SavedModel also has a plain function `scores`, whose largest class is the label: logits or,
    with several views, probabilities.
    """
    module = serving_module(trained, serving)
    signatures = {name: getattr(module, name) for name in (SIGNATURE, *serving.signatures)}
    if trained.image_format.is_rgb:
        signatures["image_bytes"] = module.image_bytes
    with traced_for(Runs.ANYWHERE):
        tf.saved_model.save(module, str(directory), signatures=signatures)
    refuse_space_to_batch(saved_model_operations(directory), "the SavedModel")
    extra = pathlib.Path(directory) / EXTRA_DIR
    extra.mkdir()
    evaluate_config = dataclasses.replace(
        trained.experiment.evaluate, scales=serving.scales, flip=serving.flip
    )
    experiment = dataclasses.replace(trained.experiment, evaluate=evaluate_config)
    (extra / DESCRIPTION).write_text(describe(experiment, trained.classes))


def _working_size(trained: TrainedModel) -> int | None:
    return working_size_of(trained.experiment, trained.experiment.evaluate).longest


def serving_module(trained: TrainedModel, serving: Serving = PLAIN) -> tf.Module:
    """Returns the functions that `write_saved_model` describes and the variables that they read.

    The module is not the Keras model, which would bring its training functions along.
    """
    image_format, network = trained.image_format, folded(trained.model)
    pixels = tf.TensorSpec(
        (None, None, None, image_format.bands), image_format.dtype, name="images"
    )

    longest = tf.Variable(
        tf.constant(_working_size(trained) or 0), trainable=False, dtype=tf.int32, name=WORKING_SIZE
    )

    @tf.function(autograph=False, input_signature=[pixels])
    def seen(images):
        # A function of its own, so that the SavedModel holds the network once.
        if serving.one_view:
            return network(images, training=False)
        return class_probabilities(network, images, serving.scales, serving.flip)

    def look(images):
        """Returns the scores as the network gives them, whether they must be enlarged, and to what
        (height, width)."""
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        is_larger = (longest > 0) & (tf.maximum(height, width) > longest)
        sides = (tf.cast(side, tf.int64) for side in (height, width, longest))
        small = tf.cond(is_larger, lambda: shrink(images, shrunk_size(*sides)), lambda: images)
        small.set_shape((None, None, None, image_format.bands))
        return seen(small), is_larger, (height, width)

    @tf.function(autograph=False, input_signature=[pixels])
    def scores(images):
        scored, is_larger, size = look(images)
        return tf.cond(is_larger, lambda: enlarge(scored, size), lambda: scored)

    def maps(images, reduce):
        """Returns `reduce(scores(images))` without the whole enlarged scores."""
        scored, is_larger, size = look(images)
        return tf.cond(
            is_larger, lambda: enlarge_by_strips(scored, size, reduce), lambda: reduce(scored)
        )

    def class_shares(scored):
        return tf.nn.softmax(scored) if serving.one_view else scored

    def entropy(scored):
        # xlogy takes 0 * log(0) as 0.
        shares = class_shares(scored)
        return {"uncertainty": -tf.reduce_sum(tf.math.xlogy(shares, shares), axis=-1)}

    @tf.function(autograph=False, input_signature=[pixels])
    def serving_default(images):
        return maps(images, lambda scored: labels_and_confidence(scored, serving.one_view))

    @tf.function(autograph=False, input_signature=[pixels])
    def probabilities(images):
        return {"probabilities": class_shares(scores(images))}

    @tf.function(autograph=False, input_signature=[pixels])
    def logits(images):
        return {"logits": scores(images)}

    @tf.function(autograph=False, input_signature=[pixels])
    def uncertainty(images):
        return maps(images, entropy)

    module = tf.Module()
    module.model_variables = [variable.value for variable in network.variables]
    setattr(module, WORKING_SIZE, longest)
    module.scores, module.serving_default = scores, serving_default
    extra = {"probabilities": probabilities, "logits": logits, "uncertainty": uncertainty}
    for name in serving.signatures:
        setattr(module, name, extra[name])
    if image_format.is_rgb:

        @tf.function(
            autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
        )
        def image_bytes(image_bytes):
            return serving_default(decode_images(image_bytes))

        module.image_bytes = image_bytes
    return module


def decode_images(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes [B] strings, JPEG or PNG of one size, to uint8 [B, H, W, 3] RGB, upright, as a graph.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for no image, for images of different
            sizes (the message says which), and for what is neither JPEG nor PNG.
    """
    count = tf.size(encoded)
    with tf.control_dependencies([tf.debugging.assert_positive(count, "image_bytes is empty")]):
        first = _decode(encoded[0])

    def decode_like_first(index):
        image = tf.cond(tf.equal(index, 0), lambda: first, lambda: _decode(encoded[index]))
        same = tf.debugging.Assert(
            tf.reduce_all(tf.equal(tf.shape(image), tf.shape(first))),
            [
                "images of one request must have one size [H, W, 3]: image 0 has",
                tf.shape(first),
                "and this one, by index, shape",
                index,
                tf.shape(image),
            ],
        )
        with tf.control_dependencies([same]):
            return tf.identity(image)

    each = tf.TensorSpec((None, None, 3), tf.uint8)
    return tf.map_fn(decode_like_first, tf.range(count), fn_output_signature=each)


# A function of its own is traced once, for the first image and for the others.
@tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
def _decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a scalar string to uint8 [H, W, 3].

    Grey, palette, 16-bit and CMYK images become RGB, and alpha is dropped. The slow, exact inverse
    cosine transform is what Pillow and browsers use.
    """
    # The first bytes are checked, since decode_jpeg reads not only PNG but also GIF and WebP, as
    # films of rank 4.
    known = tf.equal(tf.strings.substr(encoded, 0, 2), [b"\xff\xd8", b"\x89P"])
    message = "image_bytes must be JPEG or PNG"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(known), [message])]):
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return upright(image, exif_orientation(encoded))
