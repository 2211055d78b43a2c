"""The layers of a full int8 file that lose most, by its tensors next to those of the float file.

Tested in tests/export/test_full_int8.py.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from deeplab_tf.artefacts.litert import CONVOLUTIONS

from .tensors import Operation, TensorReader, layer_of

WORST = 5
"""How many layers are named."""


@dataclasses.dataclass(frozen=True)
class LayerNoise:
    """The noise of one convolution, with its batch norm and ReLU, over some images.

    Attributes:
        layer: the layer's name.
        added: the share of noise that the layer adds: the share in its output less the share in its
            input. The share is the energy of the difference to the float tensor, divided by the
            energy of the float tensor.
        signal_to_noise: the ratio for the layer's output, in dB; infinite where there is no
            difference.
    """

    layer: str
    added: float
    signal_to_noise: float


def noisiest_layers(
    float_file: bytes, int8_file: bytes, layers: Sequence[str], images: Iterable[np.ndarray]
) -> list[LayerNoise]:
    """Returns the `WORST` integer convolutions by noise added, the noisiest first.

    Args:
        float_file, int8_file: the same network; tensors of one name are compared.
        layers: names of all layers of the network.
        images: [H, W, bands]; each goes through both files.
    """
    exact, rounded = TensorReader(float_file), TensorReader(int8_file)
    integer = {o.output for o in rounded.operations if _is_integer_convolution(o, rounded)}
    convolutions = {
        layer: operation
        for operation in exact.operations
        if operation.output in integer and (layer := layer_of(operation.output, layers)) is not None
    }
    names = {n for o in convolutions.values() for n in (o.inputs[0], o.output)}
    energy = {name: np.zeros(2) for name in names & rounded.dtypes.keys()}
    for image in images:
        _add_energies(energy, exact.run(image), rounded.run(image))
    # A tensor that only the float file has is fused into the next operation in the int8 file, so
    # it is not rounded and has no noise.
    share = {name: noise / max(signal, 1e-30) for name, (noise, signal) in energy.items()}
    found = [
        LayerNoise(
            layer,
            share[operation.output] - share.get(operation.inputs[0], 0.0),
            _decibels(share[operation.output]),
        )
        for layer, operation in convolutions.items()
    ]
    return sorted(found, key=lambda noise: -noise.added)[:WORST]


def _is_integer_convolution(operation: Operation, reader: TensorReader) -> bool:
    return operation.kind in CONVOLUTIONS and reader.dtypes[operation.inputs[1]] == np.int8


def _add_energies(
    energy: dict[str, np.ndarray],
    exact: Callable[[str], np.ndarray],
    rounded: Callable[[str], np.ndarray],
) -> None:
    """Adds the energies of the difference and of the float tensor to the sums of each tensor."""
    for name, sums in energy.items():
        signal = exact(name).astype(np.float64)
        sums += np.sum((rounded(name) - signal) ** 2), np.sum(signal**2)


def _decibels(share: float) -> float:
    return float("inf") if share == 0 else -10.0 * float(np.log10(share))
