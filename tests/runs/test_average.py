"""The moving average of the weights, in numpy."""

import numpy as np
import pytest
from support.noise_run import FROZEN, NO_ASPP, noise_run, shared_run

from deeplab_tf.config import Experiment, StrategyName, TrainConfig, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.average import evaluated_weights
from deeplab_tf.runs.checkpoints import Checkpoints


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strategy": StrategyName.MIRRORED, "batch_norm": FROZEN},
        {"accumulate_steps": 2, "batch_norm": FROZEN},
    ],
    ids=str,
)
def test_the_average_in_numpy(options):
    run = shared_run(4, model_config=NO_ASPP, ema_momentum=0.7, **options)
    plain = noise_run(4, model_config=NO_ASPP, **options)
    assert int(run.optimizer.iterations.numpy()) == 4  # the steps, whatever their parts
    found = evaluated_weights(run.model.weights, run.optimizer)
    trained = {weight.path for weight in run.model.trainable_variables}
    for index, (weight, value) in enumerate(zip(run.model.weights, found, strict=True)):
        series = [weights[index] for weights in run.history]
        expected = series[-1]
        if weight.path in trained:
            expected = series[0]  # Keras begins with the weights after the first step
            for later in series[1:]:
                expected = 0.7 * expected + 0.3 * later
            assert np.abs(expected - series[-1]).max() > 0, weight.path
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-6)
    # Keeping it changes nothing of the training.
    for a, b in zip(run.history[-1], plain.history[-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_has_the_average_once(tmp_path):
    run = shared_run(4, model_config=NO_ASPP, ema_momentum=0.7)
    (tmp_path / "checkpoints").mkdir()
    Checkpoints(tmp_path, run.model, run.optimizer, keep=1).save()
    (data,) = (tmp_path / "checkpoints").glob("*.data-*")
    trained = sum(w.numpy().nbytes for w in run.model.trainable_variables)
    others = sum(w.numpy().nbytes for w in run.model.non_trainable_variables)
    # Weights, momenta and averages; a fourth copy would be a third more.
    assert data.stat().st_size == pytest.approx(3 * trained + others, rel=0.02)


def test_a_momentum_outside_its_range_is_refused():
    with pytest.raises(DeeplabError, match=r"ema_momentum must be in \[0, 1\), or left out"):
        validate(Experiment(train=TrainConfig(ema_momentum=1.0)))
