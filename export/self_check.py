"""The logits of a drawn picture at a few places, which a browser must give before it is trusted.

LiteRT.js gives garbage, not an error, for an operation that it does not know, and a GPU may compute
otherwise. `export/web/self_check.js` draws the same picture and compares.

Tested in tests/export/test_web.py and tests/export/test_web_frame.py.
"""

import pathlib

import numpy as np

from deeplab_tf.artefacts.litert import open_segmenter

_PLACES = 4
"""The number of rows, and of columns, in the grid of places."""


def drawn_picture(height: int, width: int) -> np.ndarray:
    """Returns uint8 [height, width, 3]: three slanted triangle waves, only in whole numbers."""
    y, x, channel = np.mgrid[:height, :width, :3]
    phase = (x * (3 + channel) + y * (5 - channel)) % 510
    return np.where(phase < 256, phase, 510 - phase).astype(np.uint8)


def expected_logits(path: pathlib.Path, image_size: tuple[int, int]) -> dict[str, list]:
    """Computes all classes' logits at the places, by the file `path`, for `model.json`.

    Returns:
        `index`, places in the flat [H, W, C], and `logits`, one number of five digits for each
        place.
    """
    _, logits = open_segmenter(path).run(drawn_picture(*image_size)[None])
    assert logits is not None  # the page has refused a file without logits before
    height, width, classes = logits.shape[1:]
    middles = (np.arange(_PLACES) + 0.5) / _PLACES
    rows, columns = (middles * height).astype(int), (middles * width).astype(int)
    places = (rows[:, None] * width + columns).reshape(-1, 1) * classes + np.arange(classes)
    index = np.unique(places)  # a side of less than 4 pixels has fewer
    return {
        "index": index.tolist(),
        "logits": [float(f"{value:.5g}") for value in logits.ravel()[index]],
    }
