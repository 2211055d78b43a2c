"""The format of images: of a data set's, and of those that a network takes.

Tested in tests/images/test_bands.py and tests/test_config.py.
"""

import dataclasses

import numpy as np

STRICT = {"extra": "forbid", "allow_inf_nan": False}
"""Pydantic's settings of a config class: no field that the class has not, and finite numbers."""

MIN_STD = 1e-6
"""The least standard deviation of a band: pixels are divided by it."""


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """The bands and bits of images, and the statistics that a network normalises them by.

    Attributes:
        bands: the number of channels.
        bits: the bits of each band, 8 or 16; values are 0 to 2^bits - 1.
        mean, std: mean and standard deviation of each band; a network sees `(pixel - mean) / std`.
            Both are empty for a data set of RGB, whose networks have a convention
            (`NORMALIZATION`).
    """

    __pydantic_config__ = STRICT

    bands: int = 3
    bits: int = 8
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

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
        return (
            self.bands == len(self.mean) == len(self.std)
            and all(MIN_STD <= std < 2**self.bits for std in self.std)
            and all(0 <= mean < 2**self.bits for mean in self.mean)
        )

    @property
    def dtype(self) -> np.dtype:
        """The type of a pixel's value, uint8 or uint16."""
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
        return cls(int(fields["bands"]), int(fields["bits"]), mean, std)


RGB = ImageFormat()
