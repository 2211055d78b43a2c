"""The export as an ONNX file: for every runtime that reads ONNX, images of any number and size.

Tested in tests/export/test_onnx.py.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.artefacts.onnx import open_onnx
from deeplab_tf.artefacts.openvino import OpenVINOSegmenter, compile_for_cpu, import_openvino
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.files import check_file, containing, whole_file
from deeplab_tf.inference.working_size import working_size_of
from deeplab_tf.machine.stderr import quiet_stderr
from deeplab_tf.models.conv import Runs, traced_for

from .litert import report_path
from .onnx_graph import (
    name_sides,
    pad_in_numbers,
    refuse_lowered_atrous,
    refuse_unknown_operations,
)
from .out_dir import check_holds_files
from .parity import (
    ComparedImages,
    Export,
    ExportParity,
    check,
    compare,
    is_report,
    keras_logits,
    write_report,
)

import_openvino()  # missing packages are named before anything is converted

FILE_NAME = "model.onnx"
OPSET = 18
"""The operator set of ONNX 1.13 (2022), the newest that the converter writes."""
PACKAGES = ("tf2onnx", "onnx", "onnxruntime", "openvino")

Runner = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""A function from images [B, H, W, bands] to labels uint8 [B, H, W] and logits float32 [B, H, W,
C]; the logits may be None."""


is_onnx = containing(DESCRIPTION.encode(), b'"experiment"')
"""Recognises an ONNX file of `export_onnx`."""


def export_onnx(
    trained: TrainedModel,
    out_file: str | os.PathLike,
    images: ComparedImages,
    *,
    outputs: str = "both",
) -> Export:
    """Writes the ONNX file and its parity report beside it; a failure leaves neither.

    The report is `parity.json`, or `NAME.parity.json` where another file has a `parity.json` there.
    The report gives the figures of each runtime; those of the runtime that agrees least are also
    given as the file's own.

    Args:
        trained: the model to export.
        out_file: path of the `.onnx` file.
        images: the images that the file, in ONNX Runtime and in OpenVINO, and `trained.model` must
            agree on.
        outputs: `labels`, `logits` or `both`.

    Raises:
        DeeplabError: the model has an operation that ONNX does not, an atrous convolution would not
            be native, or one of the runtimes disagrees.
    """
    out_file = pathlib.Path(out_file)
    check_holds_files(out_file.parent)
    report = report_path(out_file)
    check_file(out_file, is_onnx)
    check_file(report, is_report)
    pictures = list(images)
    with (
        whole_file(out_file, is_onnx) as temporary,
        whole_file(report, is_report) as temporary_report,
    ):
        write_onnx(trained, temporary, outputs=outputs)
        expected = keras_logits(trained.model)
        found: dict[str, ExportParity] = {}
        for runtime, open_file in RUNTIMES.items():
            found[runtime] = compare(expected, open_file(temporary), pictures)
            check(found[runtime], "none", f"ONNX file {out_file} in {runtime}")
        worst = min(found.values(), key=lambda parity: parity.label_agreement)
        export = Export(out_file, report, temporary.stat().st_size, worst)
        write_report(
            temporary_report,
            export,
            format="onnx",
            quantize="none",
            output_stride=trained.experiment.model.output_stride,
            facts={
                "outputs": outputs,
                "working_size": working_size_of(
                    trained.experiment, trained.experiment.evaluate
                ).longest,
                "runtimes": _by_runtime(found),
            },
            packages=PACKAGES,
        )
    return export


def write_onnx(trained: TrainedModel, path: str | os.PathLike, *, outputs: str = "both") -> None:
    """Writes an ONNX file with the description in its `metadata_props`.

    The file maps `images` uint8 [batch, height, width, 3] (or the data set's bands, uint16 or
    float32 where they are) to `labels` uint8 [batch, height, width] and `logits` float32 [batch,
    height, width, C], or one of them. Normalisation and upsampling are inside.

    Args:
        trained: the model to write.
        path: the path of the file.
        outputs: `labels`, `logits` or `both`.

    Raises:
        DeeplabError: the model has an operation that ONNX does not, or an atrous convolution is not
            native.
    """
    model = _convert(trained, outputs)
    refuse_unknown_operations(model)
    refuse_lowered_atrous(model, trained.model)
    pad_in_numbers(model)
    name_sides(model)
    description = describe(trained.experiment, trained.classes)
    onnx.helper.set_model_props(model, {DESCRIPTION: description})
    onnx.checker.check_model(model, full_check=True)
    pathlib.Path(path).write_bytes(model.SerializeToString())


def open_in_openvino(path: str | os.PathLike) -> Runner:
    """Returns a function that runs the file in OpenVINO on this CPU, in float32."""
    return OpenVINOSegmenter(pathlib.Path(path), None, compile_for_cpu(str(path))).run


def open_in_onnxruntime(path: str | os.PathLike) -> Runner:
    """Returns a function that runs the file in ONNX Runtime on this CPU."""
    return open_onnx(path).run


RUNTIMES = {"onnxruntime": open_in_onnxruntime, "openvino": open_in_openvino}
"""The runtimes in which a file must answer as the Keras model, by name."""


def _convert(trained: TrainedModel, outputs: str) -> onnx.ModelProto:
    """Returns the network as the converter makes it, for images of any number and size."""
    takes = trained.image_format
    spec = tf.TensorSpec((None, None, None, takes.bands), takes.dtype, name="images")

    @tf.function(autograph=False, input_signature=[spec])
    def serving_default(images):
        logits = trained.model(images, training=False)
        labels = tf.cast(tf.argmax(logits, -1, output_type=tf.int32), tf.uint8)
        given = {"labels": labels, "logits": logits}
        return given if outputs == "both" else {outputs: given[outputs]}

    with quiet_stderr(), traced_for(Runs.CONVERTED):
        model, _ = tf2onnx.convert.from_function(serving_default, [spec], opset=OPSET)
    return model


def _by_runtime(found: dict[str, ExportParity]) -> dict[str, dict]:
    """Returns the report's entries for each runtime."""
    return {
        runtime: {
            "label_agreement": parity.label_agreement,
            "largest_logit_difference": parity.largest_logit_difference,
        }
        for runtime, parity in found.items()
    }
