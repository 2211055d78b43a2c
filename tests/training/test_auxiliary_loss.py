"""A training with the auxiliary head: its loss, what goes on with it, and what is kept of it."""

import dataclasses
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.noise_run import FROZEN, NO_ASPP, noise, noise_run
from support.train_processes import metrics, small

from deeplab_tf.artefacts.auxiliary import MEMBER, read_auxiliary
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import StrategyName, TrainConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.runs.checkpoints import checkpoint_prefix
from deeplab_tf.training.loss import make_data_loss
from deeplab_tf.training.stages import train

HALF = {"auxiliary_loss": 0.5}


@pytest.mark.parametrize("loss", ["cross_entropy", "dice"])
def test_the_loss_is_the_sum_of_both_heads_and_the_decay(loss):
    fields = {"loss": loss, "weight_decay": 1e-2, "batch_norm": FROZEN, **HALF}
    run = noise_run(1, model_config=NO_ASPP, **fields)
    network = with_auxiliary(build_model(NO_ASPP), NO_ASPP)
    network.set_weights(run.before)
    image, mask = map(tf.constant, noise(1))
    data_loss = make_data_loss(TrainConfig(loss=loss))
    name = "data_loss" if loss == "dice" else "cross_entropy"
    main, of_head = (float(data_loss(mask, logits)[name]) for logits in network(image))
    kernels = [kernel.numpy().astype(np.float64) for kernel in decayed_kernels(network)]
    decay = 1e-2 / 2 * sum(np.square(kernel).sum() for kernel in kernels)
    (found,) = run.losses
    assert found[name] == pytest.approx(main, rel=1e-5)
    # The step drops a tenth of the head's inputs, whose logits are small.
    assert found["auxiliary_loss"] == pytest.approx(of_head, rel=0.02)
    total = found[name] + 0.5 * found["auxiliary_loss"] + decay
    assert found["loss"] == pytest.approx(total, rel=1e-6)


def test_the_gradient_reaches_what_the_head_reads_and_not_what_lies_behind():
    """At a weight so large that nothing else counts, block4 moves as little as without the head."""
    plain, heavy = (
        noise_run(1, model_config=NO_ASPP, batch_norm=FROZEN),
        noise_run(
            1,
            model_config=NO_ASPP,
            batch_norm=FROZEN,
            auxiliary_loss=100.0,
            base_learning_rate=0.05,
        ),
    )

    def moved(run, layer):
        index = [w.path for w in run.model.weights].index(f"{layer}/kernel")
        return np.abs(run.history[-1][index] - run.before[index]).max()

    assert moved(heavy, "block3_unit1_conv3") > 10 * moved(plain, "block3_unit1_conv3")
    for layer in ("block4_unit1_conv1", "logits"):
        assert moved(heavy, layer) == pytest.approx(moved(plain, layer), rel=1e-3)


def test_rematerialised_it_is_the_same_step():
    plain = noise_run(2, model_config=NO_ASPP, **HALF)
    again = noise_run(2, model_config=NO_ASPP, rematerialize=True, **HALF)
    assert again.losses[0] == plain.losses[0]
    # Three gradients of the map that the head reads are added in another order.
    assert again.losses[1] == pytest.approx(plain.losses[1], rel=1e-6)
    for a, b in zip(plain.history[-1], again.history[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_on_two_devices_the_losses_are_those_on_one(monkeypatch):
    """Without dropout, whose masks are a device's own."""
    monkeypatch.setattr("deeplab_tf.models.auxiliary.DROPOUT", 0.0)
    one, two = (
        noise_run(1, strategy=strategy, model_config=NO_ASPP, batch_norm=FROZEN, **HALF)
        for strategy in (StrategyName.ONE, StrategyName.MIRRORED)
    )
    assert two.losses[0] == pytest.approx(one.losses[0], rel=1e-5)


@pytest.fixture(scope="module")
def trained(shapes_data, tmp_path_factory):
    """A run with the head, AdamW and an average of the weights."""
    workdir = tmp_path_factory.mktemp("auxiliary")
    lines = []
    experiment = small(
        **{"steps": 4, "log_every": 2, "checkpoint_every": 4, "ema_momentum": 0.5, **HALF},
        **{"optimizer": "adamw", "base_learning_rate": 0.007},
    )
    train(experiment, shapes_data, workdir, report=lines.append)
    return workdir, lines


def test_the_file_has_the_head_beside_the_network(trained):
    workdir, _ = trained
    path = workdir / "model.keras"
    network = load_model(path).model
    assert not [layer for layer in network.layers if layer.name.startswith("auxiliary")]
    assert len(network.outputs) == 1
    same = keras.saving.load_model(path, compile=False)
    from_workdir = load_model(workdir).model
    for a, b, c in zip(network.weights, same.weights, from_workdir.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    weights = read_auxiliary(path)
    assert next(iter(weights)) == "auxiliary_conv/kernel" and len(weights) == 7
    # The head has learnt, and what is kept of it is its average.
    assert np.ptp(weights["auxiliary_logits/bias"]) > 0
    reader = tf.train.load_checkpoint(checkpoint_prefix(workdir, 4))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("auxiliary/")]
    last = [reader.get_tensor(n) for n in names if reader.get_tensor(n).shape == (6,)]
    assert len(names) == 7 and not np.array_equal(last[0], weights["auxiliary_logits/bias"])


def test_adamw_at_the_papers_rate_is_said_before_the_first_step(trained):
    _, lines = trained
    said = [i for i, line in enumerate(lines) if "is a rate for SGD; AdamW" in line]
    first = next(i for i, line in enumerate(lines) if line.startswith("first batch"))
    assert len(said) == 1 and said[0] < first


def test_the_log_has_its_loss(trained):
    workdir, _ = trained
    rows = metrics(workdir)
    assert [row["step"] for row in rows] == [2, 4]
    # A head that knows nothing costs ln(6).
    assert all(0.5 < row["auxiliary_loss"] < 2.5 for row in rows)


def test_a_later_training_goes_on_with_the_head(trained, shapes_data, tmp_path):
    workdir, _ = trained
    path = str(workdir / "model.keras")
    still = {"steps": 1, "checkpoint_every": 1, "base_learning_rate": 1e-30, "log_every": 1}
    lines = []
    experiment = dataclasses.replace(small(batch_norm=FROZEN, **still, **HALF), init_from=path)
    train(experiment, shapes_data, tmp_path / "with", report=lines.append)
    assert any("missing       0" in line and "unexpected    0" in line for line in lines)
    before = read_auxiliary(workdir / "model.keras")
    after = read_auxiliary(tmp_path / "with" / "model.keras")
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    # A training without the head says what it leaves in the file.
    lines.clear()
    experiment = dataclasses.replace(small(batch_norm=FROZEN, **still), init_from=path)
    train(experiment, shapes_data, tmp_path / "without", report=lines.append)
    assert any("unexpected    7  auxiliary_conv/kernel" in line for line in lines)
    assert read_auxiliary(tmp_path / "without" / "model.keras") == {}


def test_a_damaged_member_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr(MEMBER, b"no numbers")
    with pytest.raises(DeeplabError, match=f"a.keras is damaged: its {MEMBER} does not load"):
        read_auxiliary(tmp_path / "a.keras")
