"""What a run leaves to read."""

import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.files import json_text
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.runs.run_log import TENSORBOARD_DIR, RunLog, format_duration
from deeplab_tf.runs.validations import Validation
from deeplab_tf.runs.workdir import DATA_FILE, METRICS_FILE, data_to_json

VALUES = {"loss": 1.25, "cross_entropy": 1.0, "learning_rate": 0.005}


@pytest.fixture
def workdir(tmp_path):
    """A folder that is known as a run's."""
    (tmp_path / DATA_FILE).write_text(data_to_json(SHAPES, "a" * 64))
    return tmp_path


def steps_logged(workdir):
    return [json.loads(line)["step"] for line in (workdir / METRICS_FILE).read_text().splitlines()]


def test_steps_after_the_checkpoint_are_dropped_when_a_run_goes_on(workdir):
    log = RunLog(workdir, 0, 100, SHAPES)
    for step in (10, 20, 30):
        log.write(step, 8, VALUES)
    log.close()
    assert steps_logged(workdir) == [10, 20, 30]
    resumed = RunLog(workdir, 20, 100, SHAPES)
    assert steps_logged(workdir) == [10, 20]
    resumed.write(30, 8, VALUES)
    resumed.close()
    assert steps_logged(workdir) == [10, 20, 30]


def history(*steps):
    return [Validation(step, step / 100, 1 / step, {}) for step in steps]


def test_the_lines_of_evaluations_are_those_of_the_history(workdir):
    """A kill may fall between the history and the line, or come before the history."""
    log = RunLog(workdir, 0, 100, SHAPES, history=[])
    for step in (10, 20, 30):
        log.write(step, 8, VALUES)
        if step != 20:
            log.write_validation("val", 4, 1.0, history(step))
    log.close()
    RunLog(workdir, 20, 100, SHAPES, history=history(10, 20)).close()
    rows = [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]
    assert [(row["step"], row.get("val_mean_iou")) for row in rows] == [
        *((10, None), (10, 0.1), (20, None), (20, 0.2))
    ]
    assert rows[1] == {"step": 10, "val_mean_iou": 0.1, "val_loss": 0.1}
    RunLog(workdir, 20, 100, SHAPES, history=[]).close()
    assert steps_logged(workdir) == [10, 20]


def test_an_evaluation_is_one_line_with_its_standing(workdir, capsys):
    log = RunLog(workdir, 0, 500, SHAPES)
    log.write_validation("val", 101, 72.4, history(20, 30))
    worse = [*history(20, 30), Validation(40, 0.25, 0.5, {})]
    log.write_validation("val", 101, 1.0, worse)
    log.close()
    assert capsys.readouterr().out.splitlines() == [
        "step  30/500  mean IoU 30.00 on val  loss 0.0333  101 images in 1 min 12 s"
        "  (the best so far)",
        "step  40/500  mean IoU 25.00 on val  loss 0.5000  101 images in 1 s"
        "  (best 30.00 at step 30)",
    ]


def test_a_line_that_a_kill_cut_off_is_dropped(workdir):
    (workdir / METRICS_FILE).write_text('{"step": 10, "loss": 1.5}\n{"step": 20, "lo')
    RunLog(workdir, 20, 100, SHAPES).close()
    assert (workdir / METRICS_FILE).read_text() == '{"step": 10, "loss": 1.5}\n'


def test_a_loss_that_is_not_finite_is_null_in_the_log(workdir):
    log = RunLog(workdir, 0, 50, SHAPES)
    log.write(10, 8, {**VALUES, "loss": float("nan"), "cross_entropy": float("inf")})
    log.close()
    RunLog(workdir, 10, 50, SHAPES).close()  # writes what it keeps anew

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads((workdir / METRICS_FILE).read_text(), parse_constant=refuse)
    assert record["loss"] is record["cross_entropy"] is None and record["learning_rate"] == 0.005
    assert json.loads(json_text({"a": [float("nan"), (1, float("-inf"))]})) == {
        "a": [None, [1, None]]
    }


def test_the_progress_line_has_step_loss_rate_speed_and_time_left(tmp_path, capsys, monkeypatch):
    clock = iter([100.0, 104.0, 104.0])
    monkeypatch.setattr("deeplab_tf.runs.run_log.time.monotonic", lambda: next(clock))
    log = RunLog(tmp_path, 0, 50, SHAPES)
    log.write(10, 8, VALUES)  # ten steps of eight images in four seconds
    line = capsys.readouterr().out
    assert line == "step 10/50  loss 1.2500  rate 0.005000  20.0 images/s  16 s left\n"
    record = json.loads((tmp_path / METRICS_FILE).read_text())
    assert record == {"step": 10, **VALUES, "images_per_second": 20.0}


def test_tensorboard_gets_scalars_and_panels(tmp_path):
    log = RunLog(tmp_path, 0, 50, SHAPES)
    log.write(10, 8, VALUES)
    truth = np.zeros((2, 4, 5), np.uint8)
    truth[:, 0] = 255
    log.write_panels(10, np.full((2, 4, 5, 3), 300.0), truth, np.ones((2, 4, 5), np.int64))
    log.close()
    (events,) = (tmp_path / TENSORBOARD_DIR).iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(events)):
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
            found[value.tag] = tf.make_ndarray(value.tensor)
    assert found["loss"] == pytest.approx(1.25)
    assert found["learning_rate"] == pytest.approx(0.005)
    width, height, *pictures = found["input, truth, prediction"]
    assert (int(width), int(height), len(pictures)) == (15, 4, 2)
    panel = tf.io.decode_png(pictures[0]).numpy()
    assert panel[1, 2].tolist() == [255, 255, 255]  # clipped, not wrapped around
    assert panel[0, 7].tolist() == [224, 224, 192]  # void
    assert panel[1, 12].tolist() == [128, 0, 0]  # class 1


def test_durations():
    assert [format_duration(s) for s in (0.4, 59, 200, 18_720)] == [
        "0 s",
        "59 s",
        "3 min 20 s",
        "5 h 12 min",
    ]
