import numpy as np
import pytest

from deeplab_tf.images.classes import SHAPES
from deeplab_tf.inference import batches
from deeplab_tf.inference.batches import Picture, by_size, predict_batches
from deeplab_tf.inference.predictor import Predictor


def pictures(*sizes):
    for index, size in enumerate(sizes):
        yield Picture(index, np.full((*size, 3), index, np.uint8))


def sources(*arguments):
    return [[picture.source for picture in batch] for batch in by_size(*arguments)]


A, B = (4, 6), (6, 4)


@pytest.mark.parametrize(
    ("sizes", "batch_size", "expected"),
    [
        ([A, A, A], 2, [[0, 1], [2]]),
        ([A, B, A, B, A], 2, [[0, 2], [1, 3], [4]]),
        ([A, B, A], 8, [[0, 2], [1]]),
        ([A, A], 1, [[0], [1]]),
        ([], 8, []),
    ],
)
def test_pictures_of_one_size_go_together(sizes, batch_size, expected):
    assert sources(pictures(*sizes), batch_size) == expected


def test_no_more_wait_than_fit(monkeypatch):
    """Each picture has a size of its own, and none would ever find others."""
    monkeypatch.setattr(batches, "WAITING_PIXELS", 100)
    taken = 0

    def counted():
        nonlocal taken
        for picture in pictures(*[(1, width) for width in range(30, 60)]):
            taken += 1
            yield picture

    given = []
    for batch in by_size(counted(), 8):
        given += [picture.source for picture in batch]
        assert taken - len(given) <= 3  # three of 30 pixels and more have 100 together
    assert given == list(range(30))


def test_each_picture_gets_its_own_labels():
    seen = []

    def predict(images):
        seen.append(len(images))
        return images[..., 0]

    done = list(predict_batches(Predictor(SHAPES, predict), pictures(A, B, A, A, B), 2))
    assert seen == [2, 2, 1]
    assert sorted(one.picture.source for one in done) == [0, 1, 2, 3, 4]
    for one in done:
        assert one.labels.shape == one.picture.pixels.shape[:2]
        assert (one.labels == one.picture.source).all()
