"""Pixels without data: they are read as 0, and are void in training and in predictions."""

import numpy as np

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.classes import VOID


def find_absent(pixels: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Returns which values of an image are no data, bool [H, W, bands]; None where all are data.

    A value is no data where it equals `nodata`, and a float where it is not finite.

    Args:
        pixels: [H, W, bands] as the file has them.
        nodata: the value without data; None where there is none.
    """
    absent = None
    if pixels.dtype.kind == "f":
        absent = ~np.isfinite(pixels)
    if nodata is not None and not np.isnan(nodata):
        # The file has the value in its own precision, as -3.4028234663852886e+38 for float32.
        stored = np.float32(nodata) if pixels.dtype.kind == "f" else nodata
        equal = pixels == stored
        absent = equal if absent is None else absent | equal
    return absent if absent is not None and absent.any() else None


def without_absent(
    pixels: np.ndarray, nodata: float | None, image_format: ImageFormat
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the pixels with 0 for values without data, and the pixels that have no data at all.

    RGB pixels keep their values, since records hold the bytes of an RGB file as they are.

    Returns:
        The pixels, and bool [H, W] that is true where no band has data; None where there is no such
        pixel.
    """
    absent = find_absent(pixels, nodata)
    if absent is None:
        return pixels, None
    missing = np.asarray(absent.all(axis=-1))
    if not image_format.is_rgb:
        pixels = np.where(absent, pixels.dtype.type(0), pixels)
    return pixels, missing if missing.any() else None


def with_void(labels: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    """Returns labels or a mask, uint8 [H, W], with `VOID` at the pixels `missing`."""
    if missing is None:
        return labels
    return np.where(missing, np.uint8(VOID), labels)
