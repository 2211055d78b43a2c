"""The augmentations that an image format can have, and their ranges.

Tested in tests/test_config.py.
"""

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.config.schema import DataConfig

AUGMENTATIONS = {
    "rotation": 180,
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "hue": 0.5,
    "grey": 1,
    "blur": 20,
    "noise": 1,
    "jpeg_quality": 95,
    "cut_out": 1,
    "copy_paste": 1,
}
"""The augmentations of `DataConfig` and their largest values; the least is 0, which is off."""
RGB_ONLY = ("saturation", "hue", "grey", "jpeg_quality")
"""Augmentations of colours, which other bands than red, green and blue of 8 bits do not have."""


def augmentation_rules(data: DataConfig, image_format: ImageFormat) -> dict[str, tuple[bool, str]]:
    """Returns for each augmentation whether its rule holds and the rule, as "must be ...".

    Args:
        data: the values.
        image_format: the images' format, RGB while the data set is not known.
    """
    rules = {
        name: (0 <= getattr(data, name) <= most, f"0 to {most}")
        for name, most in AUGMENTATIONS.items()
    }
    if not image_format.is_rgb:
        reason = f"0 with images of {image_format}: it needs red, green and blue of 8 bits"
        rules |= {name: (not getattr(data, name), reason) for name in RGB_ONLY}
    return rules
