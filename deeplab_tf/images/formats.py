"""The pixels of any image format: stored in a record, and shown to people.

Tested in tests/images/test_bands.py.
"""

import numpy as np

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.images.files import encode_png


def encode_bands(pixels: np.ndarray) -> bytes:
    """Encodes uint8, uint16 or float32 [H, W, bands] as a grey PNG of H rows and W * bands columns.

    A PNG has at most four channels. Side by side in a grey PNG, any number of bands fits, and any
    reader opens the file. A float is two columns of 16 bits, its lower half first.
    """
    flat = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    return encode_png(flat.astype("<f4").view("<u2") if flat.dtype.kind == "f" else flat)


def view_rgb(image: np.ndarray, image_format: ImageFormat = RGB) -> np.ndarray:
    """Returns an image [..., bands] as a picture to look at, uint8 [..., 3].

    The picture has the first three bands, or the first band three times where there are fewer. The
    values from mean - 2 std to mean + 2 std of a band are stretched to 0..255; mean and std are
    those of the format, or of the image where the format has none. RGB is only clipped to 0..255.
    """
    if image_format.is_rgb:
        return np.asarray(image).clip(0, 255).astype(np.uint8)
    shown = [0, 1, 2] if image_format.bands >= 3 else [0, 0, 0]
    bands = np.asarray(image)[..., shown].astype(np.float32)
    if image_format.mean:
        mean, std = (np.array(x, np.float32)[shown] for x in (image_format.mean, image_format.std))
    else:
        axes = tuple(range(bands.ndim - 1))
        mean, std = bands.mean(axes), bands.std(axes) + 1e-6
    return ((bands - mean) / (4 * std) * 255 + 127.5).clip(0, 255).astype(np.uint8)
