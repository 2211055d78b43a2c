"""Rematerialisation: the same step, bit by bit where the arithmetic is."""

import dataclasses

import pytest
from support.noise_run import (
    MODEL_CONFIG,
    NO_ASPP,
    check_same_but_for_rounding,
    furthest,
    noise_run,
    shared_run,
)
from support.precisions import skip_without

from deeplab_tf.config import Backbone, BatchNormMode, Head, ModelConfig, Precision, StrategyName

MOBILE = ModelConfig(
    backbone=Backbone.MOBILENET_V2,
    width_multiplier=0.25,
    num_classes=3,
    multi_grid=(1, 1, 1),
    aspp_rates=(6,),
    batch_norm_momentum=0.9,
)
MOBILE_V3 = dataclasses.replace(
    MOBILE, backbone=Backbone.MOBILENET_V3_LARGE, head=Head.LR_ASPP, zero_init_residual=True
)
PLUS = dataclasses.replace(MODEL_CONFIG, decoder_kernels=(3,))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model_config": NO_ASPP, "batch_norm": BatchNormMode.FROZEN},
        {
            "model_config": NO_ASPP,
            "precision": Precision.MIXED_BFLOAT16,
            "accumulate_steps": 2,
        },
        {"model_config": MOBILE},
        {"model_config": MOBILE_V3},
        {"model_config": PLUS},
    ],
    ids=str,
)
def test_weights_and_moving_statistics_are_those_of_the_plain_step(options):
    skip_without(options.get("precision", Precision.FLOAT32))
    plain = noise_run(2, **options)
    again = shared_run(2, rematerialize=True, **options)
    # Statistics that moved twice a step would be off by a tenth of themselves.
    assert furthest(plain, again) < 1e-6
    if options.get("batch_norm") is BatchNormMode.FROZEN:
        # TensorFlow may fuse a frozen batch norm with its convolution in one of the two graphs.
        check_same_but_for_rounding(plain, again)
    else:
        assert again.losses == plain.losses


def test_on_two_devices_in_parts_with_synchronised_statistics():
    options = {"accumulate_steps": 2, "model_config": NO_ASPP}
    plain = noise_run(2, strategy=StrategyName.MIRRORED, **options)
    again = noise_run(2, strategy=StrategyName.MIRRORED, rematerialize=True, **options)
    # Synchronised statistics are E[x^2] - E[x]^2, which loses digits, and Eigen's kernels round
    # otherwise the second time.
    check_same_but_for_rounding(plain, again)
    # Devices with images 0, 1 and 2, 3 have 0 and 2 for their first parts.
    one = noise_run(2, order=(0, 2, 1, 3), **options)
    for a, b in zip(one.losses, plain.losses, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_the_model_stays_one_that_can_be_saved(tmp_path):
    run = shared_run(2, rematerialize=True)
    run.model.save(tmp_path / "model.keras")
    assert run.model.count_params() > 0
