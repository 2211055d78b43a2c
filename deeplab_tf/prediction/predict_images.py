"""Predictions of image files: labels, overlays, and what else `Writes` asks for.

Tested in tests/evaluation/test_evaluate.py and tests/prediction/test_beam_predict.py.
"""

import pathlib
from collections.abc import Iterator

import tqdm

from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.inference.batches import BATCH_SIZE, Picture, Predicted, predict_batches
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.parallel import in_threads
from deeplab_tf.prediction.pictures import read_picture
from deeplab_tf.prediction.predict_scene import is_scene, predict_scene
from deeplab_tf.prediction.write_outputs import Add, Share, Writer
from deeplab_tf.prediction.writes import Writes


def predict_images(
    predictor: Predictor,
    images: list[pathlib.Path],
    out: pathlib.Path,
    batch_size: int = BATCH_SIZE,
    writes: Writes | None = None,
    add: Add = lambda share: None,
) -> list[DeeplabError]:
    """Writes the files of each image into `out`; goes on after a bad image.

    TIFFs larger than a window are predicted by rows of windows. Threads read and write files while
    the network computes. Progress is shown on stderr where stderr is a terminal.

    Args:
        predictor: the model.
        images: the files.
        out: the folder.
        batch_size: the most images of one size that go through the network together.
        writes: what is written; None writes labels and an overlay.
        add: gets the share of each image in the files of all images.

    Returns:
        One error for each image that could not be read; nothing is written for such an image.
    """
    writer = Writer.of(predictor, writes or Writes(), out)
    failed: list[DeeplabError] = []
    scenes = [path for path in images if is_scene(path, predictor)]
    for path in scenes:
        try:
            add(predict_scene(path, predictor, writer))
        except StoreLostError:  # the next image would wait for the store as long
            raise
        except DeeplabError as error:
            failed.append(error)
    images = [path for path in images if path not in scenes]
    with tqdm.tqdm(total=len(images), desc="predict", unit="image", disable=None) as progress:

        def pictures() -> Iterator[Picture[pathlib.Path]]:
            for read in in_threads(lambda path: _read(path, predictor), images):
                if isinstance(read, Picture):
                    yield read
                else:
                    failed.append(read)
                    progress.update()

        predicted = predict_batches(predictor, pictures(), batch_size, writer.writes.wanted)
        for written in in_threads(lambda done: _write(done, writer), predicted):
            if isinstance(written, Share):
                add(written)
            else:
                failed.append(written)
            progress.update()
    return failed


def _write(done: Predicted[pathlib.Path], writer: Writer) -> Share | DeeplabError:
    path = done.picture.source
    try:
        return writer.write(done, path.stem, path)
    except StoreLostError:
        raise
    except DeeplabError as error:
        return error


def _read(path: pathlib.Path, predictor: Predictor) -> Picture[pathlib.Path] | DeeplabError:
    try:
        return read_picture(path, path, predictor.image_format)
    except DeeplabError as error:
        return error
