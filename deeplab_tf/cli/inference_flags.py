"""The flags of the inference strategies, shared by deeplab-eval and deeplab-predict."""

from absl import flags

from deeplab_tf.cli.flags import ARE_SCALES, are_scales
from deeplab_tf.config import OUTPUT_STRIDES

OUTPUT_STRIDE = flags.DEFINE_enum(
    "output_stride",
    None,
    [str(stride) for stride in OUTPUT_STRIDES],
    "Run the same weights at this output_stride; default: as the experiment's evaluate section.",
)
SCALES = flags.DEFINE_list(
    "scales",
    None,
    "Image scales whose class probabilities are averaged, e.g. 0.5,1,1.5; default: as the "
    "experiment's evaluate section.",
)
FLIP = flags.DEFINE_bool(
    "flip",
    None,
    "Average with the mirrored image too (--noflip: do not); default: as the experiment's evaluate "
    "section.",
)
PAD_TO = flags.DEFINE_integer(
    "pad_to",
    None,
    "Smaller images are padded with the mean pixel to this many pixels a side, as the original "
    "DeepLab's; default: as the experiment's evaluate section.",
    lower_bound=1,
)
WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Larger images go through the network in overlapping windows of this many pixels a side, for "
    "images too large for memory; default: as the experiment's evaluate section.",
    lower_bound=1,
)
CRF = flags.DEFINE_bool(
    "crf",
    None,
    "Refine by DeepLabv2's fully connected CRF (needs pip install pydensecrf2); default: as the "
    "experiment's evaluate section.",
)


flags.register_validator("scales", are_scales, ARE_SCALES)


def overrides() -> dict:
    """Returns the flags by the names of `EvaluateConfig`'s fields; None for a flag not given."""
    return {
        "output_stride": int(OUTPUT_STRIDE.value) if OUTPUT_STRIDE.value else None,
        "scales": tuple(float(value) for value in SCALES.value) if SCALES.value else None,
        "flip": FLIP.value,
        "pad_to": PAD_TO.value,
        "window": WINDOW.value,
        "crf": CRF.value,
    }
