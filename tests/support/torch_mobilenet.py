"""torchvision's networks of a MobileNetV3-Large in numpy float64, by the names of its source.

A second way to the same numbers that shares nothing with ours, for machines without torch.
"""

import numpy as np

# torchvision's `_mobilenet_v3_conf`: kernel, expanded, out, squeeze-and-excitation, hard swish,
# stride, and whether `dilated` turns the stride into a dilation.
TABLE = (
    (3, 16, 16, False, False, 1, False),
    (3, 64, 24, False, False, 2, False),
    (3, 72, 24, False, False, 1, False),
    (5, 72, 40, True, False, 2, False),
    (5, 120, 40, True, False, 1, False),
    (5, 120, 40, True, False, 1, False),
    (3, 240, 80, False, True, 2, False),
    (3, 200, 80, False, True, 1, False),
    (3, 184, 80, False, True, 1, False),
    (3, 184, 80, False, True, 1, False),
    (3, 480, 112, True, True, 1, False),
    (3, 672, 112, True, True, 1, False),
    (5, 672, 160, True, True, 2, True),
    (5, 960, 160, True, True, 1, True),
    (5, 960, 160, True, True, 1, True),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def divisible(channels: float) -> int:
    """torchvision's `_make_divisible` by 8."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class StateDict:
    """A state dict that is drawn as the network asks for its tensors, by a seed a name."""

    def __init__(self):
        self.tensors: dict[str, np.ndarray] = {}

    def get(self, name: str, *shape: int, center: float = 0.0, spread: float = 0.3) -> np.ndarray:
        if name not in self.tensors:
            rng = np.random.default_rng(list(name.encode()))
            values = center + spread * rng.uniform(-1, 1, shape)
            self.tensors[name] = values.astype(np.float32)
        return self.tensors[name].astype(np.float64)

    def convolve(self, x, name, out, side, *, stride=1, rate=1, depthwise=False, bias=False):
        """A convolution of [C, H, W] that pads rate * (side // 2) zeros on each side."""
        channels = 1 if depthwise else len(x)
        fan_in = channels * side**2
        kernel = self.get(f"{name}.weight", out, channels, side, side, spread=(6 / fan_in) ** 0.5)
        pad = rate * (side // 2)
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        height, width = x.shape[1:]
        y = 0
        for i in range(side):
            for j in range(side):
                rows, columns = i * rate, j * rate
                part = padded[:, rows : rows + height : stride, columns : columns + width : stride]
                tap = kernel[:, :, i, j]
                y = y + tap[:, :, None] * part if depthwise else y + np.tensordot(tap, part, 1)
        return y + self.get(f"{name}.bias", out)[:, None, None] if bias else y

    def norm(self, x, name, epsilon):
        gamma, variance = (
            self.get(f"{name}.{part}", len(x), center=1.0) for part in ("weight", "running_var")
        )
        beta, mean = (self.get(f"{name}.{part}", len(x)) for part in ("bias", "running_mean"))
        self.tensors[f"{name}.num_batches_tracked"] = np.array(7)
        scale = gamma / np.sqrt(variance + epsilon)
        return x * scale[:, None, None] + (beta - mean * scale)[:, None, None]

    def block(self, x, name, out, side, act, epsilon=1e-3, **how):
        """Conv2dNormActivation."""
        return act(self.norm(self.convolve(x, f"{name}.0", out, side, **how), f"{name}.1", epsilon))


def relu(x):
    return np.maximum(x, 0)


def hard_sigmoid(x):
    return np.clip(x / 6 + 0.5, 0, 1)


def hard_swish(x):
    return x * hard_sigmoid(x)


def linear(x):
    return x


def mean(x):
    return x.mean(axis=(1, 2), keepdims=True)


def resize(x, size):
    """F.interpolate(mode="bilinear", align_corners=False)."""
    for axis, target in zip((1, 2), size, strict=True):
        source = x.shape[axis]
        at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        weights = np.maximum(1 - np.abs(at[:, None] - np.arange(source)), 0)
        x = np.moveaxis(np.tensordot(weights, np.moveaxis(x, axis, 0), 1), 0, axis)
    return x


def features(state: StateDict, x, prefix: str, width: float, dilated: bool):
    """The map of C2 (stride 8) and the last one."""
    x = state.block(x, f"{prefix}.0", divisible(16 * width), 3, hard_swish, stride=2)
    low = x
    for number, (side, expanded, out, squeezes, swish, stride, dilates) in enumerate(TABLE, 1):
        act, before, part = hard_swish if swish else relu, x, 0
        name = f"{prefix}.{number}.block"
        expanded, out = divisible(expanded * width), divisible(out * width)
        rate = 2 if dilated and dilates else 1
        if expanded != len(x):
            x, part = state.block(x, f"{name}.0", expanded, 1, act), 1
        how = {"stride": stride if rate == 1 else 1, "rate": rate, "depthwise": True}
        x, part = state.block(x, f"{name}.{part}", expanded, side, act, **how), part + 1
        if squeezes:
            gate = relu(
                state.convolve(
                    mean(x), f"{name}.{part}.fc1", divisible(expanded // 4), 1, bias=True
                )
            )
            gate = state.convolve(gate, f"{name}.{part}.fc2", expanded, 1, bias=True)
            x, part = x * hard_sigmoid(gate), part + 1
        x = state.block(x, f"{name}.{part}", out, 1, linear)
        if stride == 1 and len(before) == out:
            x = x + before
        low = x if number == 4 else low
    return low, state.block(x, f"{prefix}.16", 6 * len(x), 1, hard_swish)


def deeplab_head(state: StateDict, x, classes: int):
    """DeepLabHead with its rates 12, 24 and 36, dropout left out."""
    branches = [state.block(x, "classifier.0.convs.0", 256, 1, relu, 1e-5)]
    for number, rate in enumerate((12, 24, 36), start=1):
        name = f"classifier.0.convs.{number}"
        branches.append(state.block(x, name, 256, 3, relu, 1e-5, rate=rate))
    pooled = state.convolve(mean(x), "classifier.0.convs.4.1", 256, 1)
    pooled = relu(state.norm(pooled, "classifier.0.convs.4.2", 1e-5))
    branches.append(np.broadcast_to(pooled, (256, *x.shape[1:])))
    x = state.block(np.concatenate(branches), "classifier.0.project", 256, 1, relu, 1e-5)
    x = state.convolve(x, "classifier.1", 256, 3)
    x = relu(state.norm(x, "classifier.2", 1e-5))
    return state.convolve(x, "classifier.4", classes, 1, bias=True)


def lr_aspp_head(state: StateDict, low, high, classes: int):
    x = state.block(high, "classifier.cbr", 128, 1, relu, 1e-5)
    x = x / (1 + np.exp(-state.convolve(mean(high), "classifier.scale.1", 128, 1)))
    x = resize(x, low.shape[1:])
    scores = state.convolve(low, "classifier.low_classifier", classes, 1, bias=True)
    return scores + state.convolve(x, "classifier.high_classifier", classes, 1, bias=True)


def answer(state: StateDict, network: str, image: np.ndarray, width: float, classes: int):
    """Logits [H, W, classes] of `deeplabv3` or `lraspp`, or the last map [h, w, C] of `features`.

    `image` is uint8 [H, W, 3].
    """
    x = ((image / 255 - MEAN) / STD).transpose(2, 0, 1)
    if network == "features":
        return features(state, x, "features", width, dilated=False)[1].transpose(1, 2, 0)
    low, high = features(state, x, "backbone", width, dilated=True)
    if network == "lraspp":
        logits = lr_aspp_head(state, low, high, classes)
    else:
        logits = deeplab_head(state, high, classes)
    return resize(logits, image.shape[:2]).transpose(1, 2, 0)
