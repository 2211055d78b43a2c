"""Files of torch: what is wrong with one, what lies around a state dict, and whose it is."""

import pickle
import sys
import types

import numpy as np
import pytest
from support.torch_mobilenet import StateDict, answer

from deeplab_tf.errors import DeeplabError
from deeplab_tf.weights.torch_file import read_torchvision


class Tensor:
    """What torch.Tensor is to the reader."""

    def __init__(self, array):
        self.numpy = lambda: array


@pytest.fixture
def torch(monkeypatch):
    """A module `torch` whose `load` gives what a test puts into `holds`."""
    module = types.SimpleNamespace(Tensor=Tensor, holds=None)

    def load(path, map_location, weights_only):
        assert map_location == "cpu" and weights_only  # no code of the file runs
        if isinstance(module.holds, Exception):
            raise module.holds
        return module.holds

    module.load = load
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_wrappers_and_prefixes_are_taken_off(torch, tmp_path):
    state = StateDict()
    answer(state, "lraspp", np.zeros((33, 33, 3), np.uint8), 0.25, 4)
    tensors = {f"module.{name}": Tensor(array) for name, array in state.tensors.items()}
    (tmp_path / "a.pth").touch()
    for holds in (tensors, {"model": tensors, "epoch": 3}, {"state_dict": tensors}):
        torch.holds = holds
        model_config = read_torchvision(tmp_path / "a.pth").model_config
        assert (model_config.backbone, model_config.head) == ("mobilenet_v3_large", "lr_aspp")
        assert model_config.num_classes == 4


def test_what_is_no_state_dict_is_one_line(torch, tmp_path):
    with pytest.raises(DeeplabError, match="a.pth does not exist"):
        read_torchvision(tmp_path / "a.pth")
    (tmp_path / "a.pth").touch()
    for holds, message in (
        (
            pickle.UnpicklingError("it is\nnone"),
            "a.pth is not a state dict that torch reads: it is",
        ),
        ([1, 2], "a.pth is of no network of torchvision .*it has no tensors"),
        ({"epoch": 3}, "a.pth is of no network of torchvision .*it has no tensors"),
    ):
        torch.holds = holds
        with pytest.raises(DeeplabError, match=message) as error:
            read_torchvision(tmp_path / "a.pth")
        assert "\n" not in str(error.value)


def test_without_torch_the_message_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "a.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeeplabError, match="pip install torch"):
        read_torchvision(tmp_path / "a.pth")
