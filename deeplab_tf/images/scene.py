"""Scenes: TIFFs that are read some rows at a time, since they are too large for memory."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.geotiff import TIFF, import_tifffile, naming_broken_image

ORIENTATION = 274


class Scene:
    """The first picture of a TIFF, in strips or tiles of any compression.

    Attributes:
        path: the file.
        height, width: the size in pixels.
    """

    def __init__(self, path: Path, page, image_format: ImageFormat):
        self.path = path
        self._page = page
        self._format = image_format
        self.height, self.width = int(page.imagelength), int(page.imagewidth)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Reads the rows from `top` to `bottom`.

        The memory holds the rows and one strip or tile.

        Returns:
            [bottom - top, width, bands] of the format's dtype, as the file has them.

        Raises:
            DeeplabError: the file is broken there.
        """
        with naming_broken_image(self.path, f"at rows {top} to {bottom}"):
            pixels = self._decode(top, bottom)
        if self._format.is_rgb:
            # Grey becomes RGB, and an alpha channel is dropped, as Pillow's reader does.
            return pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, -1)
        return pixels.astype(self._format.dtype, copy=False)

    def _decode(self, top: int, bottom: int) -> np.ndarray:
        page, samples = self._page, self._page.samplesperpixel
        planes = samples if _has_planes(page) else 1
        high, wide = self._segment_size
        down, across = -(-self.height // high), -(-self.width // wide)
        rows = np.empty((bottom - top, self.width, samples), page.dtype)
        if page.is_memmappable and planes == 1:
            rows[:] = self._stored(top, bottom)
            return rows
        for plane in range(planes):
            for y in range(top // high, -(-bottom // high)):
                first, last = max(top, y * high), min(bottom, (y + 1) * high, self.height)
                for x in range(across):
                    part = self._segment((plane * down + y) * across + x)
                    left, right = x * wide, min((x + 1) * wide, self.width)
                    part = part[first - y * high : last - y * high, : right - left]
                    bands = slice(plane, plane + 1) if planes > 1 else slice(None)
                    rows[first - top : last - top, left:right, bands] = part
        return rows

    @property
    def _segment_size(self) -> tuple[int, int]:
        """The height and width of a strip or tile."""
        page = self._page
        if page.is_tiled:
            return page.tilelength, page.tilewidth
        return min(page.rowsperstrip, self.height), self.width

    def _stored(self, top: int, bottom: int) -> np.ndarray:
        """Returns rows that lie in the file one after the other, without compression."""
        page = self._page
        line = self.width * page.samplesperpixel
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        found = np.fromfile(
            self.path,
            dtype,
            count=(bottom - top) * line,
            offset=page.dataoffsets[0] + top * line * dtype.itemsize,
        )
        return found.reshape(bottom - top, self.width, page.samplesperpixel)

    def _segment(self, index: int) -> np.ndarray:
        """Returns one decoded strip or tile: [rows, columns, samples]."""
        page, file = self._page, self._page.parent.filehandle
        # tifffile finds these two when they are first asked for, and moves the file's position.
        decode, tables = page.decode, page.jpegtables
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not count:  # a tile that was left out of a sparse file has no data
            samples = 1 if _has_planes(page) else page.samplesperpixel
            return np.full((*self._segment_size, samples), page.nodata, page.dtype)
        file.seek(offset)
        data, _, shape = decode(file.read(count), index, jpegtables=tables)
        return data[0, : shape[1], : shape[2]]


@contextlib.contextmanager
def open_scene(path: Path, image_format: ImageFormat) -> Iterator[Scene | None]:
    """Opens a TIFF as a scene; yields None where it is no TIFF that is read by rows.

    Such a TIFF has one picture of the format's bands and bits, upright, whose colours need no
    palette; smaller copies of the picture and masks may follow.
    """
    if path.suffix.lower() not in TIFF or not path.is_file():
        yield None
        return
    tifffile = import_tifffile()
    with contextlib.ExitStack() as opened:
        try:
            page = opened.enter_context(tifffile.TiffFile(path)).pages.first
            usable = _is_usable(page, image_format)
        # tifffile raises many kinds of error over broken bytes; the usual reader names the fault.
        except Exception:
            usable = False
        yield Scene(path, page, image_format) if usable else None


def _is_usable(page, image_format: ImageFormat) -> bool:
    """Returns whether the picture has the bands and bits of the format in a form that fits."""
    others = [
        other for other in page.parent.pages[1:] if not other.is_reduced and not other.is_mask
    ]
    turned = ORIENTATION in page.tags and page.tags[ORIENTATION].value != 1
    if others or turned or page.imagedepth != 1 or page.dtype is None:
        return False
    if image_format.is_rgb:
        plain = page.photometric.name in ("RGB", "YCBCR", "MINISBLACK")
        return plain and page.dtype == np.uint8 and page.bitspersample == 8
    fits = page.dtype == image_format.dtype or page.dtype.kind == image_format.dtype.kind == "f"
    return fits and page.samplesperpixel == image_format.bands


def _has_planes(page) -> bool:
    """Returns whether each band is stored by itself."""
    return page.samplesperpixel > 1 and int(page.planarconfig or 1) == 2
