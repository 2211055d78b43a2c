"""Loss scaling in float16: a step that overflows anywhere is skipped everywhere, and counted."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import NO_ASPP, noise_run

from deeplab_tf.config import Precision, StrategyName
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.average import averages
from deeplab_tf.training.loop import _mean_losses
from deeplab_tf.training.loss_scale import agree_on_overflow, counting_skipped


@pytest.mark.parametrize("replica", [0, 1])
def test_an_overflow_on_either_device_skips_the_step_on_both(replica):
    strategy = make_strategy(StrategyName.MIRRORED)
    with strategy.scope():
        weight = keras.Variable(np.float32([2.0]))
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.125), initial_scale=4.0, dynamic_growth_steps=2
        )
        optimizer.build([weight])

    def replica_step(gradient):
        scaled = optimizer.scale_loss(gradient)
        optimizer.apply(agree_on_overflow(optimizer, [scaled]), [weight])
        return gradient

    run = tf.function(lambda gradient, _: {"loss": strategy.run(replica_step, args=(gradient,))})
    step = counting_skipped(optimizer, run)
    seen = []
    for number in range(4):
        gradients = np.float32([[1.0], [3.0]])
        if number == 1:
            gradients[replica] = np.inf
        dealt = strategy.experimental_distribute_values_from_function(
            lambda context, g=gradients: tf.constant(g[context.replica_id_in_sync_group])
        )
        skipped = float(step(dealt, None)["skipped"])
        copies = strategy.experimental_local_results(weight.value)
        assert len({float(copy[0]) for copy in copies}) == 1
        seen.append((float(copies[0][0]), skipped, float(optimizer.dynamic_scale.numpy())))
    # The rate times the sum, 0.5, each time; the scale doubles after two steps in a row.
    assert seen == [(1.5, 0, 4.0), (1.5, 1, 2.0), (1.0, 0, 2.0), (0.5, 0, 4.0)]
    assert int(optimizer.iterations.numpy()) == 4


def scaled(initial_scale, **options):
    return lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01, momentum=0.9, **options), initial_scale=initial_scale
    )


def test_a_network_whose_gradients_overflow_first_halves_the_scale_then_learns():
    run = noise_run(
        12,
        precision=Precision.MIXED_FLOAT16,
        own_optimizer=scaled(2.0**26, use_ema=True, ema_momentum=0.5),
    )
    skipped = [losses["skipped"] for losses in run.losses]
    assert skipped[0] == 1.0 and skipped[-1] == 0.0
    assert run.losses[-1]["loss_scale"] == 2.0 ** (26 - sum(skipped))
    assert int(run.optimizer.iterations) == 12
    assert all(np.isfinite(losses["loss"]) for losses in run.losses)
    trained = [index for index, w in enumerate(run.model.weights) if "moving" not in w.path]
    before, average = run.before, run.before[trained[0]]
    for after, skips in zip(run.history, skipped, strict=True):
        for index in trained:
            assert np.array_equal(after[index], before[index]) == bool(skips)
        if not skips:
            average = 0.5 * average + 0.5 * after[trained[0]]
        before = after
    np.testing.assert_allclose(averages(run.optimizer)[0].numpy(), average, rtol=1e-5, atol=1e-7)


def test_the_scale_does_not_change_a_step():
    plain, other = (
        noise_run(
            1,
            model_config=NO_ASPP,
            precision=Precision.MIXED_FLOAT16,
            own_optimizer=scaled(scale),
        )
        for scale in (2.0**10, 2.0**13)
    )
    for a, b in zip(plain.history[-1], other.history[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-3 * max(1.0, np.abs(a).max()))


def losses(*rows):
    names = ("loss", "skipped", "loss_scale")
    return [dict(zip(names, map(tf.constant, row), strict=True)) for row in rows]


def test_the_log_has_the_scale_and_a_skipped_step_does_not_stop_the_run(tmp_path):
    nan = float("nan")
    means = _mean_losses(losses((1.0, 0.0, 8.0), (nan, 1.0, 4.0), (3.0, 0.0, 4.0)), 20, tmp_path)
    assert means == {"loss": 2.0, "loss_scale": 4.0, "skipped": 1.0}
    with pytest.raises(DeeplabError, match="loss is nan at step 19"):
        _mean_losses(losses((1.0, 0.0, 8.0), (nan, 0.0, 8.0), (3.0, 0.0, 8.0)), 20, tmp_path)
    with pytest.raises(DeeplabError, match="loss scale fell to 0.5 by step 20"):
        _mean_losses(losses((nan, 1.0, 1.0), (nan, 1.0, 0.5)), 20, tmp_path)


def test_a_window_in_which_every_step_was_skipped_has_no_loss(tmp_path):
    inf = float("inf")
    means = _mean_losses(losses((inf, 1.0, 8.0), (inf, 1.0, 4.0)), 20, tmp_path)
    assert np.isnan(means.pop("loss")) and means == {"loss_scale": 4.0, "skipped": 2.0}
