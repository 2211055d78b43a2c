"""Batches of pictures of one size, which go through the network together."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from deeplab_tf.images.geotiff import Place
from deeplab_tf.images.nodata import with_void
from deeplab_tf.images.scored import scored
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.inference.wanted import Wanted

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
    """A picture and what a model made of it.

    Attributes:
        picture: the picture.
        labels: uint8 [H, W], void where the picture has no data.
        confidence: uint16 [H, W], the largest probability, with 65535 for 1 and 0 where the picture
            has no data; None where it was not asked for.
        probabilities: the same of every class, uint16 [H, W, C], or None.
    """

    picture: Picture[Source]
    labels: np.ndarray
    confidence: np.ndarray | None = None
    probabilities: np.ndarray | None = None


def predict_batches(
    predictor: Predictor,
    pictures: Iterable[Picture[Source]],
    batch_size: int,
    wanted: Wanted = Wanted.LABELS,
) -> Iterator[Predicted[Source]]:
    """Yields the labels of all `pictures`, predicted in batches of one size.

    Batches have at most `batch_size` pictures. Pictures of one size keep their order; among several
    sizes, the size whose batch is full first comes first. Where more than labels are wanted, the
    pictures go one by one and keep their order, since their scores fill the memory.

    Raises:
        DeeplabError: the model gives only labels, and more are wanted.
    """
    if wanted:
        for picture in pictures:
            yield predict_one(predictor, picture, wanted)
        return
    for batch in by_size(pictures, batch_size):
        labels = predictor.predict(np.stack([picture.pixels for picture in batch]))
        for picture, found in zip(batch, labels, strict=True):
            yield Predicted(picture, with_void(found, picture.missing))


def predict_one(
    predictor: Predictor, picture: Picture[Source], wanted: Wanted
) -> Predicted[Source]:
    """Predicts one picture; raises `DeeplabError` as `predict_batches` does."""
    images, missing = picture.pixels[None], picture.missing
    if wanted is Wanted.CONFIDENCE_IF_ANY and not predictor.gives_scores:
        wanted = Wanted.LABELS
    if not wanted:
        return Predicted(picture, with_void(predictor.predict(images)[0], missing))
    every = wanted is Wanted.PROBABILITIES
    found = scored(predictor.scores(images), (images.shape[1], images.shape[2]), every)
    if missing is not None:
        found.confidence[missing] = 0
        if found.probabilities is not None:
            found.probabilities[missing] = 0
    labels = with_void(found.labels, missing)
    return Predicted(picture, labels, found.confidence, found.probabilities)


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
