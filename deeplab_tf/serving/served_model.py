"""The model that is served: its name, version and signatures, and how it answers."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deeplab_tf.artefacts.openvino import MODEL_FILE, is_openvino
from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE, open_saved_model
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.inference.working_size import WorkingSize, working_size_of_saved_model
from deeplab_tf.serving.batching import Outputs
from deeplab_tf.serving.openvino_model import open_openvino_signatures
from deeplab_tf.serving.refusal import bad_request, out_of_memory
from deeplab_tf.serving.signature import Signature
from deeplab_tf.serving.work import small_work


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model of TensorFlow Serving's kind: one name, one version, some signatures.

    Attributes:
        name, version: the model's place in the paths, /v1/models/NAME/versions/VERSION.
        signatures: the signatures by name.
        definitions: the signatures as TensorFlow Serving's metadata has them, by name.
        functions: the signatures by name, from the input to the outputs.
        working: the sizes at which the network sees images.
    """

    name: str
    version: int
    signatures: dict[str, Signature]
    definitions: dict[str, Any]
    functions: dict[str, Callable[[np.ndarray], Outputs]]
    working: WorkingSize

    def run(self, signature: str, images: np.ndarray) -> Outputs:
        """Returns the outputs of the named signature for checked images, by the outputs' names.

        The outputs are [B, H, W], and probabilities and logits [B, H, W, C].

        Raises:
            RefusedError: an image cannot be decoded, or there is not enough memory.
        """
        return self.functions[signature](images)


def open_served_model(
    path: pathlib.Path, name: str | None = None, working_size: int | None = None
) -> ServedModel:
    """Loads a SavedModel or an OpenVINO model of ours.

    Args:
        path: the model's folder.
        name: the name that clients use for the model; None takes the folder's name, without a
            number.
        working_size: the longest side, in pixels, at which the network sees an image, 0 for any;
            None: as exported.

    Raises:
        DeeplabError: there is no model, it was not written by deeplab-export, it is damaged,
            or it is too old for a `working_size`.
    """
    folder = pathlib.Path(path).absolute()
    if not any((folder / mark).is_file() for mark in (SAVED_MODEL_FILE, MODEL_FILE)):
        raise DeeplabError(
            f"--model={folder} must be a SavedModel, an OpenVINO model or a folder of numbered "
            f"ones; write one by deeplab-export --format=saved_model --out={folder / '1'}"
        )
    version, called = 1, folder.name
    if folder.name.isdecimal():
        version, called = int(folder.name), folder.parent.name
    largest_scale = 1.0
    if is_openvino(folder):
        functions, definitions, predictor = open_openvino_signatures(folder, working_size)
        experiment, working = predictor.experiment, predictor.working
        assert experiment is not None  # a model without a description is refused
    else:
        loaded, experiment, _ = open_saved_model(folder)
        working = working_size_of_saved_model(loaded, folder, experiment, working_size)
        definitions, largest_scale = _definitions(folder), max(experiment.evaluate.scales)
        functions = {key: _function(loaded, key) for key in loaded.signatures}
    cost = {
        "stride": experiment.model.output_stride,
        "largest_scale": largest_scale,
        "longest": working.longest,
    }
    signatures = {
        key: dataclasses.replace(_signature(key, definition), **cost)
        for key, definition in definitions.items()
        if key in functions
    }
    return ServedModel(name or called, version, signatures, definitions, functions, working)


def open_answering(
    path: pathlib.Path, name: str | None = None, working_size: int | None = None
) -> ServedModel:
    """Loads a model as `open_served_model`, and lets each signature answer a small image once.

    TensorFlow makes its functions then, so that no client waits for them.

    Raises:
        DeeplabError: as of `open_served_model`, or the model cannot answer.
    """
    model = open_served_model(path, name, working_size)
    for key, signature in model.signatures.items():
        try:
            model.run(key, small_work(signature).images)
        except Exception as error:
            raise DeeplabError(
                f"{path} must answer a black image by each signature; {key!r} gave "
                f"{type(error).__name__}: {one_line(str(error))}: export the model again"
            ) from error
    return model


def _function(loaded: Any, signature: str) -> Callable[[np.ndarray], Outputs]:
    """Returns a signature of a SavedModel from arrays to arrays."""
    function = loaded.signatures[signature]
    (name,) = function.structured_input_signature[1]

    def run(images: np.ndarray) -> Outputs:
        # The assert keeps `loaded` alive: it holds the variables that the signature reads.
        assert loaded is not None
        value = tf.constant(images.tolist() if images.dtype == object else images)
        try:
            outputs = function(**{name: value})
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(_reason(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory() from error
        return {name: output.numpy() for name, output in outputs.items()}

    return run


def _signature(name: str, definition: Any) -> Signature:
    ((input_name, taken),) = definition.inputs.items()
    dtype = tf.as_dtype(taken.dtype)
    if dtype == tf.string:
        return Signature(name, input_name, None)
    bands = taken.tensor_shape.dim[-1].size
    return Signature(name, input_name, np.dtype(dtype.as_numpy_dtype), bands)


def _definitions(folder: pathlib.Path) -> dict[str, Any]:
    file = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    return dict(file.meta_graphs[0].signature_def)


def _reason(error: tf.errors.OpError) -> str:
    """Returns what an operation found wrong, without the lines about its place in the graph."""
    lines = [line for line in error.message.splitlines() if line.strip()]
    after = [i + 1 for i, line in enumerate(lines) if line.startswith("<stack traces")]
    text = lines[after[0]] if after and after[0] < len(lines) else lines[0]
    return one_line(text.removeprefix("assertion failed: "))
