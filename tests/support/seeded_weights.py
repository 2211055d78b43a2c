"""Weights and images that each of two frameworks can draw, so that no weights are stored.

Numpy only. Each tensor comes from a generator seeded by its name, through the raw stream of PCG64,
which numpy guarantees for all versions and machines; its distributions are not guaranteed.
"""

import hashlib

import numpy as np


def to_torch_layout(array: np.ndarray) -> np.ndarray:
    """A kernel HWIO as OIHW, and any other array as it is."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values for our variable `name` (a Keras path, `conv1/kernel`).

    Kernels are He-scaled, and the last batch norm of a residual unit adds little, so that 101
    layers neither fade nor explode. Moving statistics are far from (0, 1): a network that swapped
    two batch norms would show it.
    """
    shape = tuple(shape)
    uniform = _uniform(name, shape)
    layer, _, part = name.partition("/")
    match part:
        case "kernel":
            fan_in = int(np.prod(shape[:3]))
            return uniform * np.float32(np.sqrt(3 * 2 / fan_in))
        case "gamma" if layer.endswith("_conv3_bn"):
            return np.float32(0.15) + np.float32(0.1) * uniform
        case "gamma" | "moving_variance":
            return np.float32(1.0) + np.float32(0.5) * uniform
        case "beta" | "moving_mean" | "bias":
            return np.float32(0.25) * uniform
    raise ValueError(f"no rule to draw {name!r}")


def draw_image(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 RGB [1, height, width, 3]: noise over a coarse pattern, so that scales differ."""
    fine = _uniform(f"fine{seed}", (height, width, 3))
    coarse = _uniform(f"coarse{seed}", (height // 32 + 1, width // 32 + 1, 3))
    coarse = coarse.repeat(32, axis=0).repeat(32, axis=1)[:height, :width]
    pixels = np.float32(127.5) + np.float32(63.0) * (fine + coarse)
    return pixels.astype(np.uint8)[None]


def set_seeded_weights(model) -> dict[str, np.ndarray]:
    """Draws every weight of a Keras model of ours; returns them by variable path."""
    values = {v.path: draw(v.path, v.shape) for v in model.weights}
    for variable in model.weights:
        variable.assign(values[variable.path])
    return values


def digest(values: dict[str, np.ndarray]) -> str:
    """sha256 over names and float32 bytes: tells a changed drawing from a changed network."""
    total = hashlib.sha256()
    for name in sorted(values):
        total.update(name.encode())
        total.update(np.ascontiguousarray(values[name], "<f4").data)
    return total.hexdigest()


def _uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 in [-1, 1), exact multiples of 2**-23."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((raw >> 40).astype(np.float32) * np.float32(2**-23) - np.float32(1.0)).reshape(shape)
