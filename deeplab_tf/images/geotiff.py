"""GeoTIFF: the tags of the place on the earth, of pixels without data, and labels written there.

The tags are read by Pillow and labels are written by tifffile.
"""

import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import TiffImagePlugin

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import whole_file
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.marks import MARK

TIFF = (".tif", ".tiff")
NODATA = 42113
"""GDAL's tag: the value of pixels without data, as text."""
METADATA = 42112
"""GDAL's tag: the names of bands and the like, as XML."""
PLACE = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
"""ModelPixelScale, ModelTiepoint, ModelTransformation, the three of the GeoKeys, and RPC."""
SOFTWARE = 305
"""The tag with the name of the program that wrote the file."""
LABELS_SUFFIX = ".tif"
"""The end of the name of a GeoTIFF's labels."""
TILE = 256
HEADER, BIG_HEADER = 8, 16
BIG_TIFF = b"II\x2b\x00"
BIG_ENDIAN_BIG_TIFF = b"MM\x00\x2b"


Place = tuple[tuple[int, int, int, Any], ...]
"""(tag, type, count, value) of each tag of `PLACE` in a file, as tifffile takes them."""


def read_place(path: Path) -> Place:
    """Reads the tags of the place on the earth in a TIFF; any other file has none.

    A file that is missing or broken has none either: reading its pixels names the fault.
    """
    found = _read_directory(path)
    place = []
    for tag in PLACE if found else ():
        if tag in found:
            value = found[tag]
            if isinstance(value, str):
                value = value.encode("latin-1")  # as Pillow decoded it
            count = len(value) if isinstance(value, tuple | bytes) else 1
            place.append((tag, int(found.tagtype[tag]), count, value))
    return tuple(place)


def read_nodata(path: Path) -> float | None:
    """Reads the value without data that a TIFF names; None where the file names none.

    A file that is missing or broken names none: reading its pixels names the fault.

    Raises:
        DeeplabError: the value is no number, or the file is a BigTIFF in big-endian order, whose
            tags Pillow does not read.
    """
    if _header(path) == BIG_ENDIAN_BIG_TIFF:
        raise DeeplabError(
            f"image {path} is a BigTIFF in big-endian order, whose tags cannot be read; write it "
            "again in little-endian order"
        )
    found = _read_directory(path)
    text = None if found is None else found.get(NODATA)
    if text is None:
        return None
    try:
        return float(str(text).strip("\0 "))
    except ValueError as error:
        raise DeeplabError(
            f"image {path} names {one_line(str(text))[:40]!r} as its value without data, which is "
            "no number; correct the tag GDAL_NODATA"
        ) from error


def _header(path: Path) -> bytes:
    """Returns the first bytes of a TIFF; none where the file is no TIFF or cannot be read."""
    if path.suffix.lower() in TIFF:
        with contextlib.suppress(OSError), path.open("rb") as file:
            return file.read(len(BIG_TIFF))
    return b""


def _read_directory(path: Path) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """Returns the tags of the first picture, or None where the file has none that can be read."""
    header = _header(path)
    if not header:
        return None
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
            long = file.read(BIG_HEADER if header == BIG_TIFF else HEADER)
            found = TiffImagePlugin.ImageFileDirectory_v2(long)
            file.seek(found.next)
            found.load(file)
            return found
    # Pillow's parser raises many kinds of error over broken bytes; the pixels' reader names them.
    except Exception:
        return None


def are_geo_labels(path: Path) -> bool:
    """Returns whether `path` is a TIFF that `write_geo_labels` or `write_geo_values` wrote."""
    found = _read_directory(path)
    return found is not None and found.get(SOFTWARE) == MARK


def write_geo_labels(
    chunks: Iterable[np.ndarray],
    size: tuple[int, int],
    classes: Classes,
    place: Place,
    path: Path,
    *,
    within: Path | None = None,
    durable: bool = True,
) -> None:
    """Writes labels as a tiled palette TIFF at the place `place`; an error leaves no partial file.

    The file names `VOID` as its value without data.

    Args:
        chunks: the labels from top to bottom, uint8 [any number of rows, width]; the memory holds
            one chunk and one row of tiles.
        size: height and width.
        classes: the colours.
        place: the tags, as `read_place` gives them.
        path: the file, which ends in .tif.
        within, durable: as for `whole_file`.

    Raises:
        DeeplabError: tifffile is not installed.
    """
    text = str(VOID)
    palette = np.array(classes.flat_palette(), np.uint16).reshape(VOID + 1, 3).T * 257
    _write(
        _tiles(chunks, np.empty((0, size[1]), np.uint8), VOID),
        place=(*place, (NODATA, 2, len(text) + 1, text)),
        path=path,
        within=within,
        durable=durable,
        shape=size,
        dtype=np.uint8,
        photometric="palette",
        colormap=palette,
    )


def write_geo_values(
    values: np.ndarray,
    names: Sequence[str],
    scale: float,
    place: Place,
    path: Path,
    *,
    within: Path | None = None,
    durable: bool = True,
) -> None:
    """Writes integers of 16 bits as a tiled TIFF at the place `place`.

    Args:
        values: uint16 [H, W] or [H, W, bands], which may be mapped from a file; the memory holds
            one row of tiles.
        names: the names of the bands, which GDAL shows.
        scale: what a value is multiplied with to be a real number, as GDAL reads it.
        place: the tags, as `read_place` gives them.
        path: the file, which ends in .tif.
        within, durable: as for `whole_file`.

    Raises:
        DeeplabError: tifffile is not installed.
    """
    chunks = (values[top : top + TILE] for top in range(0, len(values), TILE))
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{band}" role="description">{escape(name)}</Item>'
        f'<Item name="SCALE" sample="{band}" role="scale">{scale!r}</Item>'
        for band, name in enumerate(names)
    )
    text = f"<GDALMetadata>{items}</GDALMetadata>".encode()
    _write(
        _tiles(chunks, np.empty((0, *values.shape[1:]), values.dtype), 0),
        place=(*place, (METADATA, 2, len(text) + 1, text)),
        path=path,
        within=within,
        durable=durable,
        shape=values.shape,
        dtype=values.dtype,
        photometric="minisblack",
        planarconfig="contig" if values.ndim == 3 else None,
        predictor=True,
    )


def _write(
    tiles: Iterator[np.ndarray],
    place: Place,
    path: Path,
    within: Path | None,
    durable: bool,
    **form: Any,
) -> None:
    """Writes tiles as a TIFF of that form, compressed by zlib, with our mark."""
    tifffile = import_tifffile()
    with whole_file(path, are_geo_labels, within=within, durable=durable) as temporary:
        tifffile.imwrite(
            temporary,
            tiles,
            tile=(TILE, TILE),
            compression="zlib",
            metadata=None,
            software=MARK,
            extratags=[(tag, kind, count, value, True) for tag, kind, count, value in place],
            **form,
        )


def _tiles(chunks: Iterable[np.ndarray], waiting: np.ndarray, fill: int) -> Iterator[np.ndarray]:
    """Yields the tiles of `waiting` and `chunks` row by row; tiles are filled up with `fill`."""
    for chunk in chunks:
        waiting = np.concatenate([waiting, chunk])
        while len(waiting) >= TILE:
            yield from _tile_row(waiting[:TILE], fill)
            waiting = waiting[TILE:]
    if len(waiting):
        yield from _tile_row(waiting, fill)


def _tile_row(rows: np.ndarray, fill: int) -> Iterator[np.ndarray]:
    for left in range(0, rows.shape[1], TILE):
        part = rows[:, left : left + TILE]
        tile = np.full((TILE, TILE, *rows.shape[2:]), fill, rows.dtype)
        tile[: part.shape[0], : part.shape[1]] = part
        yield tile


@contextlib.contextmanager
def naming_broken_image(path: Path, how: str) -> Iterator[None]:
    """Turns each error of the block, which decodes the file `path`, into one that names the file.

    `how` ends "cannot be read", such as "as TIFF or PNG".

    Raises:
        DeeplabError: the block raised an error.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or one_line(str(error))[:200]
        raise DeeplabError(f"image {path} cannot be read: {reason}") from error
    # tifffile and the decoders raise many kinds of error over broken bytes.
    except Exception as error:
        raise DeeplabError(
            f"image {path} cannot be read {how}: {one_line(str(error))[:200]}; replace the file"
        ) from error


@functools.cache
def import_tifffile():
    """Returns the module tifffile.

    Raises:
        DeeplabError: tifffile or imagecodecs is not installed.
    """
    try:
        import imagecodecs  # noqa: F401, which tifffile needs for compressed files
        import tifffile
    except ImportError as error:
        raise DeeplabError(
            "georeferenced images, and images of more bands or bits, need tifffile and "
            "imagecodecs: pip install tifffile imagecodecs"
        ) from error
    return tifffile
