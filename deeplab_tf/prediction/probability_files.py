"""Files of probabilities in 16 bits, at the place of a GeoTIFF where the image is one.

Tested in tests/prediction/test_write_outputs.py, through `run_files`.
"""

import pathlib
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from deeplab_tf.files import whole_file
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.geotiff import Place, write_geo_values
from deeplab_tf.images.marks import MARK, is_marked, png_mark
from deeplab_tf.images.scored import ONE


def write_confidence(
    confidence: np.ndarray, place: Place, path: pathlib.Path, **whole: Any
) -> None:
    """Writes uint16 [H, W] as a grey PNG of 16 bits, or as a GeoTIFF where there is a `place`.

    `whole` are `within` and `durable` of `whole_file`.
    """
    if place:
        write_geo_values(confidence, ["confidence"], 1 / ONE, place, path, **whole)
        return
    with whole_file(path, is_marked, **whole) as temporary:
        Image.fromarray(confidence).save(temporary, pnginfo=png_mark())


def write_probabilities(
    probabilities: np.ndarray, classes: Classes, place: Place, path: pathlib.Path, **whole: Any
) -> None:
    """Writes uint16 [H, W, C] as a compressed `.npz`, or as a GeoTIFF where there is a `place`.

    The `.npz` has the arrays `probabilities`, `scale` (the integer that stands for 1), `classes`
    (the names), and `software`. The bands of a GeoTIFF are the classes.
    """
    if place:
        write_geo_values(probabilities, classes.names, 1 / ONE, place, path, **whole)
        return
    with whole_file(path, are_probabilities, **whole) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            probabilities=probabilities,
            scale=np.uint16(ONE),
            classes=np.array(classes.names),
            software=np.array(MARK),
        )


def are_probabilities(path: pathlib.Path) -> bool:
    """Recognises an `.npz` of `write_probabilities`."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return str(found["software"]) == MARK and "probabilities" in found
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError):
        return False
