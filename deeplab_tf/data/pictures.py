"""Draws labels, with Pillow."""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_tf.data.labels import VOID, LabelSet
from deeplab_tf.files import whole_file, write_jpeg

OVERLAY_OPACITY = 0.55
MAX_OVERLAY_SIDE = 4096
"""The overlay is for looking at; a JPEG cannot be longer than 65,500 pixels."""
_LEGEND_WIDTH = 240
_LINE = 20
_SWATCH = 12


def labels_image(labels: np.ndarray, label_set: LabelSet) -> Image.Image:
    """uint8 [H, W] as a palette picture whose pixel values are the labels, as VOC's files."""
    image = Image.fromarray(labels)
    image.putpalette(label_set.flat_palette())
    return image


def write_labels(labels: np.ndarray, label_set: LabelSet, path: pathlib.Path) -> None:
    """Writes `labels_image` as a PNG, whole or not at all."""
    with whole_file(path) as beside:
        labels_image(labels, label_set).save(beside)


def write_overlay(
    image: np.ndarray, labels: np.ndarray, label_set: LabelSet, path: pathlib.Path
) -> None:
    """Writes the image under its labels' colours, with a legend, as a JPEG.

    Args:
        image: uint8 [H, W, 3].
        labels: uint8 [H, W].
        label_set: names and colours.
        path: ends in .jpg.
    """
    write_jpeg(path, overlay(image, labels, label_set), quality=92)


def overlay(image: np.ndarray, labels: np.ndarray, label_set: LabelSet) -> Image.Image:
    """The blend of image and colours above a legend of the classes present, RGB.

    Class 0 keeps the plain photograph where it is a background. Sides over `MAX_OVERLAY_SIDE` are
    shrunk.
    """
    photo = Image.fromarray(image)
    colored = labels_image(labels, label_set).convert("RGB")
    blend = Image.blend(photo, colored, OVERLAY_OPACITY)
    if label_set.names[0] == "background":
        blend.paste(photo, mask=Image.fromarray(labels == 0))
    blend.thumbnail((MAX_OVERLAY_SIDE, MAX_OVERLAY_SIDE))
    present = [int(label) for label in np.unique(labels)]
    width = max(blend.width, _LEGEND_WIDTH)
    columns = width // _LEGEND_WIDTH
    rows = -(-len(present) // columns)
    canvas = Image.new("RGB", (width, blend.height + rows * _LINE + 8), "white")
    canvas.paste(blend)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    palette = np.asarray(label_set.flat_palette(), np.uint8).reshape(VOID + 1, 3)
    for place, label in enumerate(present):
        x = 8 + (place % columns) * _LEGEND_WIDTH
        y = blend.height + 6 + (place // columns) * _LINE
        box = (x, y, x + _SWATCH, y + _SWATCH)
        draw.rectangle(box, fill=tuple(palette[label].tolist()), outline=(96, 96, 96))
        name = label_set.names[label] if label < label_set.num_classes else "void"
        share = 100 * np.count_nonzero(labels == label) / labels.size
        draw.text((x + _SWATCH + 7, y - 2), f"{name}  {share:.1f} %", fill="black", font=font)
    return canvas
