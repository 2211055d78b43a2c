"""Where a class was found, missed and wrongly seen, drawn over a grey picture.

Tested in tests/evaluation/test_report.py.
"""

import numpy as np
from PIL import Image

from deeplab_tf.evaluation.worst import Kept
from deeplab_tf.images.classes import VOID, Classes, Color
from deeplab_tf.images.drawing import blend
from deeplab_tf.images.picture import open_picture

FOUND: Color = (0, 158, 115)
MISSED: Color = (230, 120, 0)
WRONG: Color = (204, 60, 180)
"""Colours that the colour-blind tell apart, after Okabe and Ito."""
_OPACITY = 0.7


def overlay_of(kept: Kept, classes: Classes) -> Image.Image:
    """Returns the picture under the colours of its predicted labels, in RGB."""
    picture, labels = (np.asarray(_opened(part)) for part in (kept.picture, kept.labels))
    return blend(picture, labels, classes)


def error_map(kept: Kept, class_id: int) -> Image.Image:
    """Returns the grey picture with the pixels of one class coloured, in RGB.

    True pixels are `FOUND` or `MISSED`, pixels wrongly taken for the class `WRONG`. Void pixels are
    black.
    """
    grey = np.asarray(_opened(kept.picture).convert("L"), np.float32)
    mask, labels = (np.asarray(_opened(part)) for part in (kept.mask, kept.labels))
    drawn = np.repeat((grey * 0.8 + 25)[..., None], 3, axis=-1)
    truth, predicted = mask == class_id, labels == class_id
    for where, color in (
        (truth & predicted, FOUND),
        (truth & ~predicted, MISSED),
        (predicted & ~truth, WRONG),
    ):
        drawn[where] = (1 - _OPACITY) * drawn[where] + _OPACITY * np.array(color)
    drawn[mask == VOID] = 0
    return Image.fromarray(drawn.round().astype(np.uint8))


def _opened(encoded: bytes) -> Image.Image:
    picture = open_picture(encoded)
    picture.load()
    return picture
