"""The images of a request, checked before they may wait: form, size, number of images and pixels.

Tested in tests/serving/test_rest.py and tests/serving/test_server_fuzz.py, through `Service`.
"""

import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.picture import upright_size
from deeplab_tf.images.resampling import shrunk_size
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.refusal import Reason, RefusedError, bad_request
from deeplab_tf.serving.signature import Signature

_JPEG, _PNG = b"\xff\xd8", b"\x89P"
_START_OF_SCAN = b"\xff\xda"
_SMALL_SIZE = (65, 65)
MAX_SCANS = 500
"""The largest number of scans of a progressive JPEG; encoders write 10 or so. Each scan costs a
pass over all pixels, however few its bytes, so that a small file could keep a decoder busy for
hours."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What a client asks, not yet checked.

    Attributes:
        signature: the signature that is asked for.
        images: object [B] of bytes, or an array of the signature's dtype and any shape.
    """

    signature: Signature
    images: np.ndarray


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
    def image_pixels(self) -> int:
        """The number of pixels of one image, as `counted_pixels` counts them."""
        return counted_pixels(self.signature, *self.size)

    @property
    def pixels(self) -> int:
        """The number of pixels of all images together, as `counted_pixels` counts them."""
        return self.count * self.image_pixels

    @property
    def kind(self) -> tuple[str, tuple[int, int]]:
        """The signature's name and the size, which requests must share to go through the network
        together."""
        return self.signature.name, self.size


def counted_pixels(signature: Signature, height: int, width: int) -> int:
    """Returns the pixels that an image counts, which bound its share of the server's memory.

    Both sides count as rounded up to the network's coarsest stride, since every feature map has at
    least one cell for an image, however small the image is. Where the network sees the image larger
    than it is, by the largest of its scales, the pixels that the network sees count.
    """
    seen = (height, width)
    if signature.longest is not None and max(seen) > signature.longest:
        seen = shrunk_size(height, width, signature.longest)
    seen = tuple(math.ceil(side * signature.largest_scale) for side in seen)
    return max(
        math.prod(-(-side // signature.stride) * signature.stride for side in sides)
        for sides in ((height, width), seen)
    )


def check_images(signature: Signature, images: np.ndarray, limits: Limits) -> Work:
    """Checks a request's images and returns them as `Work`.

    Args:
        signature: the signature that was asked for.
        images: object [B] of bytes, or numbers of the signature's dtype.
        limits: the server's limits.

    Raises:
        RefusedError: there is no image, something is not an image, the images have several sizes,
            there are too many images, or they have too many pixels.
    """
    if signature.takes_bytes:
        size = _encoded_size(signature, images, limits)
    else:
        size = pixel_size(signature, images.shape)
    check_amount(signature, len(images), size, limits)
    return Work(signature, images, size)


def check_amount(signature: Signature, count: int, size: tuple[int, int], limits: Limits) -> None:
    """Raises `RefusedError` for too many images, or too many pixels in `count` images of `size`."""
    if count > limits.max_images:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"the request has {count:,} images; the server takes at most {limits.max_images:,} "
            "(--max_images)",
        )
    pixels = count * counted_pixels(signature, *size)
    if pixels > limits.max_pixels:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"the images have {pixels:,} pixels, {_counted(signature)}; the server takes at most "
            f"{limits.max_pixels:,} (--max_pixels)",
        )


def _counted(signature: Signature) -> str:
    enlarged = (
        "" if signature.largest_scale <= 1 else f"enlarged {signature.largest_scale:g} times, "
    )
    return f"{enlarged}with each side rounded up to a multiple of {signature.stride}"


def pixel_size(signature: Signature, shape: Sequence[int]) -> tuple[int, int]:
    """Returns the (height, width) of images of `shape`; refuses any shape but [B, H, W, bands]."""
    bands = signature.bands
    if len(shape) != 4 or shape[-1] != bands or 0 in shape:
        raise bad_request(
            f"{signature.input_name} must have the shape [B, H, W, {bands}], none of them 0; "
            f"received {list(shape)}"
        )
    return shape[1], shape[2]


def _encoded_size(signature: Signature, images: np.ndarray, limits: Limits) -> tuple[int, int]:
    if images.ndim != 1 or not len(images):
        raise bad_request(
            f"image_bytes must be a list of one or more images; received shape {list(images.shape)}"
        )
    check_amount(signature, len(images), (1, 1), limits)  # before the headers are read
    sizes = [_header_size(data, f"image {i}", limits.max_pixels) for i, data in enumerate(images)]
    for index, size in enumerate(sizes):
        if size != sizes[0]:
            raise bad_request(
                "images of one request must have one size: image 0 has "
                f"{sizes[0][1]}x{sizes[0][0]} pixels and image {index} {size[1]}x{size[0]}; send "
                "them one by one"
            )
    return sizes[0]


def _header_size(data: bytes, name: str, max_pixels: int) -> tuple[int, int]:
    """Returns the upright (height, width) of an encoded image, of which only the header is read.

    Raises:
        RefusedError: the image is no JPEG or PNG, or has too many pixels, scans or blocks.
    """
    if not data.startswith((_JPEG, _PNG)):
        raise bad_request(f"{name} is neither JPEG nor PNG")
    if data.startswith(_JPEG) and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise bad_request(f"{name} is a JPEG of more than {MAX_SCANS} scans; save it again")
    try:
        return upright_size(data)
    except Image.DecompressionBombError:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"{name} has more pixels than {max_pixels:,}, the most that the server takes "
            "(--max_pixels)",
        ) from None
    except DeeplabError as error:
        raise bad_request(f"{name} is a broken JPEG or PNG: {one_line(str(error))}") from error


def small_work(signature: Signature) -> Work:
    """Returns one black image for a signature."""
    if signature.takes_bytes:
        file = io.BytesIO()
        Image.new("RGB", _SMALL_SIZE).save(file, "PNG")
        images = np.array([file.getvalue()], object)
    else:
        images = np.zeros((1, *_SMALL_SIZE, signature.bands), signature.dtype)
    return Work(signature, images, _SMALL_SIZE)
