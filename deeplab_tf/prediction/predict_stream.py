"""Predictions of a stream of encoded images on standard input, each written as it comes.

Tested in tests/cli/test_predict.py, through `deeplab-predict`.
"""

import contextlib
import dataclasses
import io
import pathlib
from collections.abc import Callable

import tqdm

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import pixels_of
from deeplab_tf.images.stream import split_images
from deeplab_tf.inference.batches import Picture, predict_one
from deeplab_tf.inference.predictor import Predictor, check_rgb
from deeplab_tf.prediction.outputs import FRAME, check_stream_outputs
from deeplab_tf.prediction.write_outputs import Add, Writer

ERRORS = 20
"""The number of errors that are named at the end: a stream may be endless."""


@dataclasses.dataclass
class StreamResult:
    """The result of a stream.

    Attributes:
        frames: the number of frames that came.
        failed: the number of frames that could not be read.
        errors: the first `ERRORS` errors; each error is also reported as it comes.
    """

    frames: int = 0
    failed: int = 0
    errors: list[DeeplabError] = dataclasses.field(default_factory=list)


def predict_stream(
    predictor: Predictor,
    stream: io.BufferedIOBase,
    writer: Writer,
    report_error: Callable[[str], None],
    add: Add = lambda share: None,
) -> StreamResult:
    """Writes the files of each frame into `writer.out`, the first as those of frame_000001.

    The stream ends with its last byte or with Ctrl-C. The files of a frame are written before the
    next frame is read. A frame that cannot be read keeps its number.

    Args:
        predictor: a predictor of a model for RGB images.
        stream: JPEGs and PNGs one after the other, of any sizes.
        writer: what is written, into an existing folder.
        report_error: gets a line for each frame that cannot be read, as it comes.
        add: gets the share of each frame in the files of all frames.

    Raises:
        DeeplabError: the model takes other images than RGB, or an output would replace a file of
            somebody else.
    """
    check_rgb(predictor)
    check_stream_outputs(writer.out, writer.writes.outputs)
    result = StreamResult()
    frames = tqdm.tqdm(split_images(stream), desc="predict", unit="frame", disable=None)
    # A camera's stream ends with Ctrl-C; each file is then whole or absent.
    with contextlib.suppress(KeyboardInterrupt):
        for encoded in frames:
            result.frames += 1
            name = pathlib.Path(FRAME.format(result.frames))
            try:
                picture = Picture(name, pixels_of(name, encoded))
            except DeeplabError as error:
                result.failed += 1
                result.errors = [*result.errors, error][:ERRORS]
                with frames.external_write_mode():  # takes the progress bar off the line
                    report_error(f"frame left out: {error}")
                continue
            done = predict_one(predictor, picture, writer.writes.wanted)
            add(writer.write(done, name.name, None))
    return result
