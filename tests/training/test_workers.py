"""Several devices and several processes: one training whatever it runs on."""

import json
import re

import keras
import numpy as np
import pytest
from support.commands import run
from support.train_processes import (
    free_ports,
    metrics,
    small,
    start,
    start_workers,
    tf_config,
)

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import Head, StrategyName
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import open_records
from deeplab_tf.distributed.processes import read_workers, workers_of
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.images.classes import VOID
from deeplab_tf.models import build_model
from deeplab_tf.runs.checkpoints import checkpoint_steps

SHORT_WAIT = """
from deeplab_tf.cli import train, flags
flags.import_tensorflow()
from deeplab_tf.distributed import connection
connection.ARRIVAL_SECONDS = 2
train.run()
"""
TWO_DEVICES = """
from deeplab_tf.cli import train, flags
flags.import_tensorflow()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
train.run()
"""
EQUAL = {
    "steps": 20,
    "batch_size": 8,
    "base_learning_rate": 1e-4,
    "log_every": 1,
    "checkpoint_every": 20,
    "evaluate_every": 10,
    "keep": "best",
    "head": Head.ASPP,  # whose pooling has the fewest samples
}

CHAOS = "import runpy; runpy.run_path('tests/training/chaos_workers.py', run_name='__main__')"
GATHERING = """
from deeplab_tf.distributed.connection import connect, leave
from deeplab_tf.distributed.processes import read_workers
connect(read_workers())
for length in (100, 50):
    print([len(text) for text in read_workers().gather_text("x" * length)])
leave(read_workers(), 0)
"""


def ended(processes, seconds=240):
    """(exit code, stdout, stderr) of each."""
    found = []
    for process in processes:
        out, err = process.communicate(timeout=seconds)
        found.append((process.returncode, out, err))
    return found


def set_cluster(monkeypatch, content):
    monkeypatch.setenv("TF_CONFIG", content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{not json", "must be JSON like"),
        ({"cluster": {"worker": ["a:1"]}}, "must be JSON like .*'task'"),
        ({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}, "must be JSON"),
        ({"cluster": {"worker": 5}, "task": {"type": "worker", "index": 0}}, "must be JSON like"),
        (
            {"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}},
            "must have the jobs worker, or one chief and worker. Received: worker, ps",
        ),
        (
            {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}},
            r"must be one of its cluster \(worker 0 to 1\). Received: worker 2",
        ),
        (
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}},
            "must be one of its cluster .* Received: chief 0",
        ),
    ],
)
def test_a_wrong_tf_config_is_one_line(monkeypatch, content, said):
    set_cluster(monkeypatch, content)
    with pytest.raises(DeeplabError, match=said) as error:
        read_workers()
    assert "\n" not in str(error.value)


def test_a_chief_is_worker_0(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    set_cluster(monkeypatch, {"cluster": cluster, "task": {"type": "worker", "index": 1}})
    workers = read_workers()
    assert (workers.count, workers.index, workers.is_chief) == (3, 2, False)
    set_cluster(monkeypatch, {"cluster": cluster, "task": {"type": "chief", "index": 0}})
    assert read_workers().is_chief


def test_what_is_gathered_may_have_another_size_each_time(tmp_path):
    """The configs of a chain of stages have, each compared by a `Workers` of its own."""
    ports = free_ports(2)
    both = [start(None, tmp_path, (ports, index), ("-c", GATHERING)) for index in (0, 1)]
    assert [(code, out) for code, out, _ in ended(both)] == [(0, "[100, 100]\n[50, 50]\n")] * 2


def test_strategies_that_do_not_fit_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(DeeplabError, match="multi_worker needs TF_CONFIG"):
        make_strategy(StrategyName.MULTI_WORKER)
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], 0))
    with pytest.raises(DeeplabError, match="names 2 workers, and strategy=mirrored"):
        make_strategy(StrategyName.MIRRORED)
    assert workers_of(StrategyName.AUTO).count == 2
    monkeypatch.setenv("TF_CONFIG", tf_config([1], 0))  # as a cluster's launcher may set it
    assert make_strategy(StrategyName.AUTO).num_replicas_in_sync == 1


def test_without_a_tpu_that_is_said(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(DeeplabError, match=r"strategy=tpu found no TPU \(TPU_NAME=local\): "):
        make_strategy(StrategyName.TPU)


@pytest.fixture(scope="module")
def three_ways(shapes_data, tmp_path_factory):
    """The same 20 steps of 8 images as 1x8, as 2x4 on two devices and on two processes."""
    root = tmp_path_factory.mktemp("three")
    alone = start(shapes_data, root / "one", **EQUAL)
    mirrored = start(
        shapes_data, root / "mirrored", program=("-c", TWO_DEVICES), strategy="mirrored", **EQUAL
    )
    runs = [*ended([alone, mirrored]), *ended(start_workers(2, shapes_data, root / "two", **EQUAL))]
    assert [code for code, _, _ in runs] == [0, 0, 0, 0], runs
    assert [err for _, _, err in runs] == ["", "", "", ""]
    return root, runs


def test_two_processes_are_two_devices(three_ways):
    """The weights bit for bit; the sum that is reported as the loss to its last digit."""
    root, runs = three_ways
    assert "2 device(s)\n" in runs[1][1] and "2 device(s) of 2 workers\n" in runs[2][1]
    assert runs[3][1] == "worker 1 of 2; worker 0 has the output\n"
    losses = [[m["loss"] for m in metrics(root / name)] for name in ("mirrored", "two")]
    np.testing.assert_allclose(*losses, rtol=2**-22)
    weights = [load_model(root / name).model.weights for name in ("mirrored", "two")]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_one_device_gives_the_same_after_20_steps(three_ways):
    root, _ = three_ways
    losses = [[m["loss"] for m in metrics(root / name)] for name in ("one", "two")]
    np.testing.assert_allclose(*losses, atol=1e-5)
    models = [load_model(root / name).model for name in ("one", "two")]
    for a, b in zip(*(model.weights for model in models), strict=True):
        # Relative to the largest entry: moving variances of raw pixels reach thousands. Some forty
        # operations round each map by 2^-24, and a batch norm over the 8 pooled samples multiplies
        # that by tens: statistics may differ by 1e-5, where unsynchronised ones differ by a tenth.
        scale = max(1.0, np.abs(a.numpy()).max())
        most = 1e-4 if "/moving_" in a.path else 1e-5
        assert np.abs(a.numpy() - b.numpy()).max() <= most * scale, a.path
    # And small next to the way that the weights went, at this low rate.
    keras.utils.set_random_seed(0)
    begun = build_model(load_model(root / "one").experiment.model)
    one, two, first = (
        np.concatenate([weight.numpy().ravel() for weight in model.trainable_variables])
        for model in (*models, begun)
    )
    assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(one - first)


def test_only_the_chief_writes(three_ways):
    root, _ = three_ways
    names = [sorted(path.name for path in (root / run).iterdir()) for run in ("one", "two")]
    assert names[0] == names[1]
    assert len(list((root / "two" / "tensorboard").iterdir())) == 1
    assert [m["step"] for m in metrics(root / "two")] == list(range(1, 21))


def test_two_processes_and_two_devices_evaluate_as_one(three_ways, shapes_data, tmp_path):
    """The same weights have the same figures, whoever evaluates which image."""
    root, _ = three_ways
    texts = [(root / run / "validation.json").read_text() for run in ("mirrored", "two")]
    assert texts[0] == texts[1]
    rows = json.loads(texts[1])["validations"]
    assert [row["step"] for row in rows] == [10, 20]
    found = evaluate(root / "two", shapes_data, tmp_path, report=lambda _: None)
    assert found.scores.mean_iou == max(row["mean_iou"] for row in rows)


def test_workers_without_patience_left_end_at_one_step(shapes_data, tmp_path):
    """The weights do not move, so no evaluation is better than the first."""
    still = {"base_learning_rate": 1e-30, "batch_norm": "frozen", "checkpoint_every": 100}
    fields = {"steps": 50, "evaluate_every": 1, "evaluate_images": 3, "patience": 2}
    workers = start_workers(2, shapes_data, tmp_path / "run", **fields, **still)
    (code, out, err), (other_code, _, other_err) = ended(workers)
    assert (code, other_code, err, other_err) == (0, 0, "", "")
    assert "ended after step 3 of 50: 2 evaluations without a higher mean IoU than" in out
    assert checkpoint_steps(tmp_path / "run") == [1, 2, 3]


def test_the_replicas_of_the_comparison_have_unequal_void(shapes_data):
    experiment = small(**EQUAL)
    split = open_records(shapes_data, "shapes").split("train")
    batches = training_batches(
        split,
        experiment.data,
        batch_size=8,
        seed=0,
        start_step=0,
        mean_pixel=(0.0, 0.0, 0.0),
    )
    for _, mask in batches.take(3).as_numpy_iterator():
        first, second = ((half == VOID).sum() for half in (mask[:4], mask[4:]))
        assert abs(int(first) - int(second)) > 0.1 * max(first, second)


def test_workers_that_are_lost_come_back_by_themselves(three_ways, shapes_data, tmp_path):
    """One kill and one SIGTERM of either of two; `make chaos` does ten."""
    root, _ = three_ways
    fields = {**EQUAL, "checkpoint_every": 1}
    del fields["head"]  # it is the row's own
    done = run(
        *("-c", CHAOS, "--kills=1", "--terms=1", "--steps=20", f"--fields={json.dumps(fields)}"),
        *(f"--data_dir={shapes_data}", f"--undisturbed={root / 'two'}", f"--out={tmp_path}"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    survived = re.search("at most ([0-9.]+) s longer, .* arrays are bit for bit", done.stdout)
    assert survived and float(survived[1]) < 20  # without `_watch` 61 s were seen
    said = (tmp_path / "disturbed.txt").read_text()
    gone = (
        r"^(deeplab-train: )?error: worker [01] is gone, and worker [01] ends too; if it was not "
        r"killed, its own last line says why. Start all workers with the same command to go on "
        r"from step \d+$"
    )
    assert re.search(gone, said, re.M) and "going on from step" in said
    assert "stopped by SIGTERM; checkpoint saved; run the same command to go on\n" in said
    assert "supervise: ended with exit code 75; starting again in 1 s\n" in said


def test_a_worker_that_does_not_come_is_named(shapes_data, tmp_path):
    ports = free_ports(2)
    alone = [
        start(shapes_data, tmp_path / str(index), (ports, index), ("-c", SHORT_WAIT))
        for index in (0,)
    ]
    for index, (code, _, err) in enumerate(ended(alone)):
        other = f"worker {1 - index} (127.0.0.1:{ports[1 - index]}) does not answer"
        assert code == 75 and err.count("\n") == 1
        assert f"waited 2 s for the 2 workers of TF_CONFIG: {other}" in err
    assert not list(tmp_path.iterdir())


def test_workers_with_other_configs_are_refused(shapes_data, tmp_path):
    ports = free_ports(2)
    both = [
        start(shapes_data, tmp_path / "run", (ports, index), seed=index, log_every=2 + index)
        for index in (0, 1)
    ]
    said = r"worker 1 was given another training: train.seed=1 \(worker 0: 0\); train.log_every=3"
    for code, _, err in ended(both):
        assert code == 1 and re.search(said, err) and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
