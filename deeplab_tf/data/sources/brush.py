"""The pixels of Label Studio's brush, in the run lengths of its JavaScript.

The run lengths are those of the package `@thi.ng/rle-pack`, over the RGBA values of the image.

Tested in tests/data/sources/test_label_studio.py.
"""

import dataclasses

import numpy as np

from deeplab_tf.data.sources.rasterise import MAX_PIXELS, MalformedRegionError


@dataclasses.dataclass(frozen=True)
class Brush:
    """A region that was painted by a brush.

    Attributes:
        data: the packed values red, green, blue and alpha of all pixels, row by row; pixels whose
            alpha is not 0 belong to the region.
    """

    data: bytes

    def pixels(self, height: int, width: int) -> np.ndarray:
        """Returns the pixels as `Shape.pixels` describes."""
        values = unpack(self.data)
        if len(values) != 4 * height * width:
            raise MalformedRegionError(
                f"a brush has {len(values) // 4} pixels, and the image of {width}x{height} has "
                f"{height * width}"
            )
        return values.reshape(height, width, 4)[..., 3] > 0


def unpack(data: bytes) -> np.ndarray:
    """Returns the values, uint8 [N], of packed run lengths.

    The bits are: the number of values (32), the bits of a value less 1 (5), the bits of four kinds
    of lengths less 1 (4 each); then for each run whether one value is repeated (1), the kind of its
    length (2), the length less 1, and the value or the values.

    Raises:
        MalformedRegionError: the data are cut, have other values than bytes, or unpack to more than
            `MAX_PIXELS` pixels.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    place = 0

    def read(size: int) -> int:
        nonlocal place
        part = bits[place : place + size]
        if len(part) < size:
            raise MalformedRegionError("a brush is cut")
        place += size
        return int.from_bytes(np.packbits(part).tobytes()) >> (-size % 8)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if word != 8 or count > 4 * MAX_PIXELS:
        raise MalformedRegionError(f"a brush has {count} values of {word} bits")
    values, done = np.zeros(count, np.uint8), 0
    while done < count:
        repeated = read(1)
        end = done + 1 + read(sizes[read(2)])
        if end > count:
            raise MalformedRegionError("a brush has longer runs than pixels")
        if repeated:
            values[done:end] = read(8)
        else:
            part = bits[place : place + 8 * (end - done)]
            if len(part) < 8 * (end - done):
                raise MalformedRegionError("a brush is cut")
            place += len(part)
            values[done:end] = np.packbits(part)
        done = end
    return values
