"""The classes that an artefact states, read without its network.

Tested in tests/inference/test_predictor.py.
"""

import pathlib

from deeplab_tf.artefacts.description import DESCRIPTION, is_described_zip, parse_description
from deeplab_tf.artefacts.saved_model import EXTRA_DIR
from deeplab_tf.artefacts.trained_model import read_description
from deeplab_tf.images.classes import Classes
from deeplab_tf.runs.workdir import CONFIG_FILE, read_data


def stated_classes(path: pathlib.Path) -> Classes | None:
    """Returns the classes of a workdir, a `.keras`, LiteRT file or SavedModel folder of ours.

    Returns None for all else: a file of others states none, and an ONNX file must be opened.

    Raises:
        DeeplabError: the artefact is damaged, or is a backbone without classes.
    """
    if (path / CONFIG_FILE).is_file():
        return read_data(path)[0]
    description = path / EXTRA_DIR / DESCRIPTION
    if description.is_file():
        return parse_description(description.read_bytes(), f"SavedModel {path}")[1]
    if path.is_file() and is_described_zip(path):
        return read_description(path)[1]
    return None
