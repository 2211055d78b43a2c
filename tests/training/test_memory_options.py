"""Whole runs with the options of precision and memory: learning, going on, what is exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.precisions import skip_without
from support.random_model import random_picture
from support.train_processes import metrics, small

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import Head, Precision
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.saved_model import export_saved_model
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.models import build_model
from deeplab_tf.runs.checkpoints import checkpoint_prefix, checkpoint_steps, restore
from deeplab_tf.runs.run_log import RunLog
from deeplab_tf.training import step as step_module
from deeplab_tf.training.stages import train

OPTIONS = [
    {"precision": Precision.MIXED_FLOAT16, "ema_momentum": 0.8},
    {"precision": Precision.MIXED_BFLOAT16, "accumulate_steps": 2, "rematerialize": True},
]


class HighScale(keras.optimizers.LossScaleOptimizer):
    """Begins so high that the first steps overflow."""

    def __init__(self, inner_optimizer):
        super().__init__(inner_optimizer, initial_scale=2.0**26)


class CrashError(Exception):
    pass


@pytest.fixture(scope="module", params=OPTIONS, ids=lambda options: options["precision"])
def runs(request, shapes_data, tmp_path_factory):
    """An undisturbed run, and one that broke off between two checkpoints and went on."""
    skip_without(request.param["precision"])
    root = tmp_path_factory.mktemp("runs")
    experiment = small(Head.ASPP, **request.param)  # whose gradients overflow in float16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_module.keras.optimizers, "LossScaleOptimizer", HighScale)
        assert train(experiment, shapes_data, root / "whole").stopped_by is None
        write = RunLog.write

        def write_or_crash(log, step, *values):
            write(log, step, *values)
            if step == 10:
                raise CrashError

        with pytest.raises(CrashError), pytest.MonkeyPatch.context() as crashing:
            crashing.setattr(RunLog, "write", write_or_crash)
            train(experiment, shapes_data, root / "resumed")
        assert checkpoint_steps(root / "resumed") == [4, 8]
        assert train(experiment, shapes_data, root / "resumed").stopped_by is None
    return load_model(root / "whole").experiment, root / "whole", root / "resumed"


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
        rate = small().train.base_learning_rate * (1 - (m["step"] - 1) / 12) ** 0.9
        assert m["learning_rate"] == pytest.approx(rate, rel=1e-4)
    if experiment.train.precision is Precision.MIXED_FLOAT16:
        skipped = [m["skipped"] for m in metrics(whole)]
        assert skipped[0] > 0 and skipped[-1] == 0
        assert metrics(whole)[-1]["loss_scale"] == 2.0 ** (26 - sum(skipped))
    else:
        assert "loss_scale" not in metrics(whole)[0]


def test_what_is_kept_is_one_float32_network_from_checkpoint_to_export(runs, tmp_path):
    _, whole, _ = runs
    from_workdir, from_file = load_model(whole), load_model(whole / "model.keras")
    for a, b in zip(from_workdir.model.weights, from_file.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    images = np.stack([random_picture(65, 65, seed) for seed in (0, 1)])
    exported = export_saved_model(
        from_workdir, tmp_path / "served", [ComparedImage("blobs", images[0])]
    ).artefact
    labels = [
        load_predictor(path).predict(images) for path in (whole, whole / "model.keras", exported)
    ]
    np.testing.assert_array_equal(labels[1], labels[0])
    np.testing.assert_array_equal(labels[2], labels[0])
    for network in (from_workdir, from_file):
        assert {layer.compute_dtype for layer in network.model.layers} == {"float32"}
    graph = tf.saved_model.load(str(exported)).signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    types = {value.type for node in nodes for value in node.attr.values() if value.type}
    assert tf.float32.as_datatype_enum in types
    assert not types & {tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum}


def test_a_workdir_has_the_average_and_goes_on_with_the_weights(runs):
    experiment, whole, _ = runs
    if experiment.train.ema_momentum is None:
        pytest.skip("this run keeps no average")
    averaged = load_model(whole).model
    raw = build_model(experiment.model)
    restore(tf.train.Checkpoint(model=raw), checkpoint_prefix(whole, 12))
    for a, b in zip(averaged.weights, raw.weights, strict=True):
        moving = "moving" in a.path
        assert np.array_equal(a.numpy(), b.numpy()) == moving, a.path
