"""Whether an artefact of one file may be written into a folder.

Tested in tests/export/test_litert.py, through `export_litert`.
"""

import pathlib

from deeplab_tf.artefacts.saved_model import SAVED_MODEL_FILE
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import check_folder, own_folder


def check_holds_files(out_dir: pathlib.Path) -> None:
    """Raises `DeeplabError` where an artefact of one file cannot go into `out_dir`."""
    check_folder(out_dir, own_folder)
    if (out_dir / SAVED_MODEL_FILE).exists():
        raise DeeplabError(f"--out={out_dir} holds a SavedModel; give another directory")
