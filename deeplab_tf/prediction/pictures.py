"""Image files as pictures to predict, and the labels of a picture as a file.

Tested in tests/prediction/test_predict_scene.py and tests/prediction/test_beam_predict.py, through
`predict_images` and `predict_by_beam`.
"""

import pathlib
from typing import TypeVar

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.bands import read_with_missing
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.drawing import write_labels
from deeplab_tf.images.geotiff import read_place, write_geo_labels
from deeplab_tf.inference.batches import Picture, Predicted

Source = TypeVar("Source")


def read_picture(source: Source, path: pathlib.Path, image_format: ImageFormat) -> Picture[Source]:
    """Reads an image file as the picture `source`.

    Raises:
        DeeplabError: the file is missing, broken or of another format.
    """
    pixels, missing = read_with_missing(path, image_format)
    return Picture(source, pixels, missing, read_place(path))


def write_picture_labels(
    done: Predicted,
    classes: Classes,
    path: pathlib.Path,
    *,
    within: pathlib.Path | None = None,
    durable: bool = True,
) -> None:
    """Writes the labels of a picture: a GeoTIFF where the picture has a place, otherwise a PNG.

    `within` and `durable` are those of `whole_file`.
    """
    place = done.picture.place
    if place:
        size = done.labels.shape[0], done.labels.shape[1]
        write_geo_labels([done.labels], size, classes, place, path, within=within, durable=durable)
    else:
        write_labels(done.labels, classes, path, within=within, durable=durable)
