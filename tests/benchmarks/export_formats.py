"""Which file for which target: speed, memory, size and accuracy of one network in every format.

    python tests/benchmarks/export_formats.py --model=mnv2.keras --data_dir=data \\
        --calibrate=dev_train --judge=dev_val --image_size=513,513

Every format and kind of `deeplab-export` is written into a folder, with labels as its only output
(a SavedModel gives their confidence too), and judged on the same labelled images, those of
`--judge`; int8 is calibrated on those of `--calibrate`, which are others. A file that its export
refuses is named, with the reason, and has no row. `lost` is how many points the mean IoU is under
that of the Keras model on the same pixels: a LiteRT file of one size sees every image padded to it.
Then all take turns on one image, in one process, so that what else the machine does meets all
alike; the peak memory is that of a process of its own with all its libraries. The last line names
the machine.
"""

import dataclasses
import json
import pathlib
import statistics
import tempfile

from absl import app, flags, logging
from suite.machine import processor, versions

from deeplab_tf.cli import flag_types
from deeplab_tf.cli.flags import import_tensorflow
from deeplab_tf.errors import DeeplabError

_MODEL = flags.DEFINE_string("model", None, "The .keras file or workdir.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of the records.", required=True)
_CALIBRATE = flags.DEFINE_string("calibrate", "train", "The split to calibrate int8 on.")
_JUDGE = flags.DEFINE_string("judge", "val", "The split to judge by.")
_IMAGES = flags.DEFINE_integer("images", 100, "How many images to judge by.")
_CALIBRATION_IMAGES = flags.DEFINE_integer("calibration_images", 100, "How many to calibrate on.")
_IMAGE_SIZE = flags.DEFINE(flag_types.ImageSize(), "image_size", None, "Default: the crop.")
_OUT = flags.DEFINE_string("out", None, "Keep the files in this folder.")

LABELS = {"outputs": "labels"}
FORMATS = {
    "saved_model": ("saved_model", {}),
    "model.tflite": ("litert", LABELS),
    "model_float16.tflite": ("litert", {**LABELS, "quantize": "float16"}),
    "model_dynamic_range.tflite": ("litert", {**LABELS, "quantize": "dynamic"}),
    "model_int8.tflite": ("litert", {**LABELS, "quantize": "int8"}),
    "model.onnx": ("onnx", LABELS),
    "openvino": ("openvino", LABELS),
    "openvino_float16": ("openvino", {**LABELS, "quantize": "float16"}),
    "openvino_int8": ("openvino", {**LABELS, "quantize": "int8"}),
}
"""The format and the options of each artefact, by its name in the folder."""
COLUMNS = (
    "artefact",
    "median ms",
    "least",
    "speed",
    "peak MB",
    "file MB",
    "mean IoU",
    "lost",
    "labels",
)


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)
    import_tensorflow(trains=False)
    with tempfile.TemporaryDirectory() as temporary:
        _measure(pathlib.Path(_OUT.value or temporary))


def _measure(out: pathlib.Path) -> None:
    from deeplab_tf.artefacts.trained_model import load_model
    from deeplab_tf.export.benchmark import measure_artefacts

    trained = load_model(pathlib.Path(_MODEL.value))
    data = dataclasses.replace(trained.experiment.data, split=_CALIBRATE.value)
    trained.experiment = dataclasses.replace(trained.experiment, data=data)
    size = _IMAGE_SIZE.value or data.crop
    judged = {name: figures for name in FORMATS if (figures := _export(trained, out, name, size))}
    keras_iou = next(iter(judged.values()))["mean_iou"]["keras"]
    rows = [COLUMNS]
    first = None
    for one in measure_artefacts(pathlib.Path(_MODEL.value), out, size):
        median = statistics.median(one.seconds)
        first = first or median
        figures = judged.get(one.path.name)
        both = figures["mean_iou"] if figures else {"keras": keras_iou, "artefact": keras_iou}
        rows.append(
            (
                one.path.name,
                *(f"{1e3 * seconds:.0f}" for seconds in (median, min(one.seconds))),
                f"{first / median:.2f}",
                "-" if one.peak_bytes is None else f"{one.peak_bytes / 1e6:.0f}",
                f"{one.size_bytes / 1e6:.1f}",
                f"{both['artefact']:.2%}",
                f"{100 * (both['keras'] - both['artefact']):.2f}",
                f"{figures['label_agreement']:.2%}" if figures else "-",
            )
        )
    print(
        "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(COLUMNS), *rows[1:]))
    )
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(
        f"\n{size[0]}x{size[1]}, {_IMAGES.value} images of {_JUDGE.value}. {processor()}. {named}."
    )


def _export(trained, out: pathlib.Path, name: str, size: tuple[int, int]) -> dict | None:
    """Writes one artefact and returns its `parity.json`; None where the export refuses it."""
    from deeplab_tf.export.export_model import export_model

    format, options = FORMATS[name]
    if format == "litert":
        options = {**options, "image_size": size}
    folder = out if format in ("litert", "onnx") else out / name
    try:
        exported = export_model(
            trained,
            folder,
            format,
            data_dir=_DATA_DIR.value,
            split=_JUDGE.value,
            parity_images=_IMAGES.value,
            calibration_images=_CALIBRATION_IMAGES.value,
            **options,
        )
    except DeeplabError as error:
        print(f"{name}: {error}")
        return None
    print(f"{name}: written", flush=True)
    return json.loads(exported.report.read_text())


if __name__ == "__main__":
    app.run(main)
