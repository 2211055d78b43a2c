"""The export as an OpenVINO model: for Intel's and AMD's CPUs, images of any number and size.

Tested in tests/export/test_openvino.py.
"""

import contextlib
import io
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.description import describe
from deeplab_tf.artefacts.openvino import (
    DESCRIPTION,
    MODEL_FILE,
    WEIGHTS_DIGEST,
    WEIGHTS_FILE,
    digest_of,
    import_openvino,
    open_openvino,
)
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import check_folder, containing, folder_of, own_folder, whole_folder
from deeplab_tf.inference.working_size import working_size_of
from deeplab_tf.machine.stderr import quiet_stderr
from deeplab_tf.models.conv import Runs, traced_for
from deeplab_tf.models.folding import folded

from .images import ComparedImage, digest
from .operations import refuse_uncounted_atrous
from .parity import ComparedImages, Export, check, compare, keras_logits, write_report

openvino: Any = import_openvino()  # a missing package is named before anything is converted

REPORT = "parity.json"
KINDS = ("none", "float16", "int8")
"""The values of `quantize`."""

is_own_openvino = folder_of(
    *(MODEL_FILE, WEIGHTS_FILE, REPORT),
    known={
        MODEL_FILE: containing(DESCRIPTION.encode(), b"experiment"),
        WEIGHTS_FILE: own_folder,
    },
)
"""Recognises a folder of `export_openvino`."""


def export_openvino(
    trained: TrainedModel,
    out_dir: str | os.PathLike,
    images: ComparedImages,
    *,
    quantize: str = "none",
    outputs: str = "both",
    calibration: ComparedImages = (),
) -> Export:
    """Writes the folder `out_dir` with the model and `parity.json`; all of it or nothing appears.

    Args:
        trained: the model to export.
        out_dir: the folder to write: absent, empty, or one of this function, which is replaced.
        images: the images that the model in OpenVINO and `trained.model` must agree on.
        quantize: see `write_openvino`.
        outputs: `labels`, `logits` or `both`.
        calibration: for `int8`, the images that NNCF measures the range of each tensor on.

    Raises:
        DeeplabError: `out_dir` holds anything else, NNCF is not installed, OpenVINO cannot convert
            the model, an atrous convolution would not be native, or the two models disagree.
    """
    if quantize not in KINDS:
        raise DeeplabError(
            f"an OpenVINO model is quantised by {', '.join(KINDS)}. Received: {quantize!r}"
        )
    if quantize == "int8":
        _import_nncf()
    out_dir = pathlib.Path(out_dir)
    check_folder(out_dir, is_own_openvino)
    calibrate = list(calibration)
    known = {digest(picture.image) for picture in calibrate}
    seen: list[bool] = []

    def noted() -> Iterator[ComparedImage]:
        for picture in images:
            seen.append(bool(known) and digest(picture.image) in known)
            yield picture

    with whole_folder(out_dir, is_own_openvino) as temporary:
        write_openvino(
            *(trained, temporary),
            quantize=quantize,
            outputs=outputs,
            calibration=[picture.to_calibrate for picture in calibrate],
        )
        parity = compare(keras_logits(trained.model), open_openvino(temporary).run, noted())
        check(parity, quantize, f"OpenVINO model {out_dir}")
        size = sum(file.stat().st_size for file in temporary.iterdir())
        export = Export(
            *(out_dir, out_dir / REPORT, size, parity),
            calibration_images=len(calibrate),
            calibration_images_compared=sum(seen),
        )
        experiment = trained.experiment
        write_report(
            temporary / REPORT,
            export,
            format="openvino",
            quantize=quantize,
            output_stride=experiment.model.output_stride,
            facts={
                "outputs": outputs,
                "working_size": working_size_of(experiment, experiment.evaluate).longest,
                "calibration_images": export.calibration_images,
                "calibration_images_compared": export.calibration_images_compared,
            },
            packages=("openvino", "nncf") if quantize == "int8" else ("openvino",),
        )
    return export


def write_openvino(
    trained: TrainedModel,
    folder: pathlib.Path,
    *,
    quantize: str = "none",
    outputs: str = "both",
    calibration: Sequence[np.ndarray] = (),
) -> None:
    """Writes `model.xml` and `model.bin` into a folder.

    The `rt_info` of `model.xml` has the description, and the digest of `model.bin`.

    The model maps `images` uint8 [batch, height, width, 3] (or the data set's bands, uint16 or
    float32 where they are) to `labels` uint8 [batch, height, width] and `logits` float32 [batch,
    height, width, C], or one of them. Normalisation and upsampling are inside.

    Args:
        trained: the model to write.
        folder: the folder, which exists.
        quantize: `none` keeps weights of float32; `float16` stores them in half the size, and
            computes in float32; `int8` computes the convolutions in integers, by NNCF.
        outputs: `labels`, `logits` or `both`.
        calibration: for `int8`, images [H, W, bands] of any size.

    Raises:
        DeeplabError: OpenVINO cannot convert the model, an atrous convolution is not native, or
            there is no image to calibrate on.
    """
    model = _convert(trained, outputs)
    refuse_uncounted_atrous(len(atrous_convolutions(model)), trained.model, "the OpenVINO model")
    if quantize == "int8":
        model = _quantized(model, calibration)
    model.set_rt_info(describe(trained.experiment, trained.classes), [DESCRIPTION])
    # The weights are known once they are written. OpenVINO's own default is weights of float16.
    for _ in range(2):
        openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=quantize == "float16")
        model.set_rt_info(digest_of(folder / WEIGHTS_FILE), [WEIGHTS_DIGEST])


def _convert(trained: TrainedModel, outputs: str) -> Any:
    """Returns the network as OpenVINO converts it, for images of any number and size.

    Raises:
        DeeplabError: OpenVINO does not know an operation of the network.
    """
    takes, network = trained.image_format, folded(trained.model)
    spec = tf.TensorSpec((None, None, None, takes.bands), takes.dtype, name="images")

    @tf.function(autograph=False, input_signature=[spec])
    def serving_default(images):
        logits = network(images, training=False)
        labels = tf.cast(tf.argmax(logits, -1, output_type=tf.int32), tf.uint8)
        given = {"labels": labels, "logits": logits}
        return given if outputs == "both" else {outputs: given[outputs]}

    with quiet_stderr(), traced_for(Runs.CONVERTED):
        concrete = serving_default.get_concrete_function()
        try:
            return openvino.convert_model(concrete)
        except openvino.frontend.OpConversionFailure as error:
            raise DeeplabError(
                f"OpenVINO cannot convert the model: {one_line(str(error))[:300]}; export the "
                "model as a SavedModel"
            ) from error


def atrous_convolutions(model: Any) -> list[Any]:
    """Returns the operations that compute a convolution with dilations by themselves."""
    return [
        operation
        for operation in model.get_ops()
        if operation.get_type_name() in ("Convolution", "GroupConvolution")
        and max(operation.get_attributes()["dilations"]) > 1
    ]


def _import_nncf() -> Any:
    """Returns the module `nncf`; raises `DeeplabError` where it is not installed."""
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise DeeplabError(
            f"--quantize=int8 of --format=openvino needs {error.name}: pip install nncf"
        ) from error
    return nncf


def _quantized(model: Any, images: Sequence[np.ndarray]) -> Any:
    """Returns the model with integer convolutions, calibrated on all `images`.

    Raises:
        DeeplabError: there is no image.
    """
    if not images:
        raise DeeplabError(
            "there is no image to calibrate int8 on; the split to train on must have some"
        )
    nncf = _import_nncf()
    dataset = nncf.Dataset([image[None] for image in images])
    with _quiet(nncf):
        return nncf.quantize(model, dataset, subset_size=len(images))


@contextlib.contextmanager
def _quiet(nncf: Any) -> Iterator[None]:
    """Drops NNCF's progress bars and its log lines below errors."""
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), quiet_stderr():
        yield
