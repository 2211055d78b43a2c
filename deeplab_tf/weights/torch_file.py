"""Files of torchvision's state dicts, of any network that is known here.

Tested in tests/weights/test_torch_file.py.
"""

import pathlib
import pickle

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.weights.imported import ImportedWeights
from deeplab_tf.weights.torchvision import import_state_dict
from deeplab_tf.weights.torchvision_mobilenet import import_mobilenet_v3, is_mobilenet_v3


def read_torchvision(path: pathlib.Path) -> ImportedWeights:
    """Reads a state dict of torchvision's `deeplabv3_*`, `lraspp_*` or of their classifiers.

    A classifier gives a backbone. The state dict may lie under `model`, where torchvision's
    training scripts put it, or under `state_dict`.

    Raises:
        DeeplabError: torch is not installed, or the file does not exist or is of no network that is
            known here.
    """
    state = _read_state_dict(path)
    family = import_mobilenet_v3 if is_mobilenet_v3(state) else import_state_dict
    return family(state, str(path))


def _read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DeeplabError(f"weights file {path} does not exist")
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DeeplabError(f"to read {path}: pip install torch") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise DeeplabError(
            f"{path} is not a state dict that torch reads: {one_line(str(error))[:200]}"
        ) from error
    for wrapper in ("model", "state_dict"):
        state = state.get(wrapper, state) if isinstance(state, dict) else {}
    return {
        name.removeprefix("module."): tensor.numpy()
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }
