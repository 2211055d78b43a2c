"""An OpenVINO model with the signatures that a SavedModel of ours has."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import pixels_of
from deeplab_tf.images.resampling import enlarge_by_strips
from deeplab_tf.images.scored import labels_and_confidence
from deeplab_tf.inference.predictor import Predictor, load_predictor
from deeplab_tf.serving.refusal import bad_request, out_of_memory

Function = Callable[[np.ndarray], dict[str, np.ndarray]]
"""A signature: from its input to its outputs by name."""

METHOD = "tensorflow/serving/predict"


def open_openvino_signatures(
    folder: pathlib.Path, working_size: int | None
) -> tuple[dict[str, Function], dict[str, Any], Predictor]:
    """Opens an OpenVINO model for the server.

    `serving_default` maps pixels [B, H, W, bands] to `labels`, uint8 [B, H, W], and `confidence`,
    float32 [B, H, W] in 0..1, which a model of only labels leaves out. `image_bytes` maps JPEG or
    PNG [B], all of one size, to the same; only a model of RGB has it.

    Returns:
        The signatures and their definitions, by name, and the predictor that they use.

    Raises:
        DeeplabError: the model is damaged, was not written by `deeplab-export`, or OpenVINO is not
            installed.
    """
    predictor = load_predictor(folder, lambda line: None, working_size=working_size)

    def serving_default(images: np.ndarray) -> dict[str, np.ndarray]:
        try:
            if not predictor.gives_scores:
                return {"labels": predictor.predict(images)}
            scores = predictor.scores(images).values
            found = _enlarged(tf.constant(scores), tf.constant(images.shape[1:3]))
            return {name: values.numpy() for name, values in found.items()}
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise out_of_memory() from error
        except RuntimeError as error:  # OpenVINO's own
            if "alloc" in str(error).lower():
                raise out_of_memory() from error
            raise

    def image_bytes(encoded: np.ndarray) -> dict[str, np.ndarray]:
        try:
            pictures = [pixels_of(pathlib.Path(str(i)), data) for i, data in enumerate(encoded)]
        except DeeplabError as error:
            raise bad_request(str(error)) from error
        return serving_default(np.stack(pictures))

    takes = predictor.image_format
    pixels = _tensor("images", takes.dtype, -1, -1, -1, takes.bands)
    outputs = {"labels": _tensor("labels", np.uint8, -1, -1, -1)}
    if predictor.gives_scores:
        outputs["confidence"] = _tensor("confidence", np.float32, -1, -1, -1)
    functions: dict[str, Function] = {SIGNATURE: serving_default}
    inputs = {SIGNATURE: {"images": pixels}}
    if takes.is_rgb:
        functions["image_bytes"] = image_bytes
        inputs["image_bytes"] = {"image_bytes": _tensor("image_bytes", np.object_, -1)}
    definitions = {
        name: SignatureDef(inputs=given, outputs=outputs, method_name=METHOD)
        for name, given in inputs.items()
    }
    return functions, definitions, predictor


@tf.function(
    autograph=False, input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([2], tf.int32)]
)
def _enlarged(logits: tf.Tensor, size: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns labels and confidence by logits [B, h, w, C], enlarged to `size` where smaller."""
    judge = functools.partial(labels_and_confidence, are_logits=True)
    same = tf.reduce_all(tf.shape(logits)[1:3] == size)
    return tf.cond(
        same, lambda: judge(logits), lambda: enlarge_by_strips(logits, (size[0], size[1]), judge)
    )


def _tensor(name: str, dtype: Any, *shape: int) -> TensorInfo:
    sides = [TensorShapeProto.Dim(size=side) for side in shape]
    return TensorInfo(
        name=f"{name}:0",
        dtype=tf.as_dtype(dtype).as_datatype_enum,
        tensor_shape=TensorShapeProto(dim=sides),
    )
