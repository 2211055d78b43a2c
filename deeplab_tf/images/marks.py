"""The mark in the pictures that this package writes, by which a later run knows them.

Tested in tests/images/test_drawing.py.
"""

import pathlib

from PIL import Image, PngImagePlugin

from deeplab_tf.images.picture import BROKEN, open_picture

MARK = "deeplab_tf"
"""The text `Software` of a PNG, and the comment of a JPEG."""
LABELS_SUFFIX, OVERLAY_SUFFIX = ".png", "_overlay.jpg"
"""The ends of the names of an image's labels and overlay."""
LEGEND_WIDTH = 240
"""The least width of an overlay, in pixels, which its legend has."""
LONGEST_SIDE = 4096
"""The longest side of the picture in an overlay, in pixels.

An overlay is only for people to look at, and a JPEG cannot be longer than 65,500 pixels.
"""


def png_mark() -> PngImagePlugin.PngInfo:
    """Returns the mark as Pillow writes it into a PNG, with `pnginfo=`."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", MARK)
    return mark


def is_marked(path: pathlib.Path) -> bool:
    """Returns whether `path` is a PNG or JPEG with the mark."""
    try:
        with open_picture(path) as picture:
            found = (picture.info.get("Software"), picture.info.get("comment"))
            return MARK in found or MARK.encode() in found
    except (*BROKEN, Image.DecompressionBombError):
        return False


def are_labels(path: pathlib.Path) -> bool:
    """Returns whether `path` has labels that this package predicted."""
    overlay = path.with_name(path.stem + OVERLAY_SUFFIX)
    return is_marked(path) or _is_unmarked_pair(path, overlay)


def is_overlay(path: pathlib.Path) -> bool:
    """Returns whether `path` has an overlay that this package drew."""
    labels = path.with_name(path.name.removesuffix(OVERLAY_SUFFIX) + LABELS_SUFFIX)
    return is_marked(path) or _is_unmarked_pair(labels, path)


def _is_unmarked_pair(labels: pathlib.Path, overlay: pathlib.Path) -> bool:
    """Returns whether two files are the labels and the overlay of an image by an earlier version.

    Earlier versions left no mark. Their labels have a palette, as masks have, and their overlay has
    a legend under the picture, so it is higher than the labels.
    """
    try:
        with (
            open_picture(labels) as below,
            open_picture(overlay) as above,
        ):
            shrink = min(1.0, LONGEST_SIDE / max(below.size))
            width = max(round(below.width * shrink), LEGEND_WIDTH)
            return (
                (below.mode, above.format) == ("P", "JPEG")
                and abs(above.width - width) <= 1  # Pillow rounds a shrunk side up or down
                and above.height > round(below.height * shrink) + 1
            )
    except (*BROKEN, Image.DecompressionBombError):
        return False
