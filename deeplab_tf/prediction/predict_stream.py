"""A stream of encoded images on standard input: each is answered as it comes."""

import io
import itertools
import pathlib

import tqdm

from deeplab_tf.data.image_file import pixels_of
from deeplab_tf.data.image_stream import split_images
from deeplab_tf.errors import DeeplabError
from deeplab_tf.prediction.batches import Picture, Predicted
from deeplab_tf.prediction.predict_images import write_prediction
from deeplab_tf.prediction.predictor import Predictor, check_rgb


def predict_stream(
    predictor: Predictor, stream: io.BufferedIOBase, out: pathlib.Path
) -> tuple[int, list[DeeplabError]]:
    """Writes frame_000001.png and frame_000001_overlay.jpg into `out`, and so on to the end.

    A frame's files are there before the next one is read. A frame that cannot be read keeps its
    number.

    Args:
        predictor: of a model for RGB images.
        stream: JPEGs and PNGs one after the other, of any sizes.
        out: a folder.

    Returns:
        How many frames came, and one error for each that could not be read.

    Raises:
        DeeplabError: the model takes other images than RGB.
    """
    check_rgb(predictor)
    failed, count = [], 0
    frames = tqdm.tqdm(split_images(stream), desc="predict", unit="frame", disable=None)
    for count, encoded in zip(itertools.count(1), frames, strict=False):
        name = pathlib.Path(f"frame_{count:06}")
        try:
            picture = Picture(name, pixels_of(name, encoded))
        except DeeplabError as error:
            failed.append(error)
            continue
        labels = predictor.predict(picture.pixels[None])[0]
        write_prediction(Predicted(picture, labels), predictor, out)
    return count, failed
