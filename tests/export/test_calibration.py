"""The images of int8: none is judged that was calibrated on, where there are two."""

import numpy as np
import pytest

from deeplab_tf.export.calibration import held_apart
from deeplab_tf.export.images import ComparedImage


def images(numbers):
    return [ComparedImage(str(number), np.zeros((1, 1, 3), np.uint8)) for number in numbers]


@pytest.mark.parametrize(
    ("judged", "candidates", "count", "kept", "calibrated"),
    [
        # Another split: nothing is moved, however few there are.
        (range(4), range(10, 13), 8, range(4), range(10, 13)),
        (range(4), range(10, 30), 8, range(4), range(10, 18)),
        # One source, with enough, with too few besides, and with none besides.
        (range(4), range(20), 8, range(4), range(4, 12)),
        (range(6), range(8), 4, range(4), range(4, 8)),
        (range(6), range(6), 100, range(3), range(3, 6)),
        (range(3), range(3), 1, range(2), range(2, 3)),
        (range(1), range(1), 100, range(1), range(1)),
    ],
)
def test_what_is_judged_was_not_calibrated_on(judged, candidates, count, kept, calibrated):
    found = held_apart(images(judged), iter(images(candidates)), count)
    names = [[int(picture.name) for picture in part] for part in found]
    assert names == [list(kept), list(calibrated)]
