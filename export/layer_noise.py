"""Which layers of a full int8 file lose most: its tensors beside those of the float file."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from deeplab_tf.artefacts.litert import CONVOLUTIONS

from .tensors import Operation, TensorReader, layer_of

WORST = 5
"""How many layers are named."""


@dataclasses.dataclass(frozen=True)
class LayerNoise:
    """One convolution, with its batch norm and ReLU, over some images.

    Attributes:
        layer: its name.
        added: what the layer adds to the share of noise: that of its output less that of its
            input. The share is the energy of the difference to the float tensor over the float
            tensor's.
        signal_to_noise: of its output, in dB; infinite where there is no difference.
    """

    layer: str
    added: float
    signal_to_noise: float


def noisiest_layers(
    float_file: bytes, int8_file: bytes, layers: Sequence[str], images: Iterable[np.ndarray]
) -> list[LayerNoise]:
    """The `WORST` integer convolutions by noise added, the noisiest first.

    Args:
        float_file, int8_file: the same network; tensors of one name are compared.
        layers: names of all layers of the network.
        images: uint8 [H, W, 3]; each goes through both files.
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
    # What only the float file has is fused into the next operation: no rounding, no noise.
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
    """Adds the energy of the difference, and that of the float tensor, to each of `energy`."""
    for name, sums in energy.items():
        signal = exact(name).astype(np.float64)
        sums += np.sum((rounded(name) - signal) ** 2), np.sum(signal**2)


def _decibels(share: float) -> float:
    return float("inf") if share == 0 else -10.0 * float(np.log10(share))
