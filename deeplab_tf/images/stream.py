"""A stream of JPEG and PNG images one after the other, as a camera program pipes them."""

import io
import re
from collections.abc import Iterator

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_START = re.compile(re.escape(JPEG) + b"|" + re.escape(PNG))
# In JPEG's entropy-coded data 0xFF is followed by 0, or by a restart marker, or a marker ends it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_LONGEST = 1 << 28
"""Bytes: an image that does not end by then is given as it is, so that memory stays bounded."""


def split_images(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Each image of the stream, as soon as its last byte is there.

    An image that is cut or broken is given too, up to where the next one begins: whoever decodes it
    can then say so. What lies between images, as the headers of a multipart answer, is left out.
    """
    arrived = _Arrived(stream)
    while arrived.has(1):
        part = arrived.take(_end(arrived))
        if part.startswith((JPEG, PNG)):
            yield part


def _end(arrived: "_Arrived") -> int:
    """Where the image at the beginning of `arrived` ends."""
    if arrived.has(len(PNG)) and arrived.data.startswith(PNG):
        end = _png_end(arrived)
    elif arrived.data.startswith(JPEG):
        end = _jpeg_end(arrived)
    else:
        end = None
    return arrived.find(_START, 1) if end is None else end


def _png_end(arrived: "_Arrived") -> int | None:
    """After the chunk IEND; None where the chunks are broken."""
    at = len(PNG)
    while arrived.has(at + 8):
        length, kind = int.from_bytes(arrived.data[at : at + 4]), arrived.data[at + 4 : at + 8]
        at += 12 + length
        if not kind.isalpha() or at > _LONGEST:
            return None
        if kind == b"IEND":
            return at if arrived.has(at) else None
    return None


def _jpeg_end(arrived: "_Arrived") -> int | None:
    """After the marker EOI, or before the next image's SOI; None where the markers are broken.

    A preview inside is part of a segment, whose length leads past it.
    """
    at = 2
    while arrived.has(at + 2) and arrived.data[at] == 0xFF:
        marker = arrived.data[at + 1]
        if marker == _EOI:
            return at + 2
        if marker == _SOI:
            return at
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif arrived.has(at + 4):
            at += 2 + int.from_bytes(arrived.data[at + 2 : at + 4])
            if marker == _SOS:
                at = arrived.find(_MARKER, at)
        else:
            return None
    return None


class _Arrived:
    """The bytes of a stream that were read and not yet taken."""

    def __init__(self, stream: io.BufferedIOBase):
        self.data = bytearray()
        self._stream = stream

    def has(self, count: int) -> bool:
        """Whether there are `count` bytes; waits for them."""
        while len(self.data) < count:
            if len(self.data) > _LONGEST or not self._more():
                return False
        return True

    def find(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Where `pattern` is found first from `at` on, or the end; waits for it."""
        while not (found := pattern.search(self.data, at)):
            # A match can begin in the last bytes.
            at = max(at, len(self.data) - len(PNG) + 1)
            if len(self.data) > _LONGEST or not self._more():
                return len(self.data)
        return found.start()

    def take(self, count: int) -> bytes:
        """The first `count` bytes, which are then gone."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def _more(self) -> bool:
        read = self._stream.read1(1 << 16)
        self.data += read
        return bool(read)
