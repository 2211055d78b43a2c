"""Batches of pictures of one size, which go through the network together."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from deeplab_tf.images.geotiff import Place
from deeplab_tf.images.nodata import with_void
from deeplab_tf.inference.predictor import Predictor

Source = TypeVar("Source")

BATCH_SIZE = 8
WAITING_PIXELS = 1 << 24
"""The most pixels that may wait for others of their size, as of 64 pictures of 512x512."""


@dataclasses.dataclass(frozen=True)
class Picture(Generic[Source]):
    """An image of the file or frame `source`.

    Attributes:
        source: the file or frame.
        pixels: [H, W, bands] in the predictor's format.
        missing: bool [H, W], the pixels without data; None where every pixel has data.
        place: the tags of the place on the earth that the file names.
    """

    source: Source
    pixels: np.ndarray
    missing: np.ndarray | None = None
    place: Place = ()


@dataclasses.dataclass(frozen=True)
class Predicted(Generic[Source]):
    """A picture and what the network made of it.

    Attributes:
        picture: the picture.
        labels: uint8 [H, W], which are void where the picture has no data.
        confidence: uint16 [H, W] as of `CONFIDENT`; None where it was not asked for or there is
            none.
    """

    picture: Picture[Source]
    labels: np.ndarray
    confidence: np.ndarray | None = None


def predict_batches(
    predictor: Predictor,
    pictures: Iterable[Picture[Source]],
    batch_size: int,
    confidence: bool = False,
) -> Iterator[Predicted[Source]]:
    """Yields the labels of all `pictures`, predicted in batches of one size.

    Batches have at most `batch_size` pictures. Pictures of one size keep their order; among several
    sizes, the size whose batch is full first comes first. `confidence` asks for it where the model
    gives it.
    """
    sure = predictor.predict_confident if confidence else None
    for batch in by_size(pictures, batch_size):
        pixels = np.stack([picture.pixels for picture in batch])
        both = sure(pixels) if sure else None
        labels = predictor.predict(pixels) if both is None else both["label"]
        for index, (picture, found) in enumerate(zip(batch, labels, strict=True)):
            found = np.ascontiguousarray(found)
            share = None if both is None else both["confidence"][index]
            yield Predicted(picture, with_void(found, picture.missing), share)


def by_size(
    pictures: Iterable[Picture[Source]], batch_size: int
) -> Iterator[list[Picture[Source]]]:
    """Yields lists of pictures of one size.

    A list has `batch_size` pictures, or fewer at the end and where too many pixels wait.
    """
    waiting: dict[tuple[int, ...], list[Picture[Source]]] = {}
    pixels_waiting = 0
    for picture in pictures:
        shape = picture.pixels.shape
        pixels = shape[0] * shape[1]
        pixels_waiting += pixels
        batch = waiting.setdefault(shape, [])
        batch.append(picture)
        if len(batch) >= batch_size:
            ready = shape
        elif pixels_waiting > WAITING_PIXELS:
            ready = next(iter(waiting))  # the size that has waited longest
        else:
            continue
        batch = waiting.pop(ready)
        pixels_waiting -= len(batch) * ready[0] * ready[1]
        yield batch
    yield from waiting.values()
