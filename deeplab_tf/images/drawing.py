"""The drawing of labels in colours, with Pillow."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_tf.files import whole_file, write_jpeg
from deeplab_tf.images.classes import VOID, Classes, Color
from deeplab_tf.images.marks import (
    LEGEND_WIDTH,
    LONGEST_SIDE,
    MARK,
    are_labels,
    is_overlay,
    png_mark,
)

OVERLAY_OPACITY = 0.55
_LINE = 20
_SWATCH = 12


def labels_image(labels: np.ndarray, classes: Classes) -> Image.Image:
    """Returns labels, uint8 [H, W], as a palette picture whose pixel values are the labels.

    VOC's mask files have the same form.
    """
    image = Image.fromarray(labels)
    image.putpalette(classes.flat_palette())
    return image


def write_labels(
    labels: np.ndarray,
    classes: Classes,
    path: pathlib.Path,
    *,
    within: pathlib.Path | None = None,
    durable: bool = True,
) -> None:
    """Writes labels, uint8 [H, W], as a palette PNG; an error leaves no partial file.

    `within` and `durable` are those of `whole_file`.
    """
    with whole_file(path, are_labels, within=within, durable=durable) as temporary:
        labels_image(labels, classes).save(temporary, pnginfo=png_mark())


def write_overlay(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Classes,
    path: pathlib.Path,
    *,
    within: pathlib.Path | None = None,
    durable: bool = True,
) -> None:
    """Writes the `overlay` of an image and its labels as a JPEG.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        classes: names and colours.
        path: the file to write, which ends in .jpg.
        within, durable: as for `whole_file`.
    """
    picture = overlay(image, labels, classes)
    write_jpeg(path, picture, 92, is_overlay, comment=MARK, within=within, durable=durable)


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes) -> Image.Image:
    """Returns the image under its labels' colours, above a legend of the classes present, in RGB.

    The legend shows the share of each class. A picture with a side over `LONGEST_SIDE` is
    shrunk to that size.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        classes: names and colours.
    """
    blended = blend(image, labels, classes)
    blended.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    palette = np.asarray(classes.flat_palette(), np.uint8).reshape(VOID + 1, 3)
    entries = []
    for label in map(int, np.unique(labels)):
        name = classes.name_of(label)
        share = 100 * np.count_nonzero(labels == label) / labels.size
        entries.append((tuple(palette[label].tolist()), f"{name}  {share:.1f} %"))
    key = legend(entries, max(blended.width, LEGEND_WIDTH))
    canvas = Image.new("RGB", (key.width, blended.height + key.height), "white")
    canvas.paste(blended)
    canvas.paste(key, (0, blended.height))
    return canvas


def blend(image: np.ndarray, labels: np.ndarray, classes: Classes) -> Image.Image:
    """Returns the image under its labels' colours, in RGB.

    Where class 0 is called `background`, its pixels show the image without colour.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        classes: names and colours.
    """
    photo = Image.fromarray(image)
    colored = labels_image(labels, classes).convert("RGB")
    blended = Image.blend(photo, colored, OVERLAY_OPACITY)
    if classes.has_background:
        blended.paste(photo, mask=Image.fromarray(labels == 0))
    return blended


def class_legend(classes: Classes, width: int) -> Image.Image:
    """Returns a legend of all classes in RGB, at least `width` pixels wide."""
    entries = list(zip(classes.palette, classes.names, strict=True))
    return legend(entries, max(width, LEGEND_WIDTH))


def legend(entries: Sequence[tuple[Color, str]], width: int) -> Image.Image:
    """Returns a picture of colours and the words for them, `width` pixels wide, in RGB.

    The entries are in as many columns as the width has room for.
    """
    font = ImageFont.load_default(size=13)
    words_at = _SWATCH + 7
    column = words_at + 16 + max(math.ceil(font.getlength(words)) for _, words in entries)
    columns = max(1, width // column)
    rows = -(-len(entries) // columns)
    canvas = Image.new("RGB", (width, rows * _LINE + 8), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (color, words) in enumerate(entries):
        x = 8 + (place % columns) * column
        y = 6 + (place // columns) * _LINE
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), fill=color, outline=(96, 96, 96))
        draw.text((x + words_at, y - 2), words, fill="black", font=font)
    return canvas
