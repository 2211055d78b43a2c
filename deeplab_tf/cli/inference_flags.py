"""The flags of the inference strategies, shared by deeplab-eval and deeplab-predict."""

from absl import flags

from deeplab_tf.cli import flag_types

OUTPUT_STRIDE = flag_types.define_output_stride(
    "Run the same weights at this output_stride; default: the output_stride of the experiment's "
    "evaluate section.",
)
SCALES = flags.DEFINE(
    flag_types.SCALES,
    "scales",
    None,
    "Average the class probabilities over these image scales, e.g. 0.5,1,1.5; default: the scales "
    "of the experiment's evaluate section.",
)
WORKING_SIZE = flag_types.define_working_size(
    "Let the network see images at most this many pixels long: longer ones are shrunk, and their "
    "scores enlarged again; none: every image as it is. Default: the longest side of the training "
    "images, but none with --window and where the training images were tiles.",
)
FLIP = flags.DEFINE_bool(
    "flip",
    None,
    "Average with the mirrored image too (--noflip: do not); default: the flip of the "
    "experiment's evaluate section.",
)
PAD_TO = flags.DEFINE_integer(
    "pad_to",
    None,
    "Pad smaller images with the mean pixel to this many pixels a side, as the original DeepLab "
    "does; default: the pad_to of the experiment's evaluate section.",
    lower_bound=1,
)
WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Put larger images through the network in overlapping windows of this many pixels a side, for "
    "images too large for memory; default: the window of the experiment's evaluate section.",
    lower_bound=1,
)
CRF = flags.DEFINE_bool(
    "crf",
    None,
    "Refine the labels by DeepLabv2's fully connected CRF (needs pip install pydensecrf2); "
    "default: the crf of the experiment's evaluate section.",
)


def overrides() -> dict:
    """Returns the flags by the names of `EvaluateConfig`'s fields; None for a flag not given."""
    return {
        "output_stride": OUTPUT_STRIDE.value,
        "working_size": WORKING_SIZE.value,
        "scales": SCALES.value,
        "flip": FLIP.value,
        "pad_to": PAD_TO.value,
        "window": WINDOW.value,
        "crf": CRF.value,
    }
