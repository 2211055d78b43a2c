"""Whether an artefact may be written into a folder: nothing of another kind is replaced.

Tested in tests/export/test_litert.py and tests/export/test_web.py, through `export_litert` and
`export_web`.
"""

import pathlib

from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.errors import DeeplabError


def check_replaceable(out_dir: pathlib.Path, what: str, ours: bool) -> None:
    """Checks that the folder `out_dir` may become `what`, such as "SavedModel".

    Args:
        out_dir: must be absent or empty, or an artefact of that kind.
        what: the kind, as the error calls it.
        ours: whether `out_dir` holds an artefact of that kind.

    Raises:
        DeeplabError: `out_dir` is a file, or holds something else.
    """
    _check_folder(out_dir)
    if out_dir.is_dir() and not ours and any(out_dir.iterdir()):
        raise DeeplabError(
            f"--out={out_dir} must be empty or hold a {what} of deeplab-export, which is replaced; "
            "give another directory"
        )


def check_holds_files(out_dir: pathlib.Path) -> None:
    """Raises `DeeplabError` where an artefact of one file cannot go into `out_dir`."""
    _check_folder(out_dir)
    if (out_dir / SAVED_MODEL_FILE).exists():
        raise DeeplabError(f"--out={out_dir} holds a SavedModel; give another directory")


def _check_folder(out_dir: pathlib.Path) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise DeeplabError(f"--out={out_dir} is a file; give a directory")
