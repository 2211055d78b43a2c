"""Whole runs with the options of precision and memory: learning, going on, what is exported."""

import keras
import numpy as np
import pytest
from test_loop import metrics, small

from deeplab_tf.config import Precision
from deeplab_tf.prediction.predictor import load_predictor
from deeplab_tf.trained_model import load_model
from deeplab_tf.training import step as step_module
from deeplab_tf.training.loop import train
from deeplab_tf.training.run_log import RunLog
from deeplab_tf.workdir import checkpoint_steps

pytestmark = pytest.mark.filterwarnings("ignore:atrous convolutions of float16")

OPTIONS = [
    {"precision": Precision.MIXED_FLOAT16, "ema_momentum": 0.8},
    {"precision": Precision.MIXED_BFLOAT16, "accumulate_steps": 2, "rematerialize": True},
]


class HighScale(keras.optimizers.LossScaleOptimizer):
    """Begins so high that the first steps overflow."""

    def __init__(self, inner_optimizer):
        super().__init__(inner_optimizer, initial_scale=2.0**20)


class CrashError(Exception):
    pass


@pytest.fixture(scope="module", params=OPTIONS, ids=lambda options: options["precision"])
def runs(request, shapes_data, tmp_path_factory):
    """An undisturbed run, and one that broke off between two checkpoints and went on."""
    root = tmp_path_factory.mktemp("runs")
    experiment = small(**request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_module.keras.optimizers, "LossScaleOptimizer", HighScale)
        assert train(experiment, shapes_data, root / "whole") == 0
        write = RunLog.write

        def write_or_crash(log, step, *values):
            write(log, step, *values)
            if step == 10:
                raise CrashError

        with pytest.raises(CrashError), pytest.MonkeyPatch.context() as crashing:
            crashing.setattr(RunLog, "write", write_or_crash)
            train(experiment, shapes_data, root / "resumed")
        assert checkpoint_steps(root / "resumed") == [4, 8]
        assert train(experiment, shapes_data, root / "resumed") == 0
    return experiment, root / "whole", root / "resumed"


def test_a_broken_run_goes_on_bit_for_bit(runs):
    _, whole, resumed = runs
    for name in ("loss", "learning_rate", "cross_entropy"):
        assert [m[name] for m in metrics(whole)] == [m[name] for m in metrics(resumed)]
    expected, found = load_model(whole).model, load_model(resumed).model
    for a, b in zip(expected.weights, found.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_the_log_has_the_loss_scale_and_the_rate_of_the_step(runs):
    experiment, whole, _ = runs
    for m in metrics(whole):
        rate = 0.05 * (1 - (m["step"] - 1) / 12) ** 0.9
        assert m["learning_rate"] == pytest.approx(rate, rel=1e-4)
    if experiment.train.precision is Precision.MIXED_FLOAT16:
        skipped = [m["skipped"] for m in metrics(whole)]
        assert skipped[0] > 0 and skipped[-1] == 0
        assert metrics(whole)[-1]["loss_scale"] == 2.0 ** (20 - sum(skipped))
    else:
        assert "loss_scale" not in metrics(whole)[0]


def test_what_is_kept_is_in_float32_and_one_network(runs):
    _, whole, _ = runs
    from_workdir, from_file = load_model(whole), load_model(whole / "model.keras")
    assert {layer.compute_dtype for layer in from_file.model.layers} == {"float32"}
    for a, b in zip(from_workdir.model.weights, from_file.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    images = np.random.default_rng(0).integers(0, 256, (2, 65, 65, 3), dtype=np.uint8)
    a, b = (load_predictor(path).predict(images) for path in (whole, whole / "model.keras"))
    np.testing.assert_array_equal(a, b)
