"""A picture of a data set to look at before training: images under their masks' colours.

Tested in tests/data/check/test_doctor.py.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_tf.data.check.doctor import Report
from deeplab_tf.data.read_pair import read_decoded
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.drawing import blend, legend
from deeplab_tf.images.formats import view_rgb

COLUMNS = 6
TILE = 220
CAPTION = 18
FEW = 24
"""The number of images that are shown where there are fewer classes."""


def contact_sheet(report: Report) -> Image.Image | None:
    """Draws the contact sheet of an examined data set.

    The sheet shows for each class the image with the largest share of the class, then images at
    even distances in the data set, up to `FEW` in all. Each image is under its SPLIT/ID. Only pairs
    that can be read and have a pixel that is not void are shown.

    Returns:
        The sheet in RGB, or None where no pair can be shown.
    """
    classes = report.source.classes
    shown = _choose(report)
    if not shown:
        return None
    rows = -(-len(shown) // COLUMNS)
    line = TILE + CAPTION
    width = COLUMNS * TILE
    colors = (*classes.palette, classes.void_color)
    key = legend(list(zip(colors, (*classes.names, "void"), strict=True)), width)
    sheet = Image.new("RGB", (width, rows * line + key.height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for place, (split, pair) in enumerate(shown):
        x, y = place % COLUMNS * TILE, place // COLUMNS * line
        pixels, mask = read_decoded(pair, report.source.image_format)
        step = max(1, max(mask.shape) // (4 * TILE))  # a huge image is shrunk before it is blended
        view = view_rgb(pixels[::step, ::step], report.image_format)
        tile = blend(view, mask[::step, ::step], classes)
        tile.thumbnail((TILE - 6, TILE - 4))
        sheet.paste(tile, (x, y + CAPTION))
        draw.text((x + 1, y + 2), f"{split}/{pair.id}"[:34], fill="black", font=font)
    sheet.paste(key, (0, rows * line))
    return sheet


def _choose(report: Report) -> list[tuple[str, Pair]]:
    """Returns the pairs to show with their splits, in the data set's order.

    A pair that is the best for several classes comes once.
    """
    usable = [
        (split, pair, finding.pixels)
        for split, pairs in report.source.splits.items()
        for pair, finding in zip(pairs, report.findings[split], strict=True)
        if finding.problem is None and finding.pixels[:VOID].any()
    ]
    if not usable:
        return []
    pixels = np.stack([counts for *_, counts in usable])
    shares = pixels / pixels.sum(axis=1, keepdims=True)
    chosen = {
        int(shares[:, label].argmax())
        for label in range(report.source.classes.num_classes)
        if shares[:, label].any()
    }
    for index in np.linspace(0, len(usable) - 1, FEW).astype(int):
        if len(chosen) < FEW:
            chosen.add(int(index))
    return [usable[index][:2] for index in sorted(chosen)]
