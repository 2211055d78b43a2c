"""Images of any number of bands and 8 or 16 bits: TIFF by tifffile, PNG by imagecodecs."""

from pathlib import Path

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.files import PNG_BIT_DEPTH, PNG_COLOR_TYPE, read_pixels
from deeplab_tf.images.formats import ImageFormat

TIFF = (".tif", ".tiff")


def read_image_of(path: Path, image_format: ImageFormat) -> np.ndarray:
    """The pixels of an image file as a network of that format takes them: [H, W, bands].

    Raises:
        DeeplabError: the file is missing, broken, or of another format.
    """
    return read_pixels(path) if image_format.is_rgb else read_bands(path, image_format)


def read_bands(path: Path, image_format: ImageFormat) -> np.ndarray:
    """uint8 or uint16 [H, W, bands]; of a TIFF the bands may lie first or last.

    Raises:
        DeeplabError: the file is missing, broken, or of another format.
    """
    pixels = read_any(path)
    wanted = f"{image_format.bands} bands of {image_format.bits} bits"
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
    """What an image file has; (3, 8) for all that is read as RGB.

    A TIFF of three dimensions has its bands first or last, on the shorter of the two.
    """
    if path.suffix.lower() == ".png":
        with path.open("rb") as file:
            header = file.read(PNG_COLOR_TYPE + 1)
        sixteen = len(header) > PNG_COLOR_TYPE and header[PNG_BIT_DEPTH] == 16
        bands = {0: 1, 2: 3, 4: 2, 6: 4}.get(header[PNG_COLOR_TYPE]) if sixteen else None
        return (bands, 16) if bands else (3, 8)
    if path.suffix.lower() not in TIFF:
        return 3, 8
    pixels = read_any(path)
    bands = 1 if pixels.ndim == 2 else min(pixels.shape[0], pixels.shape[-1])
    if pixels.dtype == np.uint8 and bands in (1, 3):
        return 3, 8
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim > 3:
        raise DeeplabError(
            f"image {path} is an array of {pixels.shape} of {pixels.dtype}; it must be one picture "
            "of 8 or 16 bits a band"
        )
    return bands, 8 * pixels.dtype.itemsize


def read_any(path: Path) -> np.ndarray:
    """The array that a TIFF or PNG holds, as it is.

    Raises:
        DeeplabError: the file is missing or broken, or the libraries are.
    """
    try:
        import imagecodecs
        import tifffile
    except ImportError as error:
        raise DeeplabError(
            "images of more bands or bits need tifffile and imagecodecs: pip install tifffile "
            "imagecodecs"
        ) from error
    try:
        if path.suffix.lower() in TIFF:
            return tifffile.imread(path)
        return imagecodecs.png_decode(path.read_bytes())
    except FileNotFoundError:
        raise
    # Broken bytes reach the two libraries in many ways; each says that the file is broken.
    except Exception as error:
        raise DeeplabError(
            f"image {path} cannot be read as TIFF or PNG: {one_line(str(error))[:200]}; replace "
            "the file"
        ) from error
