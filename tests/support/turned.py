"""Encoded pictures that say how to turn them, in each place where a file can say so."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112
PLACES = ("JPEG EXIF", "JPEG XMP", "PNG eXIf", "PNG XMP", "PNG eXIf last", "PNG XMP last")
"""`last` is behind the pixels, where ExifTool writes metadata."""


def turned(pixels: np.ndarray, place: str, orientation: int) -> bytes:
    """Encodes uint8 [H, W, 3] with its orientation at one of `PLACES`."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    packet = xmp(orientation)
    match place.split()[:2]:
        case "JPEG", "EXIF":
            return _encoded(pixels, "JPEG", exif=exif)
        case "JPEG", "XMP":
            return _encoded(pixels, "JPEG", xmp=packet)
        case _, "eXIf":
            block = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        case _:
            block = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    return with_chunk(_encoded(pixels, "PNG"), block, last=place.endswith("last"))


def xmp(orientation: int) -> bytes:
    """An XMP packet, as short as it may be."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def with_chunk(png: bytes, block: bytes, last: bool = False) -> bytes:
    """A PNG with one more chunk, after the header or before the end."""
    at = len(png) - 12 if last else 33
    return png[:at] + block + png[at:]


def shown(encoded: bytes) -> np.ndarray:
    """The pixels as Pillow itself turns them."""
    picture = Image.open(io.BytesIO(encoded))
    picture.load()
    return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def _encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()
