"""LiteRT (TensorFlow Lite): one flatbuffer of builtin operations, static size, for edge devices."""

import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from deeplab_tf.config import pixel_statistics
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import quiet_stderr, whole_file
from deeplab_tf.trained_model import DESCRIPTION, TrainedModel, describe

from .images import fit
from .operations import litert_operations, refuse_space_to_batch
from .parity import Export, Images, check, compare, keras_logits, write_report

LABELS_FILE = "labels.txt"
FILE_NAMES = {"none": "model.tflite", "float16": "model_float16.tflite"}


def export_litert(
    trained: TrainedModel,
    out_file: str | os.PathLike,
    images: Images,
    *,
    image_size: tuple[int, int],
    quantize: str = "none",
) -> Export:
    """Writes the LiteRT file and its parity report beside it; a failure leaves neither.

    The report is `parity.json`, or `NAME.parity.json` where that is another file's.

    Args:
        trained: what to export.
        out_file: path of the `.tflite` file.
        images: the images that the file and `trained.model` must agree on; padded with the mean
            pixel or cropped to `image_size`.
        image_size: height and width of the only input size.
        quantize: `none`, or `float16` for weights of half the size.

    Raises:
        DeeplabError: the model is not for RGB images, the two disagree, the converter refuses the
            model, or the directory is a SavedModel, whose `parity.json` is its own.
    """
    if not trained.image.is_rgb:
        raise DeeplabError(
            f"a LiteRT file takes RGB images, and this model {trained.image.bands} bands of "
            f"{trained.image.bits} bits; export it as a SavedModel"
        )
    out_file = pathlib.Path(out_file)
    check_out_dir(out_file.parent)
    report = report_path(out_file)
    mean = pixel_statistics(trained.experiment.model).mean
    fitted = ((name, fit(image, image_size, mean)) for name, image in images)
    with whole_file(out_file) as beside, whole_file(report) as report_beside:
        write_litert(trained, beside, image_size=image_size, quantize=quantize)
        parity = compare(keras_logits(trained.model), litert_runner(beside), fitted)
        check(parity, quantize, f"LiteRT file {out_file}")
        export = Export(out_file, report, beside.stat().st_size, parity)
        stride = trained.experiment.model.output_stride
        write_report(
            report_beside, export, format="litert", quantize=quantize, output_stride=stride
        )
    return export


def check_out_dir(out_dir: pathlib.Path) -> None:
    """Raises `DeeplabError` if a LiteRT file cannot go into `out_dir`."""
    if out_dir.exists() and not out_dir.is_dir():
        raise DeeplabError(f"--out={out_dir} is a file; give a directory")
    if (out_dir / "saved_model.pb").exists():
        raise DeeplabError(f"--out={out_dir} holds a SavedModel; give another directory")


def report_path(out_file: pathlib.Path) -> pathlib.Path:
    """Where the parity report of `out_file` goes: not over that of another artefact."""
    report = out_file.with_name("parity.json")
    if report.is_file() and f'"artefact": "{out_file.name}"' not in report.read_text():
        return out_file.with_name(f"{out_file.stem}.parity.json")
    return report


def write_litert(
    trained: TrainedModel,
    path: str | os.PathLike,
    *,
    image_size: tuple[int, int],
    quantize: str = "none",
) -> None:
    """Writes a LiteRT file with the description and `labels.txt` inside, as zip members.

    Its signature `serving_default` maps `images` uint8 [1, H, W, 3] to `labels` int32 [1, H, W] and
    `logits` float32 [1, H, W, C]. Normalisation and upsampling are inside.
    """
    content = convert(trained, image_size=image_size, quantize=quantize)
    refuse_space_to_batch(litert_operations(content), "the LiteRT file")
    pathlib.Path(path).write_bytes(content)
    # A flatbuffer is read from its head and a zip archive from its tail: one file can be both, as
    # in TensorFlow Lite's own metadata. ZipInfo's fixed date keeps equal exports equal.
    with zipfile.ZipFile(path, "a") as archive:
        description = describe(trained.experiment, trained.labels)
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), description)
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), "\n".join(trained.labels.names) + "\n")


def convert(
    trained: TrainedModel, *, image_size: tuple[int | None, int | None], quantize: str
) -> bytes:
    """The flatbuffer alone. Builtin operations only; a size of None stays open."""
    pixels = tf.TensorSpec((1, *image_size, 3), tf.uint8, name="images")

    # The batch is 1 already here: an open batch leaves batch norms unfolded and is refused by
    # LiteRT.js.
    @tf.function(input_signature=[pixels])
    def serving_default(images):
        logits = trained.model(images, training=False)
        return {"labels": tf.argmax(logits, -1, output_type=tf.int32), "logits": logits}

    # The converter finds the weights to freeze through the module; through the Keras model it
    # leaves them as variables.
    module = tf.Module()
    module.model_variables = [variable.value for variable in trained.model.variables]
    concrete = serving_default.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        with quiet_stderr():
            return converter.convert()
    except ConverterError as error:
        raise DeeplabError(
            f"the LiteRT converter refused the model: {one_line(str(error))[:300]}"
        ) from error


def litert_runner(
    path: str | os.PathLike,
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """uint8 [1, H, W, 3] -> labels int32 [1, H, W] and logits float32, as LiteRT computes."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()  # here the delegate prints that it was created
        serve = interpreter.get_signature_runner("serving_default")

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = serve(images=image)
        return outputs["labels"], outputs["logits"]

    return run
