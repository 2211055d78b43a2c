"""DeepLabv3+ and MobileNetV3 with LR-ASPP through a whole training and the evaluation after it."""

import dataclasses

import pytest
from support.train_processes import metrics, small

from deeplab_tf.config import Backbone, Head, validate
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.training.stages import train

NETWORKS = {
    "decoder": {"decoder_kernels": (3, 3), "separable": True, "batch_norm_momentum": 0.5},
    "mobilenet_v3": {
        "backbone": Backbone.MOBILENET_V3_LARGE,
        "multi_grid": (1, 1, 1),
        "width_multiplier": 0.25,
        "head": Head.LR_ASPP,
        "batch_norm_momentum": 0.5,
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_falls_and_other_output_strides_have_the_weights(name, shapes_data, tmp_path):
    experiment = small(steps=8, log_every=1, checkpoint_every=8, base_learning_rate=0.05)
    experiment.model = dataclasses.replace(experiment.model, output_stride=16, **NETWORKS[name])
    train(validate(experiment), shapes_data, tmp_path / "run", report=lambda line: None)
    losses = [row["cross_entropy"] for row in metrics(tmp_path / "run")]
    assert len(losses) == 8 and sum(losses[-3:]) < sum(losses[:3])
    scores = []
    for output_stride in (16, 8):
        experiment.evaluate.output_stride = output_stride
        found = evaluate(
            *(tmp_path / "run", shapes_data, tmp_path / f"results{output_stride}"),
            output_stride=output_stride,
            report=lambda line: None,
        )
        scores.append(found.scores.pixel_accuracy)
    # The coarse network's weights mean the same on a denser grid; random ones would not.
    assert abs(scores[0] - scores[1]) < 0.1
