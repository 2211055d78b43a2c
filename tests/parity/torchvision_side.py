"""torchvision's network with our seeded weights. Needs the virtual environment of `make parity`."""

import numpy as np
import torch
import torchvision
from support.seeded_weights import to_torch_layout

from deeplab_tf.config import Backbone
from deeplab_tf.weights.torchvision import COUNTER_SUFFIX, torch_key

BUILDERS = {
    Backbone.RESNET50: torchvision.models.segmentation.deeplabv3_resnet50,
    Backbone.RESNET101: torchvision.models.segmentation.deeplabv3_resnet101,
}


def torchvision_model(backbone: Backbone, values: dict[str, np.ndarray]) -> torch.nn.Module:
    """torchvision's own network in evaluation mode with `values`, named and laid out as ours."""
    network = BUILDERS[backbone](weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    state = {
        torch_key(name): torch.from_numpy(np.ascontiguousarray(to_torch_layout(value)))
        for name, value in values.items()
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith(COUNTER_SUFFIX)]
    if missing or unexpected:
        raise SystemExit(f"names do not match: missing {missing}, unexpected {unexpected}")
    return network.eval()


def torchvision_logits(network: torch.nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 RGB [1, H, W, 3] -> logits [1, H, W, 21] float32, `out` and `aux`.

    Pixels are normalised as by torchvision's presets. The preset's statistics are written out here
    once more: ours must not check itself.
    """
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    pixels = torch.from_numpy(image.transpose(0, 3, 1, 2).astype(np.float32) / 255.0)
    with torch.inference_mode():
        logits = network((pixels - mean) / std)
    return {name: each.numpy().transpose(0, 2, 3, 1) for name, each in logits.items()}
