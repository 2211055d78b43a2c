"""Writes golden/slim_*.npz: logits of tf-slim's networks for seeded weights and images.

Run from the project's root in the virtual environment that `make parity` installs:
    PYTHONPATH=tests .venv-parity/bin/python -m parity.make_slim_golden
"""

import pathlib

import numpy as np
from support.seeded_weights import digest, draw, draw_image
from support.slim_networks import slim_networks

from deeplab_tf.models import build_backbone, build_model
from deeplab_tf.weights.slim import slim_name
from deeplab_tf.weights.slim_graph import run_slim

GOLDEN = pathlib.Path(__file__).parent / "golden"
NETWORKS = ("resnet_v1_50", "resnet_v1_50_beta ASPP", "mobilenet_v2 0.5")
SIZE = (65, 97)
STRIDE = 3
"""Outputs are kept for every third row and column, and every third channel of features."""


def main() -> None:
    """Writes one file a network."""
    for name in NETWORKS:
        scope, model_config = slim_networks()[name]
        model = (build_backbone if model_config.num_classes is None else build_model)(model_config)
        values = {v.path: draw(v.path, v.shape) for v in model.weights}
        arrays = {slim_name(path, scope): value for path, value in values.items()}
        if "concat_projection/weights" in arrays:
            # Ours has image pooling last; tf-slim's first.
            kernel = arrays["concat_projection/weights"]
            arrays["concat_projection/weights"] = np.concatenate(
                [kernel[:, :, -256:], kernel[:, :, :-256]], axis=2
            )
        _, output = run_slim(arrays, scope, model_config)(draw_image(0, *SIZE))
        kept = output[0] if model_config.num_classes is None else output[0, ::STRIDE, ::STRIDE]
        path = GOLDEN / f"slim_{name.replace(' ', '_')}.npz"
        np.savez_compressed(
            path, weights_sha256=np.array(digest(values)), output=kept[..., ::STRIDE]
        )
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, up to {np.abs(output).max():.3g}")


if __name__ == "__main__":
    main()
