"""The masks of SBD and of PASCAL Context, which are MATLAB files read by scipy.

Tested in tests/data/sources/test_voc_aug.py and, through `pascal_context_source`, in
tests/data/sources/test_published.py.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line

COMPRESSED = 15  # the type of a compressed element in a MATLAB 5 file


def read_mat(path: Path) -> np.ndarray:
    """Reads `LabelMap`, as PASCAL Context's files have it, or `GTcls.Segmentation` of SBD's.

    Returns:
        uint16 [H, W] of class numbers, as stored in the file.

    Raises:
        DeeplabError: the file is broken or has no such variable.
        OSError: the file is missing or cannot be read.
    """
    from scipy.io import loadmat

    data = path.read_bytes()
    try:
        _check_sums(data)
        found = loadmat(io.BytesIO(data), variable_names=["GTcls", "LabelMap"])
        numbers = found["LabelMap"] if "LabelMap" in found else found["GTcls"]["Segmentation"][0, 0]
    # scipy's parser raises many kinds of error over broken bytes, and all mean a broken file.
    except Exception as error:
        raise DeeplabError(
            f"mask {path} has no LabelMap and no GTcls.Segmentation "
            f"({one_line(str(error))[:200]}); replace the file"
        ) from error
    if not isinstance(numbers, np.ndarray) or numbers.ndim != 2 or numbers.dtype.kind not in "ui":
        raise DeeplabError(f"mask {path} must be a map of class numbers")
    return numbers.astype(np.uint16)


def _check_sums(data: bytes) -> None:
    """Raises `zlib.error` for a compressed element that fails its checksum.

    The check comes before scipy's parser, because over some broken bytes the parser crashes the
    whole process.
    """
    order = ">" if data[126:128] == b"MI" else "<"
    place = 128  # the header
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if kind == COMPRESSED:
            zlib.decompress(data[place + 8 : place + 8 + size])
        place += 8 + size
