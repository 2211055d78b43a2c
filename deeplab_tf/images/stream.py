"""Streams of JPEG and PNG images one after the other, as camera programs pipe them."""

import io
import re
from collections.abc import Iterator

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_START = re.compile(re.escape(JPEG) + b"|" + re.escape(PNG))
# 0xFF in a JPEG's entropy-coded data is followed by 0 or belongs to a restart marker. Any other
# marker ends the data; 0xFF before another 0xFF is a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_LONGEST = 1 << 28
"""The largest size of an image in bytes.

An image that has no end within this size is yielded as it is, so that the memory stays bounded.
"""


def split_images(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yields the bytes of each image in the stream as soon as its last byte has arrived.

    An image that is cut or broken is yielded as well, up to the beginning of the next image, so
    that the caller can report it when decoding fails. Bytes between images, such as the headers of
    a multipart response, are left out.
    """
    arrived = _Arrived(stream)
    while arrived.has(1):
        part = arrived.take(_end(arrived))
        if part.startswith((JPEG, PNG)):
            yield part


def _end(arrived: "_Arrived") -> int:
    """Returns how many bytes belong to the image at the beginning of `arrived`.

    Where no image begins there or the image is broken, the function returns how many bytes lie
    before the next image.
    """
    if arrived.has(len(PNG)) and arrived.data.startswith(PNG):
        end = _png_end(arrived)
    elif arrived.data.startswith(JPEG):
        end = _jpeg_end(arrived)
    else:
        end = None
    return arrived.find(_START, 1) if end is None else end


def _png_end(arrived: "_Arrived") -> int | None:
    """Returns the position after the chunk IEND, or None where the chunks are broken."""
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
    """Returns the position after the marker EOI, or None where the markers are broken.

    The position of an image without EOI is that of the next image's SOI. A preview picture inside
    the image is part of a segment, and the length of the segment leads past the preview.
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
        """Waits for `count` bytes and returns whether they have arrived.

        The stream may end before, or `data` exceed `_LONGEST`.
        """
        while len(self.data) < count:
            if len(self.data) > _LONGEST or not self._more():
                return False
        return True

    def find(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Waits for `pattern` and returns the first position of a match from `at` on.

        Where the stream ends or `data` exceeds `_LONGEST` before, the position is the end of
        `data`.
        """
        while not (found := pattern.search(self.data, at)):
            # The last bytes may be the beginning of a match, so the next search includes them; the
            # longest match is as long as `PNG`.
            at = max(at, len(self.data) - len(PNG) + 1)
            if len(self.data) > _LONGEST or not self._more():
                return len(self.data)
        return found.start()

    def take(self, count: int) -> bytes:
        """Removes the first `count` bytes from `data` and returns them."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def _more(self) -> bool:
        """Reads the bytes that have arrived; returns False at the end of the stream."""
        read = self._stream.read1(1 << 16)
        self.data += read
        return bool(read)
