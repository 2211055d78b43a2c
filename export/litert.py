"""The export as a LiteRT (TensorFlow Lite) file: one flatbuffer, for edge devices."""

import dataclasses
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from deeplab_tf.artefacts.description import DESCRIPTION, describe, is_described_zip
from deeplab_tf.artefacts.litert import open_segmenter
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import check_file, containing, whole_file
from deeplab_tf.inference.working_size import working_size_of
from deeplab_tf.machine.stderr import quiet_stderr
from deeplab_tf.models.conv import Runs, traced_for

from .full_int8 import NORMALIZE, quantize_full
from .images import ComparedImage, digest, fit_picture
from .layer_noise import LayerNoise, noisiest_layers
from .operations import litert_operations, refuse_space_to_batch
from .out_dir import check_holds_files
from .parity import ComparedImages, Export, check, compare, is_report, keras_logits, write_report

LABELS_FILE = "labels.txt"
FILE_NAMES = {
    "none": "model.tflite",
    "float16": "model_float16.tflite",
    "dynamic": "model_dynamic_range.tflite",
    "int8": "model_int8.tflite",
}
NOISE_IMAGES = 4
"""How many of the calibration's images are used to find the layers that lose most."""

Size = tuple[int, int] | None
"""(height, width) of the only input size; None leaves the size open."""


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a LiteRT file.

    Attributes:
        image_size: the input size, see `Size`.
        quantize: `none`; `float16`, weights of half the size; `dynamic`, int8 weights, and the
            numbers that they are multiplied with rounded at run time; `int8`, integers from the
            pixels on.
        outputs: `labels`, `logits` or `both`.
        keep_float: regular expressions of layers that `int8` leaves in float32.
    """

    image_size: Size
    quantize: str = "none"
    outputs: str = "both"
    keep_float: Sequence[str] = ()


def export_litert(
    trained: TrainedModel,
    out_file: str | os.PathLike,
    images: ComparedImages,
    options: Options,
    calibration: ComparedImages = (),
) -> Export:
    """Writes the LiteRT file and its parity report beside it; a failure leaves neither.

    The report is `parity.json`, or `NAME.parity.json` where another file has a `parity.json` there.

    Args:
        trained: the model to export.
        out_file: path of the `.tflite` file.
        images: the images that the file and `trained.model` must agree on, put into the input size
            as `deeplab-predict` does it: padded with the mean pixel, larger ones shrunk.
        options: the input size and the kind of the file.
        calibration: for `int8`, the images that ranges and weights are fitted to, put into the
            input size like `images`. The report says how many of them are compared on as well.

    Raises:
        DeeplabError: the file and the model disagree, the converter refuses the model, a pattern of
            `keep_float` fits no layer, there is no image to calibrate on, or the directory is a
            SavedModel, whose `parity.json` is its own.
    """
    out_file = pathlib.Path(out_file)
    check_holds_files(out_file.parent)
    report = report_path(out_file)
    check_file(out_file, is_described_zip)
    check_file(report, is_report)
    mean = trained.experiment.model.input_format.mean
    calibrate = [fit_picture(picture, options.image_size, mean) for picture in calibration]
    known = {digest(picture.image) for picture in calibrate}
    seen: list[bool] = []

    def fitted() -> Iterator[ComparedImage]:
        for picture in images:
            framed = fit_picture(picture, options.image_size, mean)
            seen.append(bool(known) and digest(framed.image) in known)
            yield framed

    with (
        whole_file(out_file, is_described_zip) as temporary,
        whole_file(report, is_report) as temporary_report,
    ):
        float_file = write_litert(trained, temporary, options, calibrate)
        opened = open_segmenter(temporary, trained.image_format)
        parity = compare(keras_logits(trained.model), opened.run, fitted())
        some = [picture.image for picture in calibrate[:NOISE_IMAGES]]
        noisiest = _noisiest(trained, float_file, temporary, some)
        check(parity, options.quantize, f"LiteRT file {out_file}", noisiest)
        export = Export(
            *(out_file, report, temporary.stat().st_size, parity, noisiest),
            calibration_images=len(calibrate),
            calibration_images_compared=sum(seen),
        )
        write_report(
            temporary_report,
            export,
            format="litert",
            quantize=options.quantize,
            output_stride=trained.experiment.model.output_stride,
            facts=_facts(trained, options, export),
        )
    return export


def _noisiest(
    trained: TrainedModel,
    float_file: bytes | None,
    file: pathlib.Path,
    images: Sequence[np.ndarray],
) -> list[LayerNoise]:
    """Returns the layers that lose most in a full int8 file, which was made of `float_file`."""
    if float_file is None:
        return []
    return noisiest_layers(float_file, file.read_bytes(), layer_names(trained), images)


def _facts(trained: TrainedModel, options: Options, export: Export) -> dict:
    """Returns the entries of the report that say how the file was made."""
    facts: dict = {
        "image_size": options.image_size,
        "outputs": options.outputs,
        "working_size": working_size_of(trained.experiment, trained.experiment.evaluate).longest,
    }
    if options.quantize == "int8":
        facts |= {
            "calibration_images": export.calibration_images,
            "calibration_images_compared": export.calibration_images_compared,
            "keep_float": options.keep_float,
        }
    return facts


def report_path(out_file: pathlib.Path) -> pathlib.Path:
    """Returns the path of `out_file`'s parity report, other than another artefact's report."""
    report = out_file.with_name("parity.json")
    if report.exists() and not containing(f'"artefact": "{out_file.name}"'.encode())(report):
        return out_file.with_name(f"{out_file.stem}.parity.json")
    return report


def write_litert(
    trained: TrainedModel,
    path: str | os.PathLike,
    options: Options,
    calibration: Sequence[ComparedImage] = (),
) -> bytes | None:
    """Writes a LiteRT file with the description and `labels.txt` inside, as zip members.

    The file's signature `serving_default` maps `images` uint8 [1, H, W, 3] (or the data set's
    bands, uint16 or float32 where they are) to `labels` int32 [1, H, W] and `logits` float32 [1, H,
    W, C], or one of them. Normalisation and upsampling are inside. The logits of full int8 are
    uint8 with a scale and a zero point. Images other than RGB are normalised in float32 in a full
    int8 file too: one scale for all bands would lose those of small numbers.

    Args:
        trained: the model to write.
        path: the path of the file.
        options: the input size and the kind of the file.
        calibration: for `int8`, images of the input size.

    Returns:
        For `int8` the float file that the int8 file was made of, to compare tensors with; else
        None.
    """
    content, float_file = convert(trained, options, calibration)
    refuse_space_to_batch(litert_operations(content), "the LiteRT file")
    pathlib.Path(path).write_bytes(content)
    # A flatbuffer is read from its head and a zip archive from its tail: one file can be both, as
    # in TensorFlow Lite's own metadata. The fixed date of ZipInfo keeps equal exports equal.
    with zipfile.ZipFile(path, "a") as archive:
        description = describe(trained.experiment, trained.classes)
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), description)
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), "\n".join(trained.classes.names) + "\n")
    return float_file


def convert(
    trained: TrainedModel, options: Options, calibration: Sequence[ComparedImage] = ()
) -> tuple[bytes, bytes | None]:
    """Returns the flatbuffer, of builtin operations, and the float flatbuffer that it was made of.

    The second is None for other kinds than `int8`. Arguments are as for `write_litert`.

    Raises:
        DeeplabError: the converter refuses the model, or a pattern of `keep_float` fits no layer.
    """
    pixels = tf.as_dtype(trained.image_format.dtype)
    if options.quantize != "int8":
        # The integer kernels are left one operation a convolution: each sum of taps would round.
        float_kernels = options.quantize in ("none", "float16")
        runs = Runs.LITERT if float_kernels else Runs.CONVERTED
        return convert_traced(trained, options, pixels, runs), None
    # The input of a first layer that stays float is as it is; else a float32 input is quantised.
    as_it_is = not trained.image_format.is_rgb or any(
        re.fullmatch(pattern, NORMALIZE) for pattern in options.keep_float
    )
    float_options = dataclasses.replace(options, quantize="none")
    float_file = convert_traced(
        trained, float_options, pixels if as_it_is else tf.float32, Runs.CONVERTED
    )
    layers = layer_names(trained)
    quantized = quantize_full(
        *(float_file, layers, calibration, options.keep_float), bytes_in=not as_it_is
    )
    return quantized, float_file


def layer_names(trained: TrainedModel) -> list[str]:
    """Returns the names of the layers of the model's network, first to last."""
    return [layer.name for layer in trained.model.layers]


def convert_traced(trained: TrainedModel, options: Options, pixels: tf.DType, runs: Runs) -> bytes:
    """Returns the network as the converter makes it, with an input of dtype `pixels`.

    Raises:
        DeeplabError: the converter refuses the model.
    """
    size = options.image_size or (None, None)
    spec = tf.TensorSpec((1, *size, trained.image_format.bands), pixels, name="images")

    # The batch is 1 already here: LiteRT.js refuses an open batch, which also leaves batch norms
    # unfolded.
    @tf.function(autograph=False, input_signature=[spec])
    def serving_default(images):
        logits = trained.model(images, training=False)
        labels = tf.argmax(logits, -1, output_type=tf.int32)
        given = {"labels": labels, "logits": logits}
        return given if options.outputs == "both" else {options.outputs: given[options.outputs]}

    # The converter finds the weights to freeze through the module; through the Keras model it
    # leaves them as variables.
    module = tf.Module()
    module.model_variables = [variable.value for variable in trained.model.variables]
    with traced_for(runs):
        concrete = serving_default.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if options.quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if options.quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        with quiet_stderr():
            return converter.convert()
    except ConverterError as error:
        raise DeeplabError(
            f"the LiteRT converter refused the model: {one_line(str(error))[:300]}"
        ) from error
