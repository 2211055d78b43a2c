"""What counts as unknown in a crop."""

import numpy as np
import pytest

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.unknown import find_unknown
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
BANDS = ImageFormat(3, 16, MEAN, (1.0, 1.0, 1.0), nodata=7.0)


@pytest.mark.parametrize(
    ("image_format", "absent"),
    [(RGB, 0), (ImageFormat(nodata=255.0), 255), (BANDS, 0)],
    ids=["rgb", "rgb with nodata", "bands"],
)
def test_padding_and_pixels_without_data_are_found(image_format, absent):
    image = np.full((4, 5, 3), 50, np.float32)
    mask = np.full((4, 5), 2, np.uint8)
    want = np.zeros((4, 5), bool)
    image[0], mask[0], want[0] = MEAN, VOID, True  # padding
    image[1], mask[1], want[1] = absent, VOID, True  # no data
    mask[2] = VOID  # an object's border: void, but it shows something
    image[3, 0], image[3, 1] = MEAN, absent  # of a class, so they are pixels like others
    image[2, 0] = (absent, absent, 9)  # data in one band
    np.testing.assert_array_equal(find_unknown(image, mask, MEAN, image_format), want)
