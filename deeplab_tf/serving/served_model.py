"""The SavedModel that is served: its name, version and signatures, and how it answers."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deeplab_tf.artefacts.saved_model import (
    SAVED_MODEL_FILE,
    open_saved_model,
)
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.inference.working_size import WorkingSize, working_size_of_saved_model
from deeplab_tf.serving.batching import Outputs
from deeplab_tf.serving.refusal import Reason, RefusedError, bad_request
from deeplab_tf.serving.signature import Signature


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model of TensorFlow Serving's kind: one name, one version, some signatures.

    Attributes:
        name, version: the model's place in the paths, /v1/models/NAME/versions/VERSION.
        signatures: the signatures by name.
        definitions: the signatures as the SavedModel's file defines them, by name.
        loaded: TensorFlow's object, which holds the variables.
        working: the sizes at which the network sees images.
    """

    name: str
    version: int
    signatures: dict[str, Signature]
    definitions: dict[str, Any]
    loaded: Any
    working: WorkingSize

    def run(self, signature: str, images: np.ndarray) -> Outputs:
        """Returns the outputs of the named signature for checked images, by the outputs' names.

        The outputs are [B, H, W], and probabilities and logits [B, H, W, C].

        Raises:
            RefusedError: an image cannot be decoded, or there is not enough memory.
        """
        value = tf.constant(images.tolist() if images.dtype == object else images)
        argument = {self.signatures[signature].input_name: value}
        try:
            outputs = self.loaded.signatures[signature](**argument)
        except tf.errors.InvalidArgumentError as error:
            raise bad_request(_reason(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise RefusedError(
                Reason.BUSY,
                "the server is out of memory; send smaller or fewer images in one request",
            ) from error
        return {name: output.numpy() for name, output in outputs.items()}


def open_served_model(
    path: pathlib.Path, name: str | None = None, working_size: int | None = None
) -> ServedModel:
    """Loads a SavedModel of ours.

    Args:
        path: a SavedModel, or, as for TensorFlow Serving, a folder NAME of SavedModels NAME/1,
            NAME/2, ..., of which the highest number is taken.
        name: the name that clients use for the model; None takes the folder's name, without a
            number.
        working_size: the longest side, in pixels, at which the network sees an image, 0 for any;
            None: as exported.

    Raises:
        DeeplabError: there is no SavedModel, it was not written by deeplab-export, it is damaged,
            or it is too old for a `working_size`.
    """
    path = pathlib.Path(path).absolute()
    folder = _version_folder(path)
    version, called = 1, folder.name
    if folder.name.isdecimal():
        version, called = int(folder.name), folder.parent.name
    loaded, experiment, _ = open_saved_model(folder)
    working = working_size_of_saved_model(loaded, folder, experiment, working_size)
    cost = {
        "stride": experiment.model.output_stride,
        "largest_scale": max(experiment.evaluate.scales),
        "longest": working.longest,
    }
    signatures = {
        key: dataclasses.replace(_signature(key, function), **cost)
        for key, function in loaded.signatures.items()
    }
    return ServedModel(name or called, version, signatures, _definitions(folder), loaded, working)


def _version_folder(path: pathlib.Path) -> pathlib.Path:
    if (path / SAVED_MODEL_FILE).is_file():
        return path
    versions = [file.parent for file in path.glob(f"*/{SAVED_MODEL_FILE}")]
    versions = [folder for folder in versions if folder.name.isdecimal()]
    if not versions:
        raise DeeplabError(
            f"--model={path} must be a SavedModel or a folder of numbered SavedModels; write a "
            f"SavedModel by deeplab-export --format=saved_model --out={path / '1'}"
        )
    return max(versions, key=lambda folder: int(folder.name))


def _signature(name: str, function) -> Signature:
    (spec,) = function.structured_input_signature[1].values()
    if spec.dtype == tf.string:
        return Signature(name, spec.name, None)
    dtype = np.dtype(spec.dtype.as_numpy_dtype)
    return Signature(name, spec.name, dtype, spec.shape[-1])


def _definitions(folder: pathlib.Path) -> dict[str, Any]:
    file = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    return dict(file.meta_graphs[0].signature_def)


def _reason(error: tf.errors.OpError) -> str:
    """Returns what an operation found wrong, without the lines about its place in the graph."""
    lines = [line for line in error.message.splitlines() if line.strip()]
    after = [i + 1 for i, line in enumerate(lines) if line.startswith("<stack traces")]
    text = lines[after[0]] if after and after[0] < len(lines) else lines[0]
    return one_line(text.removeprefix("assertion failed: "))
