"""deeplab-export: writes a trained model for serving or for edge devices, and proves it equal.

    deeplab-export --workdir=runs/demo --out=runs/demo/saved_model --data_dir=data
    deeplab-export --workdir=runs/demo --out=runs/demo/litert --format=litert --data_dir=data \\
        --quantize=float16 --image_size=257,257
    deeplab-export --model=voc.keras --out=edge --format=litert --data_dir=data --quantize=int8 \\
        --outputs=labels --parity_images=467
    deeplab-export --model=model.keras --out=served --images='photos/*.jpg' \\
        --signatures=probabilities,uncertainty --scales=0.75,1,1.25 --flip
    deeplab-export --workdir=runs/demo --out=onnx --format=onnx --data_dir=data
    deeplab-export --workdir=runs/demo --out=page --format=web --data_dir=data
    deeplab-export --model=voc.keras --out=edge --benchmark

The artefact is run on images, of a split of the data set or of your own, beside the Keras
model, and published only if the labels agree: on 99.9 % of the pixels, 99.5 % with float16 weights.
With int8 (dynamic, int8) the mean IoU may fall by 0.01 where the split is labelled; else the labels
agree on 98 % and 97 %. parity.json beside it has the numbers. --out holds saved_model.pb for
--format=saved_model; model.tflite, model_float16.tflite, model_dynamic_range.tflite or
model_int8.tflite for --format=litert; model.onnx for --format=onnx, which must agree in ONNX
Runtime and in OpenVINO (pip install tf2onnx onnx onnxruntime openvino); the page for --format=web,
for which npm fetches LiteRT.js, and beside it OUT.parity.json. --benchmark writes nothing: it
prints latency, memory and size of the artefacts that are in --out, beside the Keras model's. Exit
code 0: done; 1: bad input, or the artefact is worse than that; 2: wrong flag.
"""

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from absl import flags

from deeplab_tf.cli.flags import ARE_SCALES, are_scales, import_tensorflow, run_binary
from deeplab_tf.config import OUTPUT_STRIDES, validate
from deeplab_tf.errors import DeeplabError

if TYPE_CHECKING:
    from deeplab_tf.export.parity import Export, Images  # pyright: ignore[reportMissingImports]
    from deeplab_tf.trained_model import TrainedModel


def _split(patterns: list[str]) -> list[str]:
    """The values of `--keep_float`, of which each may have several with commas between them."""
    return [part for pattern in patterns for part in pattern.split(",")]


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return bool(text)


_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of deeplab-train: its latest checkpoint.")
_MODEL = flags.DEFINE_string("model", None, "A .keras file, instead of --workdir.")
_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx", "web"],
    "for TF Serving and TensorFlow, any image size; one file for phones, boards and browsers; one "
    "for ONNX runtimes, any image size; or a page that runs the LiteRT file, for any static host.",
)
_QUANTIZE = flags.DEFINE_enum(
    "quantize",
    "none",
    ["none", "float16", "dynamic", "int8"],
    "litert and web. float16 weights take half the size; dynamic: int8 weights, a quarter; int8: "
    "integers from the pixels to the labels, calibrated on the images that the model was trained "
    "on, or on --images.",
)
_CALIBRATION_IMAGES = flags.DEFINE_integer(
    "calibration_images", 100, "How many images --quantize=int8 measures ranges on.", lower_bound=1
)
_KEEP_FLOAT = flags.DEFINE_multi_string(
    "keep_float",
    [],
    "Regular expression of whole layer names, e.g. block1_.*, that --quantize=int8 leaves in "
    "float32; several with commas between them, or by giving the flag again.",
)
_IMAGE_SIZE = flags.DEFINE_list(
    "image_size",
    None,
    "H,W of the input, litert and web; k * output_stride + 1 fits best; dynamic takes any, slower. "
    "Default: the training crop.",
)
_OUTPUTS = flags.DEFINE_enum(
    "outputs", "both", ["both", "labels", "logits"], "What the file gives; litert and onnx."
)
_OUTPUT_STRIDE = flags.DEFINE_integer(
    "output_stride", None, "Of the exported network, e.g. 8. Default: as trained."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where deeplab-prepare wrote the model's data set, to compare on."
)
_SPLIT = flags.DEFINE_string(
    "split", None, "The split to compare on; default: as the experiment's evaluate section."
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Compare on these instead of --data_dir: an image, a folder, or a quoted pattern.",
)
_PARITY_IMAGES = flags.DEFINE_integer(
    "parity_images",
    None,
    "How many images to compare on; default: 8, with dynamic and int8 100.",
    lower_bound=1,
)
_LITERTJS = flags.DEFINE_string(
    "litertjs",
    None,
    "A folder with the archives of LiteRT.js, web only; default: fetched by npm once and kept.",
)
_SIGNATURES = flags.DEFINE_list(
    "signatures",
    [],
    "More that a SavedModel gives, of probabilities, logits and uncertainty (entropy, in nats).",
)
_SCALES = flags.DEFINE_list(
    "scales", ["1"], "Image scales whose class probabilities are averaged; saved_model only."
)
_FLIP = flags.DEFINE_bool("flip", False, "Average with the mirrored image too; saved_model only.")
_BENCHMARK = flags.DEFINE_boolean(
    "benchmark",
    False,
    "Write nothing; print latency, peak memory and size of the artefacts in --out.",
)

flags.register_multi_flags_validator(
    ["workdir", "model"],
    lambda values: (values["workdir"] is None) != (values["model"] is None),
    "give one of --workdir=DIR and --model=FILE.keras",
)
flags.register_multi_flags_validator(
    ["data_dir", "images", "benchmark"],
    lambda values: (
        values["benchmark"] or (values["data_dir"] is None) != (values["images"] is None)
    ),
    "the export is compared with the model on images: give one of --data_dir=DIR, where "
    "deeplab-prepare wrote the data set, and --images=FILES",
)
flags.register_multi_flags_validator(
    ["format", "quantize", "image_size", "benchmark"],
    lambda values: (
        values["format"] in ("litert", "web")
        or values["benchmark"]
        or (values["quantize"] == "none" and values["image_size"] is None)
    ),
    "--quantize and --image_size are for --format=litert and --format=web",
)
flags.register_multi_flags_validator(
    ["format", "outputs", "benchmark"],
    lambda values: (
        values["format"] != "saved_model" or values["benchmark"] or values["outputs"] == "both"
    ),
    "--outputs is for --format=litert and --format=onnx",
)
flags.register_multi_flags_validator(
    ["format", "quantize", "image_size", "outputs"],
    lambda values: (
        values["format"] != "web"
        or (
            values["quantize"] != "int8"
            and values["image_size"] != ["dynamic"]
            and values["outputs"] == "both"
        )
    ),
    "the page shows logits of one image size: --format=web takes --quantize=none, float16 or "
    "dynamic, --image_size=H,W and --outputs=both",
)
flags.register_multi_flags_validator(
    ["format", "signatures", "scales", "flip"],
    lambda values: (
        values["format"] == "saved_model"
        or (not values["signatures"] and values["scales"] == ["1"] and not values["flip"])
    ),
    "--signatures, --scales and --flip are for --format=saved_model",
)
flags.register_validator(
    "signatures",
    lambda names: set(names) <= {"probabilities", "logits", "uncertainty"},
    "must be of probabilities, logits and uncertainty, with commas between",
)
flags.register_validator("scales", are_scales, ARE_SCALES)
flags.register_multi_flags_validator(
    ["format", "litertjs"],
    lambda values: values["format"] == "web" or values["litertjs"] is None,
    "--litertjs is for --format=web",
)
flags.register_multi_flags_validator(
    ["quantize", "keep_float"],
    lambda values: values["quantize"] == "int8" or not values["keep_float"],
    "--keep_float is for --quantize=int8",
)
flags.register_multi_flags_validator(
    ["images", "split"],
    lambda values: values["images"] is None or values["split"] is None,
    "--split is of --data_dir; --images has none",
)
flags.register_validator(
    "image_size",
    lambda sides: (
        sides in (None, ["dynamic"])
        or (len(sides) == 2 and all(side.strip().isdecimal() and int(side) > 0 for side in sides))
    ),
    "must be H,W in pixels, e.g. --image_size=513,513, or dynamic",
)
flags.register_validator(
    "keep_float",
    lambda patterns: all(map(_is_pattern, _split(patterns))),
    "must be regular expressions of layer names, e.g. --keep_float=block1_.*,logits",
)
flags.register_validator(
    "output_stride",
    lambda stride: stride in (None, *OUTPUT_STRIDES),
    f"must be one of {', '.join(map(str, OUTPUT_STRIDES))}",
)


def main() -> None:
    """Exports; TensorFlow is imported here, so that a wrong flag answers at once."""
    import_tensorflow()
    # Pyright does not follow setup.cfg's package_dir from an editable install.
    from deeplab_tf.export.litert import (  # pyright: ignore[reportMissingImports]
        FILE_NAMES,
        export_litert,
    )
    from deeplab_tf.export.saved_model import (  # pyright: ignore[reportMissingImports]
        Serving,
        export_saved_model,
    )
    from deeplab_tf.export.web_page import export_web  # pyright: ignore[reportMissingImports]

    out = pathlib.Path(_OUT.value)
    trained = _trained_model()
    if _BENCHMARK.value:
        _benchmark(trained, out)
        return
    # Of files all at once, so that a broken one is found before the model is converted.
    images = _pictures(trained, _SPLIT.value or trained.experiment.evaluate.split, _parity_count())
    if _FORMAT.value == "saved_model":
        scales = tuple(float(scale) for scale in _SCALES.value)
        serving = Serving(tuple(dict.fromkeys(_SIGNATURES.value)), scales, _FLIP.value)
        exported = export_saved_model(trained, out, images, serving)
    elif _FORMAT.value == "onnx":
        exported = _export_onnx(trained, out, images)
    elif _FORMAT.value == "web":
        exported = export_web(
            trained,
            out,
            images,
            image_size=_image_size(trained),
            quantize=_QUANTIZE.value,
            litertjs=_LITERTJS.value,
        )
    else:
        exported = export_litert(
            trained,
            out / FILE_NAMES[_QUANTIZE.value],
            images,
            image_size=_image_size(trained),
            quantize=_QUANTIZE.value,
            outputs=_OUTPUTS.value,
            keep_float=_split(_KEEP_FLOAT.value),
            calibration=_calibration(trained),
        )
    _print(exported)


def _export_onnx(trained: "TrainedModel", out: pathlib.Path, images: "Images") -> "Export":
    try:
        from deeplab_tf.export.onnx_model import (  # pyright: ignore[reportMissingImports]
            FILE_NAME,
            export_onnx,
        )
    except ModuleNotFoundError as error:
        raise DeeplabError(
            f"--format=onnx needs {error.name}: pip install tf2onnx onnx onnxruntime openvino"
        ) from error
    return export_onnx(trained, out / FILE_NAME, images, outputs=_OUTPUTS.value)


def _benchmark(trained: "TrainedModel", out: pathlib.Path) -> None:
    from deeplab_tf.export.benchmark import (  # pyright: ignore[reportMissingImports]
        format_measured,
        measure_artefacts,
    )

    size = _image_size(trained) or (trained.experiment.data.crop_size,) * 2
    model = pathlib.Path(str(_WORKDIR.value or _MODEL.value))
    print(format_measured(measure_artefacts(model, out, size)))


def _print(exported: "Export") -> None:
    parity = exported.parity
    print(f"artefact           {exported.artefact} ({exported.size_bytes / 1e6:.1f} MB)")
    print(f"label agreement    {parity.label_agreement:.4%} of {parity.images} images' pixels")
    if parity.where is not None:
        largest = parity.largest_logit_difference
        print(f"logit difference   {largest:.2g} at most, in {parity.where.image}")
    if parity.mean_iou is not None:
        keras_model, artefact = parity.mean_iou
        print(f"mean IoU           {artefact:.2%}, the Keras model {keras_model:.2%}")
    if exported.noisiest:
        layers = ", ".join(f"{n.layer} ({n.signal_to_noise:.0f} dB)" for n in exported.noisiest)
        print(f"lose most          {layers}")
    print(f"report             {exported.report}")
    print(f"next               {_next_command(exported.artefact)}")


def _next_command(artefact: pathlib.Path) -> str:
    if _FORMAT.value == "web":
        return f"python -m http.server --directory={artefact}, and open http://localhost:8000"
    return f"deeplab-predict --model={artefact} --images=FILES --out=DIR"


def _parity_count() -> int:
    """Mean IoU wants more images than the equality of labels."""
    return _PARITY_IMAGES.value or (100 if _QUANTIZE.value in ("dynamic", "int8") else 8)


def _image_size(trained: "TrainedModel") -> tuple[int, int] | None:
    """`--image_size`; None is any."""
    if _IMAGE_SIZE.value == ["dynamic"]:
        return None
    height, width = _IMAGE_SIZE.value or (trained.experiment.data.crop_size,) * 2
    return int(height), int(width)


def _calibration(trained: "TrainedModel") -> "Images":
    """What int8 is calibrated on: training images, or `--images`."""
    if _QUANTIZE.value != "int8":
        return ()
    return _pictures(trained, trained.experiment.data.split, _CALIBRATION_IMAGES.value)


def _trained_model() -> "TrainedModel":
    """What `--workdir` or `--model` names, at `--output_stride`."""
    from deeplab_tf.models import with_output_stride
    from deeplab_tf.trained_model import TrainedModel, load_model

    trained = load_model(str(_WORKDIR.value or _MODEL.value))
    config, stride = trained.experiment.model, _OUTPUT_STRIDE.value
    if stride is None:
        return trained
    experiment = validate(
        dataclasses.replace(
            trained.experiment, model=dataclasses.replace(config, output_stride=stride)
        )
    )
    model = with_output_stride(trained.model, config, stride)
    return TrainedModel(model, experiment, trained.labels)


def _pictures(trained: "TrainedModel", split: str, count: int) -> "Images":
    """The first `count` of `--images`, or of a split of the data set."""
    from deeplab_tf.export.images import (  # pyright: ignore[reportMissingImports]
        data_set_images,
        file_images,
    )

    if _IMAGES.value is not None:
        return list(file_images(_IMAGES.value, count, trained.image))
    return data_set_images(
        pathlib.Path(str(_DATA_DIR.value)),
        trained.experiment.data.dataset,
        split,
        count,
        trained.labels,
    )


def run() -> None:
    """The console script."""
    run_binary("deeplab-export", __name__, main)


if __name__ == "__main__":
    run()
