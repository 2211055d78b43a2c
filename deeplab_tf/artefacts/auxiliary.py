"""The weights of the auxiliary head in a `.keras` file, for a later training that has the head.

They are an archive member of their own, which Keras passes over: whoever loads the file has the
network without the head.

Tested in tests/training/test_auxiliary_loss.py.
"""

import io
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line

MEMBER = "deeplab_tf_auxiliary.npz"


def auxiliary_members(weights: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Returns the archive member of the weights, by names like `auxiliary_conv/kernel`.

    There is no member where there are no weights.
    """
    if not weights:
        return {}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **weights)
    return {MEMBER: content.getvalue()}


def read_auxiliary(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the weights of the auxiliary head in a `.keras` file by name; empty without the head.

    Raises:
        DeeplabError: the file or its member is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                return {}
            content = io.BytesIO(archive.read(MEMBER))
        with np.load(content, allow_pickle=False) as weights:
            return dict(weights)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise DeeplabError(
            f"model {path} is damaged: its {MEMBER} does not load: {one_line(str(error))[:200]}"
        ) from error
