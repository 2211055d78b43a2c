"""A region that a labelling tool stores as a small PNG in base64.

Tested in tests/data/sources/test_supervisely.py, through `supervisely_bitmap`.
"""

import base64
import binascii
import dataclasses
import zlib
from typing import Literal

import numpy as np
from PIL import Image

from deeplab_tf.data.sources.painted import placed
from deeplab_tf.data.sources.rasterise import MAX_PIXELS, MalformedRegionError
from deeplab_tf.errors import one_line
from deeplab_tf.images.picture import BROKEN, open_picture

MAX_BYTES = 64 * 2**20
"""The most bytes that a packed PNG may have."""


@dataclasses.dataclass(frozen=True)
class Bitmap:
    """A PNG whose opaque pixels belong to the region, or those that are not 0 where all are.

    Attributes:
        data: the PNG in base64.
        left, top: the place of the PNG's first pixel in the image.
        packed: `zlib` where the PNG was compressed by zlib before base64, otherwise `plain`.
    """

    data: str
    left: int
    top: int
    packed: Literal["plain", "zlib"] = "plain"

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes."""
        return placed(self._part(), self.left, self.top, height, width)

    def _part(self) -> np.ndarray:
        try:
            data = base64.b64decode(self.data, validate=True)
            if self.packed == "zlib":
                data = _unpacked(data)
            open_picture(data).verify()  # Pillow loads pixels without their checksums
            with open_picture(data) as picture:
                if picture.format != "PNG" or picture.width * picture.height > MAX_PIXELS:
                    raise MalformedRegionError(
                        f"a bitmap is a {picture.format} of {picture.width}x{picture.height} "
                        "pixels; it must be a small PNG"
                    )
                return _inside(picture)
        except MalformedRegionError:
            raise
        except (binascii.Error, Image.DecompressionBombError, *BROKEN) as error:
            raise MalformedRegionError(f"a bitmap is broken: {one_line(str(error))}") from error


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    whole = unpacking.decompress(data, MAX_BYTES)
    if not unpacking.eof:
        raise MalformedRegionError(f"a bitmap is cut, or has more than {MAX_BYTES:,} bytes")
    return whole


def _inside(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("LA", "RGBA") or "transparency" in picture.info:
        return np.asarray(picture.convert("RGBA"))[..., 3] > 0
    numbers = np.asarray(picture)
    return np.asarray(numbers.any(axis=-1) if numbers.ndim == 3 else numbers > 0)
