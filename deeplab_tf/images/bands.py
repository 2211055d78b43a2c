"""The reading of images with any number of bands of 8, 16 or, as floats, 32 bits.

TIFF files are read by tifffile, PNG files by imagecodecs.
"""

from pathlib import Path

import numpy as np

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.files import PNG_BIT_DEPTH, PNG_COLOR_TYPE, read_pixels
from deeplab_tf.images.geotiff import (
    TIFF,
    import_tifffile,
    naming_broken_image,
    read_nodata,
)
from deeplab_tf.images.nodata import without_absent
from deeplab_tf.images.picture import BROKEN, open_picture


def read_image_of(path: Path, image_format: ImageFormat) -> np.ndarray:
    """Reads the pixels of an image file as a network of `image_format` takes them: [H, W, bands].

    Raises:
        DeeplabError: the file is missing, broken or of another format.
    """
    return read_with_missing(path, image_format)[0]


def read_with_missing(
    path: Path, image_format: ImageFormat
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads the pixels of an image file, [H, W, bands], and which pixels have no data.

    Returns:
        The pixels with 0 for values without data, and bool [H, W], or None where every pixel has
        data in one band or more.

    Raises:
        DeeplabError: the file is missing, broken or of another format.
    """
    pixels = read_pixels(path) if image_format.is_rgb else read_bands(path, image_format)
    return without_absent(pixels, nodata_of(path, image_format), image_format)


def nodata_of(path: Path, image_format: ImageFormat) -> float | None:
    """Returns the value without data in a file: the format's own, otherwise what the file names.

    Raises:
        DeeplabError: the file names a value that is no number.
    """
    if image_format.nodata is not None:
        return image_format.nodata
    return read_nodata(path)


def read_bands(path: Path, image_format: ImageFormat) -> np.ndarray:
    """Reads the pixels of a TIFF or PNG as the file has them: [H, W, bands] of the format's dtype.

    The bands may be the first or the last dimension in a TIFF. Floats of 16 and 64 bits become
    floats of 32.

    Raises:
        DeeplabError: the file is missing or broken, or has other bands or bits than
            `image_format`.
    """
    pixels, wanted = read_any(path), str(image_format)
    if pixels.dtype.kind == image_format.dtype.kind == "f":
        pixels = pixels.astype(np.float32, copy=False)
    if pixels.dtype != image_format.dtype:
        raise DeeplabError(f"image {path} has pixels of {pixels.dtype}; it must have {wanted}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3 and pixels.shape[-1] != image_format.bands == pixels.shape[0]:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim != 3 or pixels.shape[-1] != image_format.bands:
        raise DeeplabError(f"image {path} is an array of {pixels.shape}; it must have {wanted}")
    return np.ascontiguousarray(pixels)


def bands_and_bits(path: Path) -> tuple[int, int]:
    """Returns the number of bands of an image file and the bits of each band.

    Every image that is read as RGB gives (3, 8). The bands of a TIFF of three dimensions are
    the shorter of the first and the last dimension.

    Raises:
        DeeplabError: a TIFF is missing or broken, or is not one picture of 8 or 16 bits, or of
            floats, in each band.
        OSError: a PNG is missing or cannot be read.
    """
    if path.suffix.lower() == ".png":
        with path.open("rb") as file:
            header = file.read(PNG_COLOR_TYPE + 1)
        sixteen = len(header) > PNG_COLOR_TYPE and header[PNG_BIT_DEPTH] == 16
        bands = {0: 1, 2: 3, 4: 2, 6: 4}.get(header[PNG_COLOR_TYPE]) if sixteen else None
        return (bands, 16) if bands else (3, 8)
    if path.suffix.lower() not in TIFF or _is_plain_tiff(path):
        return 3, 8
    pixels = read_any(path)
    bands = 1 if pixels.ndim == 2 else min(pixels.shape[0], pixels.shape[-1])
    if pixels.dtype == np.uint8 and bands in (1, 3):
        return 3, 8
    floats = pixels.dtype.kind == "f"
    if not (floats or pixels.dtype in (np.uint8, np.uint16)) or pixels.ndim > 3:
        raise DeeplabError(
            f"image {path} is an array of {pixels.shape} of {pixels.dtype}; it must be one picture "
            "of 8 or 16 bits a band, or of floats"
        )
    return bands, 32 if floats else 8 * pixels.dtype.itemsize


def _is_plain_tiff(path: Path) -> bool:
    """Returns whether a TIFF is one RGB or grey picture of 8 bits, which Pillow reads."""
    try:
        with open_picture(path) as picture:
            return picture.mode in ("RGB", "L", "P", "1") and getattr(picture, "n_frames", 1) == 1
    except BROKEN:  # also a TIFF of bands that Pillow does not know
        return False


def read_any(path: Path) -> np.ndarray:
    """Reads the array in a TIFF or PNG without any change.

    Raises:
        DeeplabError: the file is missing or broken, or tifffile or imagecodecs is not installed.
    """
    tifffile = import_tifffile()
    with naming_broken_image(path, "as TIFF or PNG"):
        if path.suffix.lower() in TIFF:
            return tifffile.imread(path)
        import imagecodecs

        return imagecodecs.png_decode(path.read_bytes())
