"""What counts as unknown in a crop, and that it is put back."""

import numpy as np
import pytest

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.unknown import find_unknown, with_unknown
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
BANDS = ImageFormat(3, 16, MEAN, (1.0, 1.0, 1.0), nodata=7.0)


@pytest.mark.parametrize(
    ("image_format", "absent"),
    [(RGB, 0), (ImageFormat(nodata=255.0), 255), (BANDS, 0)],
    ids=["rgb", "rgb with nodata", "bands"],
)
def test_padding_and_pixels_without_data_are_found_and_put_back(image_format, absent):
    image = np.full((4, 5, 3), 50, np.float32)
    mask = np.full((4, 5), 2, np.uint8)
    want = np.zeros((4, 5), bool)
    image[0], mask[0], want[0] = MEAN, VOID, True  # padding
    image[1], mask[1], want[1] = absent, VOID, True  # no data
    mask[2] = VOID  # an object's border: void, but it shows something
    image[3, 0], image[3, 1] = MEAN, absent  # of a class, so they are pixels like others
    image[2, 0] = (absent, absent, 9)  # data in one band
    unknown = find_unknown(image, mask, MEAN, image_format)
    found = np.zeros((4, 5), bool)
    found[tuple(unknown.places.numpy().T)] = True
    np.testing.assert_array_equal(found, want)
    changed = with_unknown(np.full_like(image, 99), unknown).numpy()
    np.testing.assert_array_equal(changed[want], image[want])
    assert (changed[~want] == 99).all()


def test_a_crop_without_void_has_none():
    image, mask = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8)
    unknown = find_unknown(image, mask, MEAN, RGB)
    assert unknown.places.shape == (0, 2)
    np.testing.assert_array_equal(with_unknown(image + 1, unknown), image + 1)
