"""The images of a request, checked before they may wait: form, size, number of pixels.

Tested in tests/serving/test_rest.py and tests/serving/test_server_fuzz.py, through `Service`.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from deeplab_tf.errors import one_line
from deeplab_tf.images.files import BROKEN, orientation
from deeplab_tf.serving.refusal import RefusedError, bad_request
from deeplab_tf.serving.signature import Signature

_JPEG, _PNG = b"\xff\xd8", b"\x89P"
_START_OF_SCAN = b"\xff\xda"
MAX_SCANS = 500
"""The largest number of scans of a progressive JPEG; encoders write 10 or so. Each scan costs a
pass over all pixels, however few its bytes, so that a small file could keep a decoder busy for
hours."""


@dataclasses.dataclass(frozen=True)
class Work:
    """Images for one signature.

    Attributes:
        signature: the signature that is asked for.
        images: the signature's input: encoded images [B], or pixels [B, H, W, bands].
        size: (height, width) of each image, upright.
    """

    signature: Signature
    images: np.ndarray
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.images)

    @property
    def pixels(self) -> int:
        """The number of pixels of all images together."""
        return self.count * self.size[0] * self.size[1]

    @property
    def kind(self) -> tuple[str, tuple[int, int]]:
        """The signature's name and the size, which requests must share to go through the network
        together."""
        return self.signature.name, self.size


def check_images(signature: Signature, images: np.ndarray, max_pixels: int) -> Work:
    """Checks a request's images and returns them as `Work`.

    Args:
        signature: the signature that was asked for.
        images: object [B] of bytes, or numbers of the signature's dtype.
        max_pixels: the largest number of pixels that all images together may have.

    Raises:
        RefusedError: there is no image, something is not an image, the images have several sizes,
            or they have too many pixels.
    """
    if signature.takes_bytes:
        size = _encoded_size(images, max_pixels)
    else:
        size = _pixel_size(signature, images.shape)
    work = Work(signature, images, size)
    check_pixels(work.pixels, max_pixels)
    return work


def check_pixels(pixels: int, max_pixels: int) -> None:
    """Raises `RefusedError` for more than `max_pixels` pixels."""
    if pixels > max_pixels:
        raise bad_request(
            f"the images have {pixels:,} pixels; the server takes at most {max_pixels:,} "
            "(--max_pixels)"
        )


def _pixel_size(signature: Signature, shape: tuple[int, ...]) -> tuple[int, int]:
    bands = signature.bands
    if len(shape) != 4 or shape[-1] != bands or 0 in shape:
        raise bad_request(
            f"{signature.input_name} must have the shape [B, H, W, {bands}], none of them 0; "
            f"received {list(shape)}"
        )
    return shape[1], shape[2]


def _encoded_size(images: np.ndarray, max_pixels: int) -> tuple[int, int]:
    if images.ndim != 1 or not len(images):
        raise bad_request(
            f"image_bytes must be a list of one or more images; received shape {list(images.shape)}"
        )
    sizes = [header_size(data, f"image {i}", max_pixels) for i, data in enumerate(images)]
    for index, size in enumerate(sizes):
        if size != sizes[0]:
            raise bad_request(
                "images of one request must have one size: image 0 has "
                f"{sizes[0][1]}x{sizes[0][0]} pixels and image {index} {size[1]}x{size[0]}; send "
                "them one by one"
            )
    return sizes[0]


def header_size(data: bytes, name: str, max_pixels: int) -> tuple[int, int]:
    """Returns the upright (height, width) of an encoded image, of which only the header is read.

    Args:
        data: the encoded image.
        name: the image's name in messages.
        max_pixels: the largest number of pixels that is taken.

    Raises:
        RefusedError: the image is no JPEG or PNG, or has too many pixels or scans.
    """
    if not data.startswith((_JPEG, _PNG)):
        raise bad_request(f"{name} is neither JPEG nor PNG")
    if data.startswith(_JPEG) and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise bad_request(f"{name} is a JPEG of more than {MAX_SCANS} scans; save it again")
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except Image.DecompressionBombError:
        raise bad_request(
            f"{name} has more pixels than {max_pixels:,}, the most that the server takes "
            "(--max_pixels)"
        ) from None
    except BROKEN as error:
        raise _broken(name, error) from error
    width, height = picture.size
    check_pixels(width * height, max_pixels)
    return (width, height) if orientation(picture) >= 5 else (height, width)


def _broken(name: str, error: Exception) -> RefusedError:
    if isinstance(error, Image.UnidentifiedImageError):
        return bad_request(f"{name} is a broken JPEG or PNG: its header cannot be read")
    return bad_request(f"{name} is a broken JPEG or PNG: {one_line(str(error))}")
