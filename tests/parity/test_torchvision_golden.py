"""Our logits equal torchvision's for the same weights, which golden files made by
`make_torchvision_golden.py` hold; `make parity` compares with torchvision itself."""

import pathlib

import numpy as np
import pytest
from support.seeded_weights import digest, draw_image, set_seeded_weights

from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.weights.torchvision import torchvision_config

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.mark.parametrize("backbone", [Backbone.RESNET50, Backbone.RESNET101])
def test_logits_equal_torchvisions(backbone):
    golden = np.load(GOLDEN / f"torchvision_{backbone}.npz")
    model_config = torchvision_config(backbone)
    model = with_auxiliary(build_model(model_config), model_config)
    assert digest(set_seeded_weights(model)) == str(golden["weights_sha256"])
    for seed, (height, width) in enumerate(golden["sizes"]):
        both = model(draw_image(seed, height, width), training=False)
        for name, logits in zip(("", "auxiliary_"), both, strict=True):
            ours, theirs = logits.numpy(), golden[f"{name}logits{seed}"]
            stride = int(golden["pixel_stride"])
            difference = np.abs(ours[0, ::stride, ::stride] - theirs).max()
            what = f"{name}{backbone} {height}x{width}"
            print(f"{what}: {difference:.1e} of {np.abs(theirs).max():.2f}")
            # Logits that were all near 0 would agree by themselves.
            assert np.abs(theirs).max() > 1.0
            assert theirs.std(axis=(0, 1)).min() > 0.05
            assert difference < 1e-3
            means = ours.mean(axis=(0, 1, 2), dtype=np.float64)
            np.testing.assert_allclose(means, golden[f"{name}class_means{seed}"], atol=1e-4)
