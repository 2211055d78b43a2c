"""The flags of deeplab-export, and the checks of which flags go together."""

import itertools

from absl import flags

from deeplab_tf.cli import flag_types
from deeplab_tf.cli.flag_rules import require

MODEL = flag_types.define_two_names(
    "model",
    "workdir",
    "WORKDIR of deeplab-train, whose latest checkpoint (with train.keep=best its best weights) is "
    "exported, FILE.keras, or a NAME of deeplab-models. --workdir is the same flag.",
    required=True,
)
OUT = flags.DEFINE_string("out", None, "Write into this directory.", required=True)
FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx", "openvino", "web"],
    "Write saved_model for TF Serving and TensorFlow, any image size; litert, one file for "
    "phones, boards and browsers; onnx, one file for ONNX runtimes, any image size; openvino, a "
    "folder for OpenVINO on CPUs of PCs and servers, any image size; or web, a page that runs the "
    "LiteRT file, for any static host.",
)
QUANTIZE = flags.DEFINE_enum(
    "quantize",
    "none",
    ["none", "float16", "dynamic", "int8"],
    "Quantize the file of litert, openvino and web: float16 halves the size of the weights; "
    "dynamic (not openvino) stores int8 weights, a quarter of the size; int8 computes in integers, "
    "from the pixels to the labels with litert, in the convolutions with openvino, calibrated on "
    "the images that the model was trained on, or on --images.",
)
CALIBRATION_IMAGES = flags.DEFINE_integer(
    "calibration_images",
    100,
    "Fit --quantize=int8 to this many images. Where the images compared come from the same split "
    "or --images, others are compared, and at most half of all are fitted to.",
    lower_bound=1,
)
KEEP_FLOAT = flags.DEFINE_multi(
    flag_types.Items(
        flag_types.expression,
        "must be regular expressions of layer names, e.g. --keep_float=block1_.*,logits",
    ),
    flags.CsvListSerializer(","),
    "keep_float",
    [],
    "With --quantize=int8, leave the layers whose whole names fit this regular expression, e.g. "
    "block1_.*, in float32; give several with commas between them, or give the flag again.",
)
IMAGE_SIZE = flags.DEFINE(
    flag_types.ImageSize(),
    "image_size",
    None,
    "Make the input of litert and web H,W pixels, of which k * output_stride + 1 fits best; "
    "dynamic takes any size and is slower. Default: the training crop.",
)
OUTPUTS = flags.DEFINE_enum(
    "outputs",
    "both",
    ["both", "labels", "logits"],
    "Choose what a litert, onnx or openvino file gives.",
)
OUTPUT_STRIDE = flag_types.define_output_stride(
    "Export the network at this output_stride; default: as trained.",
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
SIGNATURES = flags.DEFINE(
    flag_types.Items(
        flags.EnumParser(["probabilities", "logits", "uncertainty"]).parse,
        "must be of probabilities, logits and uncertainty, with commas between",
    ),
    "signatures",
    None,
    "Give these from a SavedModel too: probabilities, logits and uncertainty (entropy, in nats).",
)
SCALES = flags.DEFINE(
    flag_types.SCALES,
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
WORKING_SIZE = flag_types.define_working_size(
    "Let the network see images at most this many pixels long: longer ones are shrunk, and their "
    "scores enlarged again, inside a SavedModel and by what runs the other files; none: every "
    "image as it is. Default: that of the experiment's evaluate section, or the longest side of "
    "the training images.",
)
BENCHMARK = flags.DEFINE_boolean(
    "benchmark",
    False,
    "Write nothing; print latency, peak memory and size of the artefacts in --out.",
)

require(
    {
        "the export is compared with the model on images: give one of --data_dir=DIR, where "
        "deeplab-prepare wrote the data set, and --images=FILES": (
            lambda data_dir, images, benchmark: benchmark or (data_dir is None) != (images is None)
        ),
        "--image_size is for --format=litert and --format=web": (
            lambda format, image_size, benchmark: (
                format in ("litert", "web") or benchmark or image_size is None
            )
        ),
        "--quantize is for --format=litert, --format=openvino and --format=web": (
            lambda format, quantize, benchmark: (
                format in ("litert", "openvino", "web") or benchmark or quantize == "none"
            )
        ),
        "--format=openvino takes --quantize=none, float16 or int8, and no --keep_float": (
            lambda format, quantize, keep_float, benchmark: (
                format != "openvino" or benchmark or (quantize != "dynamic" and not keep_float)
            )
        ),
        "--outputs is for --format=litert, --format=onnx and --format=openvino": (
            lambda format, outputs, benchmark: (
                format != "saved_model" or benchmark or outputs == "both"
            )
        ),
        "the page shows logits of one image size: --format=web takes --quantize=none, float16 or "
        "dynamic, --image_size=H,W and --outputs=both": (
            lambda format, quantize, image_size, outputs: (
                format != "web"
                or (quantize != "int8" and image_size != flag_types.DYNAMIC and outputs == "both")
            )
        ),
        "--signatures, --scales and --flip are for --format=saved_model": (
            lambda format, signatures, scales, flip: (
                format == "saved_model" or (signatures, scales, flip) == (None, None, None)
            )
        ),
        "--litertjs is for --format=web": (
            lambda format, litertjs: format == "web" or litertjs is None
        ),
        "--keep_float is for --quantize=int8": (
            lambda quantize, keep_float: quantize == "int8" or not keep_float
        ),
        "--split goes with --data_dir, not with --images": (
            lambda images, split: images is None or split is None
        ),
    }
)


def image_size() -> tuple[int, int] | None:
    """Returns (height, width) of `--image_size`; None where it is not given, or `dynamic`."""
    return None if is_open() else IMAGE_SIZE.value


def is_open() -> bool:
    """Returns whether `--image_size=dynamic` asks for an input of any size."""
    return IMAGE_SIZE.value == flag_types.DYNAMIC


def keep_float() -> tuple[str, ...]:
    """Returns the regular expressions of all `--keep_float` flags."""
    return tuple(itertools.chain(*KEEP_FLOAT.value))
