"""The format of images: of a data set's, and of those that a network takes.

Tested in tests/images/test_bands.py and tests/test_config.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

STRICT = {"extra": "forbid", "allow_inf_nan": False}
"""Pydantic's settings of a config class: no field that the class has not, and finite numbers."""

MIN_STD = 1e-6
"""The least standard deviation of a band: pixels are divided by it."""
MIN_FLOAT, MAX_FLOAT = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """The bands and bits of images, and the statistics that a network normalises them by.

    Attributes:
        bands: the number of channels.
        bits: the bits of each band: 8 or 16, with values from 0 to 2^bits - 1, or 32 for floats.
        mean, std: mean and standard deviation of each band; a network sees `(pixel - mean) / std`.
            Both are empty for a data set of RGB, whose networks have a convention
            (`NORMALIZATION`).
        nodata: the value of pixels without data; None takes it from each file, where it names one.
    """

    __pydantic_config__ = STRICT

    bands: int = 3
    bits: int = 8
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    nodata: float | None = None

    def __str__(self) -> str:
        return f"{self.bands} bands of {self.bits} bits"

    @property
    def is_rgb(self) -> bool:
        """Returns whether the format is RGB of 8 bits.

        Images of this format are stored as JPEG or PNG and decoded as RGB; others are stored by
        `encode_bands`.
        """
        return (self.bands, self.bits) == (3, 8)

    @property
    def normalises(self) -> bool:
        """Returns whether each band has a mean among its values and a std of `MIN_STD` or more."""
        least, beyond = (-MAX_FLOAT, MAX_FLOAT) if self.bits == 32 else (0, 2**self.bits)
        return (
            self.bands == len(self.mean) == len(self.std)
            and all(MIN_STD <= std < beyond for std in self.std)
            and all(least <= mean < beyond for mean in self.mean)
        )

    @property
    def can_lack_data(self) -> bool:
        """Returns whether a pixel can have the value `nodata`, or `nodata` is None."""
        if self.nodata is None:
            return True
        if self.bits == 32:
            return self.nodata == 0 or MIN_FLOAT <= abs(self.nodata) <= MAX_FLOAT
        return float(self.nodata).is_integer() and 0 <= self.nodata < 2**self.bits

    @property
    def dtype(self) -> np.dtype:
        """The type of a pixel's value: uint8, uint16 or float32."""
        return np.dtype({8: np.uint8, 16: np.uint16, 32: np.float32}[self.bits])

    @property
    def mean_pixel(self) -> np.ndarray:
        """The mean as a pixel, [bands] of `dtype`, rounded unless it is a float.

        A network sees this pixel as zero.
        """
        return as_pixel(self.mean, self.dtype)

    @property
    def stored_dtype(self) -> np.dtype:
        """The type of the numbers in the PNG that `encode_bands` makes: uint8 or uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def to_dict(self) -> dict:
        """Returns the format as plain JSON types, which `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> "ImageFormat":
        """Makes a format of the result of `to_dict`; an empty dict gives RGB."""
        if not fields:
            return RGB
        mean, std = (tuple(float(value) for value in fields[name]) for name in ("mean", "std"))
        return cls(int(fields["bands"]), int(fields["bits"]), mean, std, fields.get("nodata"))


def as_pixel(values: Sequence[float], dtype: np.dtype) -> np.ndarray:
    """Returns `values`, one a band, in the `dtype` of images, rounded unless it is a float."""
    pixel = np.asarray(values, np.float64)
    return (pixel if dtype.kind == "f" else np.round(pixel)).astype(dtype)


RGB = ImageFormat()
