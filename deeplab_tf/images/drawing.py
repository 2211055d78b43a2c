"""Draws labels, with Pillow."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_tf.files import whole_file, write_jpeg
from deeplab_tf.images.classes import VOID, Classes, Color

OVERLAY_OPACITY = 0.55
MAX_OVERLAY_SIDE = 4096
"""The overlay is for looking at; a JPEG cannot be longer than 65,500 pixels."""
_LEGEND_WIDTH = 240
_LINE = 20
_SWATCH = 12


def labels_image(labels: np.ndarray, classes: Classes) -> Image.Image:
    """uint8 [H, W] as a palette picture whose pixel values are the labels, as VOC's files."""
    image = Image.fromarray(labels)
    image.putpalette(classes.flat_palette())
    return image


def write_labels(labels: np.ndarray, classes: Classes, path: pathlib.Path) -> None:
    """Writes `labels_image` as a PNG, whole or not at all."""
    with whole_file(path) as beside:
        labels_image(labels, classes).save(beside)


def write_overlay(
    image: np.ndarray, labels: np.ndarray, classes: Classes, path: pathlib.Path
) -> None:
    """Writes the image under its labels' colours, with a legend, as a JPEG.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        classes: names and colours.
        path: ends in .jpg.
    """
    write_jpeg(path, overlay(image, labels, classes), quality=92)


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes) -> Image.Image:
    """The blend of image and colours above a legend of the classes present, RGB.

    Sides over `MAX_OVERLAY_SIDE` are shrunk.
    """
    blended = blend(image, labels, classes)
    blended.thumbnail((MAX_OVERLAY_SIDE, MAX_OVERLAY_SIDE))
    palette = np.asarray(classes.flat_palette(), np.uint8).reshape(VOID + 1, 3)
    entries = []
    for label in map(int, np.unique(labels)):
        name = classes.names[label] if label < classes.num_classes else "void"
        share = 100 * np.count_nonzero(labels == label) / labels.size
        entries.append((tuple(palette[label].tolist()), f"{name}  {share:.1f} %"))
    key = legend(entries, max(blended.width, _LEGEND_WIDTH))
    canvas = Image.new("RGB", (key.width, blended.height + key.height), "white")
    canvas.paste(blended)
    canvas.paste(key, (0, blended.height))
    return canvas


def blend(image: np.ndarray, labels: np.ndarray, classes: Classes) -> Image.Image:
    """The image under its labels' colours, RGB.

    Class 0 keeps the plain photograph where it is a background.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        classes: names and colours.
    """
    photo = Image.fromarray(image)
    colored = labels_image(labels, classes).convert("RGB")
    blended = Image.blend(photo, colored, OVERLAY_OPACITY)
    if classes.names[0] == "background":
        blended.paste(photo, mask=Image.fromarray(labels == 0))
    return blended


def class_legend(classes: Classes, width: int) -> Image.Image:
    """The colours and names of all classes, `width` pixels wide or more, RGB."""
    entries = list(zip(classes.palette, classes.names, strict=True))
    return legend(entries, max(width, _LEGEND_WIDTH))


def legend(entries: Sequence[tuple[Color, str]], width: int) -> Image.Image:
    """Colours with their words, in as many columns as `width` pixels have room for, RGB."""
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
