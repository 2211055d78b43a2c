"""What the images of a data set are: bands, bits, and the statistics the network needs of them."""

import dataclasses

import numpy as np

from deeplab_tf.images.files import encode_png


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """The pixels of a data set; the default is RGB in 0..255.

    Attributes:
        bands: channels.
        bits: 8 or 16 a band; values are 0 to 2^bits - 1.
        mean, std: of each band over the training pixels; empty for RGB, which has those of the
            weights it begins with.
    """

    bands: int = 3
    bits: int = 8
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_rgb(self) -> bool:
        """Whether an image is stored as the JPEG or PNG that it is, and decoded as RGB."""
        return (self.bands, self.bits) == (3, 8)

    @property
    def dtype(self) -> np.dtype:
        """Of a pixel's value."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def to_dict(self) -> dict:
        """As plain JSON types; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> "ImageFormat":
        """Reads what `to_dict` wrote; nothing is RGB."""
        if not fields:
            return RGB
        mean, std = (tuple(float(value) for value in fields[name]) for name in ("mean", "std"))
        return cls(int(fields["bands"]), int(fields["bits"]), mean, std)


RGB = ImageFormat()


def encode_bands(pixels: np.ndarray) -> bytes:
    """uint8 or uint16 [H, W, bands] as a grey PNG of H rows and W * bands columns.

    PNG has at most four bands of its own; side by side any number fits, and any reader opens it.
    """
    return encode_png(pixels.reshape(pixels.shape[0], -1))


def view_rgb(image: np.ndarray, image_format: ImageFormat = RGB) -> np.ndarray:
    """A picture to look at: the first three bands, or the first one thrice, uint8 [..., 3].

    Each is stretched from its mean - 2 std to its mean + 2 std; RGB in 0..255 is as it is.
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
