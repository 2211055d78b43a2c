"""The format of a data set's images: bands, bits, and the statistics that the network needs.

Tested in tests/images/test_bands.py.
"""

import dataclasses

import numpy as np

from deeplab_tf.images.files import encode_png


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """The format of the pixels in a data set; the default is RGB in 0..255.

    Attributes:
        bands: the number of channels.
        bits: the bits of each band, 8 or 16; values are 0 to 2^bits - 1.
        mean, std: mean and standard deviation of each band over the training pixels; empty for
            RGB, where the network uses the statistics of its initial weights.
    """

    bands: int = 3
    bits: int = 8
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_rgb(self) -> bool:
        """Returns whether the format is RGB of 8 bits.

        Images of this format are stored as JPEG or PNG and decoded as RGB; others are stored by
        `encode_bands`.
        """
        return (self.bands, self.bits) == (3, 8)

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


def encode_bands(pixels: np.ndarray) -> bytes:
    """Encodes uint8 or uint16 [H, W, bands] as a grey PNG of H rows and W * bands columns.

    A PNG has at most four channels. Side by side in a grey PNG, any number of bands fits, and any
    reader opens the file.
    """
    return encode_png(pixels.reshape(pixels.shape[0], -1))


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
