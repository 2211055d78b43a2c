"""Image files as pictures to predict.

Tested in tests/prediction/test_predict_scene.py and tests/prediction/test_beam_predict.py, through
`predict_images` and `predict_by_beam`.
"""

import pathlib
from typing import TypeVar

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.bands import read_with_missing
from deeplab_tf.images.geotiff import read_place
from deeplab_tf.inference.batches import Picture

Source = TypeVar("Source")


def read_picture(source: Source, path: pathlib.Path, image_format: ImageFormat) -> Picture[Source]:
    """Reads an image file as the picture `source`.

    Raises:
        DeeplabError: the file is missing, broken or of another format.
    """
    pixels, missing = read_with_missing(path, image_format)
    return Picture(source, pixels, missing, read_place(path))
