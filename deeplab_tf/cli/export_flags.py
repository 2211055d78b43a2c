"""The flags of deeplab-export, and the checks of which flags go together."""

import re

from absl import flags

from deeplab_tf.cli.flags import ARE_SCALES, are_scales
from deeplab_tf.config import OUTPUT_STRIDES


def split_patterns(patterns: list[str]) -> list[str]:
    """Returns the single patterns in the values of `--keep_float`, split at the commas."""
    return [part for pattern in patterns for part in pattern.split(",")]


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return bool(text)


MODEL = flags.DEFINE_string(
    "model",
    None,
    "WORKDIR of deeplab-train, whose latest checkpoint is exported, or FILE.keras. --workdir is "
    "the same flag.",
    required=True,
)
flags.DEFINE_alias("workdir", "model")
OUT = flags.DEFINE_string("out", None, "Write into this directory.", required=True)
FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx", "web"],
    "Write saved_model for TF Serving and TensorFlow, any image size; litert, one file for "
    "phones, boards and browsers; onnx, one file for ONNX runtimes, any image size; or web, a "
    "page that runs the LiteRT file, for any static host.",
)
QUANTIZE = flags.DEFINE_enum(
    "quantize",
    "none",
    ["none", "float16", "dynamic", "int8"],
    "Quantize the file of litert and web: float16 halves the size of the weights; dynamic stores "
    "int8 weights, a quarter of the size; int8 computes in integers from the pixels to the "
    "labels, calibrated on the images that the model was trained on, or on --images.",
)
CALIBRATION_IMAGES = flags.DEFINE_integer(
    "calibration_images",
    100,
    "Measure the ranges of --quantize=int8 on this many images.",
    lower_bound=1,
)
KEEP_FLOAT = flags.DEFINE_multi_string(
    "keep_float",
    [],
    "With --quantize=int8, leave the layers whose whole names fit this regular expression, e.g. "
    "block1_.*, in float32; give several with commas between them, or give the flag again.",
)
IMAGE_SIZE = flags.DEFINE_list(
    "image_size",
    None,
    "Make the input of litert and web H,W pixels, of which k * output_stride + 1 fits best; "
    "dynamic takes any size and is slower. Default: the training crop.",
)
OUTPUTS = flags.DEFINE_enum(
    "outputs", "both", ["both", "labels", "logits"], "Choose what a litert or onnx file gives."
)
OUTPUT_STRIDE = flags.DEFINE_integer(
    "output_stride", None, "Export the network at this output_stride, e.g. 8. Default: as trained."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Compare on the model's data set, which deeplab-prepare wrote into this folder.",
)
SPLIT = flags.DEFINE_string(
    "split", None, "Compare on this split; default: the split of the experiment's evaluate section."
)
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Compare on these images instead of --data_dir: an image, a folder, or a quoted pattern.",
)
PARITY_IMAGES = flags.DEFINE_integer(
    "parity_images",
    None,
    "Compare on this many images; default: 8, with dynamic and int8 100.",
    lower_bound=1,
)
LITERTJS = flags.DEFINE_string(
    "litertjs",
    None,
    "Take the archives of LiteRT.js from this folder, web only; default: fetch the archives by "
    "npm once and keep them.",
)
SIGNATURES = flags.DEFINE_list(
    "signatures",
    [],
    "Give these from a SavedModel too: probabilities, logits and uncertainty (entropy, in nats).",
)
SCALES = flags.DEFINE_list(
    "scales",
    None,
    "Average the class probabilities over these image scales, saved_model only; default: the "
    "scales of the experiment's evaluate section.",
)
FLIP = flags.DEFINE_bool(
    "flip",
    None,
    "Average with the mirrored image too (--noflip: do not), saved_model only; default: the flip "
    "of the experiment's evaluate section.",
)
BENCHMARK = flags.DEFINE_boolean(
    "benchmark",
    False,
    "Write nothing; print latency, peak memory and size of the artefacts in --out.",
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
        or (not values["signatures"] and values["scales"] is None and values["flip"] is None)
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
    "--split goes with --data_dir, not with --images",
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
    lambda patterns: all(map(_is_pattern, split_patterns(patterns))),
    "must be regular expressions of layer names, e.g. --keep_float=block1_.*,logits",
)
flags.register_validator(
    "output_stride",
    lambda stride: stride in (None, *OUTPUT_STRIDES),
    f"must be one of {', '.join(map(str, OUTPUT_STRIDES))}",
)


def image_size() -> tuple[int, int] | None:
    """Returns (height, width) of `--image_size`; None where it is not given, or `dynamic`."""
    if IMAGE_SIZE.value is None or is_open():
        return None
    height, width = IMAGE_SIZE.value
    return int(height), int(width)


def is_open() -> bool:
    """Returns whether `--image_size=dynamic` asks for an input of any size."""
    return IMAGE_SIZE.value == ["dynamic"]
