"""Runs that are evaluated while they train: what they write, keep and say, and how they end."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from support.train_processes import all_metrics, metrics, small

from deeplab_tf.artefacts.best import Best, read_best, weight_files
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.curves import PICTURES, draw_curves
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.images.confusion import Scores
from deeplab_tf.inference.scorer import Scorer
from deeplab_tf.models import build_model
from deeplab_tf.paper.results import read_result
from deeplab_tf.prediction.job import model_digest
from deeplab_tf.runs.checkpoints import AVERAGED, checkpoint_prefix, checkpoint_steps, restore
from deeplab_tf.runs.run_log import RunLog
from deeplab_tf.training import resolve
from deeplab_tf.training import validation as validation_module
from deeplab_tf.training.held_out import HeldOut, Measured
from deeplab_tf.training.stages import train
from deeplab_tf.training.validation import Validator

EVALUATED = {
    **{"steps": 6, "evaluate_every": 2, "keep": "best", "log_every": 1},
    **{"checkpoint_every": 3, "keep_checkpoints": 10, "ema_momentum": 0.5},
}


class CrashError(Exception):
    pass


def silent(_line):
    pass


def validations(workdir):
    return json.loads((workdir / "validation.json").read_text())["validations"]


def timeless(rows):
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


def check_same_runs(one, other):
    """Asserts that two workdirs have the same history, log and final weights, bit for bit."""
    assert validations(one) == validations(other)
    assert timeless(all_metrics(one)) == timeless(all_metrics(other))
    for name in ("model.keras", "best.keras"):
        a, b = (load_model(workdir / name).model.get_weights() for workdir in (one, other))
        for left, right in zip(a, b, strict=True):
            assert left.tobytes() == right.tobytes()
    assert read_best(one / "best.keras") == read_best(other / "best.keras")


@pytest.fixture(scope="module")
def evaluated(shapes_data, tmp_path_factory):
    """A whole run that is evaluated three times, its lines and its result."""
    workdir, lines = tmp_path_factory.mktemp("evaluated") / "run", []
    result = train(small(**EVALUATED), shapes_data, workdir, report=lines.append)
    return workdir, lines, result


def test_every_evaluation_is_in_the_history_the_log_and_tensorboard(evaluated):
    workdir, lines, _ = evaluated
    history = validations(workdir)
    assert [row["step"] for row in history] == [2, 4, 6]
    assert list(history[0]["iou"]) == ["background", "circle", "square", "triangle", "star", "ring"]
    found = [row["iou"].values() for row in history]
    means = [np.mean([iou for iou in values if iou is not None]) for values in found]
    np.testing.assert_allclose([row["mean_iou"] for row in history], means, rtol=1e-12)
    rows = all_metrics(workdir)
    order = [(row["step"], "val_loss" in row) for row in rows]
    steps = [(step, evaluation) for step in range(1, 7) for evaluation in (False, True)]
    assert order == [(step, late) for step, late in steps if not late or step % 2 == 0]
    logged = [(row["val_mean_iou"], row["val_loss"]) for row in rows if "val_loss" in row]
    assert logged == [(row["mean_iou"], row["loss"]) for row in history]
    (events,) = (workdir / "tensorboard").iterdir()
    scalars = {"val_mean_iou": [], "val_loss": []}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.tag in scalars:
                scalars[value.tag].append((event.step, float(tf.make_ndarray(value.tensor))))
    assert [step for step, _ in scalars["val_loss"]] == [2, 4, 6]
    assert scalars["val_mean_iou"] == [
        (row["step"], pytest.approx(row["mean_iou"], rel=1e-6)) for row in history
    ]
    said = [line for line in lines if "mean IoU" in line and line.startswith("step ")]
    expected = [
        f"step {row['step']}/6  mean IoU {100 * row['mean_iou']:.2f} on val  loss {row['loss']:.4f}"
        for row in history
    ]
    assert [line.partition("  4 images in ")[0] for line in said] == expected
    assert said[0].endswith("(the best so far)")


def test_evaluations_have_checkpoints_and_the_weights_that_are_exported(evaluated):
    """The average of the weights at the best step, as its checkpoint has it."""
    workdir, _, result = evaluated
    assert checkpoint_steps(workdir) == [2, 3, 4, 6]
    best = max(validations(workdir), key=lambda row: row["mean_iou"])
    assert result.kept == Best(best["step"], best["mean_iou"], "val")
    assert read_best(workdir / "best.keras") == result.kept
    kept = load_model(workdir / "best.keras")
    network = build_model(kept.experiment.model)
    checkpoint = tf.train.Checkpoint(**{AVERAGED: network.weights})
    restore(checkpoint, checkpoint_prefix(workdir, best["step"]))
    for a, b in zip(kept.model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert (workdir / "model.keras").read_bytes() == (workdir / "best.keras").read_bytes()


def test_the_last_lines_say_the_cost_and_the_best(evaluated):
    workdir, lines, result = evaluated
    assert lines[-2].startswith("validation took ")
    assert "% of the run (3 evaluations of 4 images, " in lines[-2]
    best = f"step {result.kept.step}, mean IoU {100 * result.kept.mean_iou:.2f} on val"
    assert lines[-1] == f"done: {workdir / 'model.keras'} (best: {best})"
    assert (result.step, result.stopped_by) == (6, None)


def test_deeplab_eval_of_the_workdir_has_the_figures_of_the_best(evaluated, shapes_data, tmp_path):
    workdir, _, result = evaluated
    lines = []
    found = evaluate(workdir, shapes_data, tmp_path, report=lines.append)
    assert found.scores.mean_iou == result.kept.mean_iou
    assert lines[0] == f"the best weights of {workdir}: {result.kept}"
    figures = json.loads((tmp_path / "eval.json").read_text())
    assert (figures["step"], figures["finished"]) == (result.kept.step, True)
    (tmp_path / "eval.json").write_text(json.dumps(figures | {"step": 2}))
    assert not read_result(tmp_path / "eval.json").unfinished
    (tmp_path / "eval.json").write_text(json.dumps(figures | {"finished": False, "step": 2}))
    assert read_result(tmp_path / "eval.json").unfinished
    assert draw_curves(workdir / "metrics.jsonl", tmp_path) == [*PICTURES]


def test_the_best_weights_are_those_that_a_job_is_held_to(evaluated, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated[0], workdir)
    assert weight_files(workdir) == [workdir / "best.keras"]
    before = model_digest(workdir)
    (workdir / "checkpoints" / "step-6.index").unlink()
    assert model_digest(workdir) == before
    (workdir / "best.keras").unlink()
    files = {path.name for path in weight_files(workdir)}
    assert files == {"step-4.index", "step-4.data-00000-of-00001"}
    assert model_digest(workdir) != before
    lines = []
    assert load_model(workdir, lines.append).step == 4
    assert lines == [f"the last checkpoint of {workdir}, step 4: there is no best.keras"]


def test_best_weights_of_others_are_one_line(evaluated, tmp_path):
    shutil.copytree(evaluated[0], tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "run" / "best.keras").write_bytes(b"no zip")
    with pytest.raises(DeeplabError, match="does not say what its weights were the best of"):
        load_model(tmp_path / "run")


def test_a_finished_run_is_not_evaluated_again(evaluated, shapes_data, monkeypatch):
    workdir, _, result = evaluated
    names = ("validation.json", "metrics.jsonl", "best.keras", "model.keras")
    before = [(workdir / name).read_bytes() for name in names]
    monkeypatch.setattr(HeldOut, "measure", None)
    again = train(small(**EVALUATED), shapes_data, workdir, report=silent)
    assert (again.step, again.kept) == (6, result.kept)
    assert [(workdir / name).read_bytes() for name in names] == before


def test_a_run_that_is_disturbed_at_every_place_of_an_evaluation_is_the_undisturbed_one(
    evaluated, shapes_data, tmp_path, monkeypatch
):
    """A signal while images are scored ends soon; then come kills after each thing written."""
    scored, score = [], Scorer.__call__

    def stopping(scorer, image, mask):
        scored.append(image)
        if len(scored) == 1:
            signal.raise_signal(signal.SIGTERM)
        return score(scorer, image, mask)

    def crash(*_arguments):
        raise CrashError

    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "__call__", stopping)
        result = train(small(**EVALUATED), shapes_data, workdir, report=silent)
    assert (result.step, result.stopped_by) == (2, signal.SIGTERM)
    assert len(scored) < 4 and checkpoint_steps(workdir) == [2]
    for owner, name, left in [
        (validation_module, "save_model", []),
        (validation_module, "write_validations", ["best.keras"]),
        (RunLog, "write_validation", ["best.keras", "validation.json"]),
    ]:
        with monkeypatch.context() as patch, pytest.raises(CrashError):
            patch.setattr(owner, name, crash)
            train(small(**EVALUATED), shapes_data, workdir, report=silent)
        assert checkpoint_steps(workdir) == [2]
        files = [name for name in ("best.keras", "validation.json") if (workdir / name).exists()]
        assert files == left
    train(small(**EVALUATED), shapes_data, workdir, report=silent)
    check_same_runs(evaluated[0], workdir)


MATRIX = np.ones((6, 6), np.int64)


@pytest.fixture
def curve(monkeypatch):
    """A function that gives the evaluations of each step the mean IoU of a hand-made curve."""

    def follow(mious):
        def measure(_held_out, _stopped):
            return Measured(Scores.from_matrix(MATRIX), 1.0), 0

        def add(validator, step, measured, *rest):
            scores = dataclasses.replace(measured.scores, mean_iou=mious[step - 1])
            really_add(validator, step, dataclasses.replace(measured, scores=scores), *rest)

        really_add = Validator._add
        monkeypatch.setattr(HeldOut, "measure", measure)
        monkeypatch.setattr(Validator, "_add", add)

    return follow


def test_patience_ends_the_run_and_the_same_command_does_not_go_on(shapes_data, tmp_path, curve):
    curve([0.3, 0.5, 0.4, 0.5, 0.6, 0.7])
    experiment = small(steps=9, evaluate_every=1, patience=2, keep="best", log_every=1)
    lines = []
    result = train(experiment, shapes_data, tmp_path, report=lines.append)
    assert (result.step, result.stopped_by, result.kept) == (4, None, Best(2, 0.5, "val"))
    why = "2 evaluations without a higher mean IoU than 50.00 at step 2 (train.patience)"
    assert f"ended after step 4 of 9: {why}" in lines
    assert lines[-1].endswith("model.keras (best: step 2, mean IoU 50.00 on val)")
    # The schedule is that of nine steps.
    rates = [row["learning_rate"] for row in metrics(tmp_path)]
    base = experiment.train.base_learning_rate
    np.testing.assert_allclose(rates, [base * (1 - s / 9) ** 0.9 for s in range(4)], rtol=1e-5)
    again = train(experiment, shapes_data, tmp_path, report=lines.append)
    assert again == result and len(validations(tmp_path)) == 4
    assert lines[-1] == f"done: {tmp_path / 'model.keras'} (best: step 2, mean IoU 50.00 on val)"
    assert f"ended after step 4 of 9: {why}" in lines[-3:]
    (tmp_path / "best.keras").unlink()
    assert train(experiment, shapes_data, tmp_path, report=lines.append).kept is None
    gone = f"note: {tmp_path / 'best.keras'} is gone, so the weights of the last step are taken"
    assert gone in lines
    last, checkpoint = (load_model(path, silent) for path in (tmp_path / "model.keras", tmp_path))
    for a, b in zip(last.model.weights, checkpoint.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    experiment.train.patience = 5
    with pytest.raises(DeeplabError, match=r"holds a run with train.patience=2 \(received 5\)"):
        train(experiment, shapes_data, tmp_path, report=silent)


def test_the_last_weights_are_kept_by_default_and_the_best_is_said(
    shapes_data, tmp_path, curve, monkeypatch
):
    curve([0.3, 0.5, 0.4])
    lines = []
    workdir = tmp_path / "run"
    result = train(small(steps=3, evaluate_every=1), shapes_data, workdir, report=lines.append)
    assert result.kept is None and not (workdir / "best.keras").exists()
    ending = " (step 3, mean IoU 40.00 on val; best: 50.00 at step 2, not kept)"
    assert lines[-1] == f"done: {workdir / 'model.keras'}{ending}"
    assert load_model(workdir, lines.append).step == 3 and lines[-1].startswith("done: ")
    # Another interval changes no weight, and what was evaluated stays in the log.
    train(small(steps=3, evaluate_every=0), shapes_data, workdir, report=silent)
    # A data set without the split is trained on all the same.
    records = open_records(shapes_data, "shapes")
    without = dataclasses.replace(records, splits={"train": records.splits["train"]})
    monkeypatch.setattr(resolve, "open_records", lambda *_: without)
    result = train(small(steps=3, evaluate_every=1), shapes_data, workdir, report=lines.append)
    assert result.step == 3 and lines[-1] == f"done: {workdir / 'model.keras'}"
    assert sum(line.startswith("note: the run is not evaluated while") for line in lines) == 1
    assert [row["step"] for row in all_metrics(workdir) if "val_loss" in row] == [1, 2, 3]


def test_figures_of_another_evaluation_are_not_in_one_history(shapes_data, tmp_path, curve):
    """The weights at the end are the last, so a run may go on with another evaluation."""
    curve([0.3, 0.5, 0.4])
    experiment, lines = small(steps=3, evaluate_every=1), []
    train(experiment, shapes_data, tmp_path, report=silent)
    experiment.evaluate.scales = (0.5, 1.0)
    for notes in (1, 1):  # the second time there is nothing new to say
        train(experiment, shapes_data, tmp_path, report=lines.append)
        said = [line for line in lines if line.startswith("note: the run is evaluated otherwise")]
        assert len(said) == notes and "(scales=[0.5, 1.0] instead of [1.0])" in said[0]
        assert [row["step"] for row in validations(tmp_path)] == [3]
        assert [row["step"] for row in all_metrics(tmp_path) if "val_loss" in row] == [3]
    assert lines[-1].endswith("(best: step 3, mean IoU 40.00 on val)")


def test_the_best_weights_outlive_their_history(shapes_data, tmp_path, curve):
    """A history that was damaged and removed; the run goes on from step 3."""
    curve([0.3, 0.5, 0.4, 0.45])
    experiment, lines = small(steps=4, evaluate_every=1, keep="best", keep_checkpoints=9), []
    train(experiment, shapes_data, tmp_path, report=silent)
    best = (tmp_path / "best.keras").read_bytes()
    for name in ("validation.json", "model.keras", "checkpoints/step-4.index"):
        (tmp_path / name).unlink()
    result = train(experiment, shapes_data, tmp_path, report=lines.append)
    assert [row["step"] for row in validations(tmp_path)] == [3, 4]
    assert result.kept == Best(2, 0.5, "val")
    assert (tmp_path / "best.keras").read_bytes() == best == (tmp_path / "model.keras").read_bytes()
    lacking = "lacks the evaluation of the best weights (step 2, mean IoU 50.00 on val)"
    assert sum(lacking in line for line in lines) == 1
    assert sum(line.endswith("(best 50.00 at step 2)") for line in lines) == 2
    assert lines[-1].endswith("(best: step 2, mean IoU 50.00 on val)")


def test_a_run_that_begins_anew_is_not_judged_by_the_one_before(evaluated, shapes_data, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated[0], workdir, ignore=shutil.ignore_patterns("checkpoints"))

    def crash_at_the_first_step(line):
        if line.startswith("first batch"):
            raise CrashError

    with pytest.raises(CrashError):
        train(small(steps=1), shapes_data, workdir, report=crash_at_the_first_step)
    assert not (workdir / "best.keras").exists() and not (workdir / "validation.json").exists()


def test_the_split_is_looked_at_before_the_first_step(shapes_data, tmp_path):
    experiment = small(evaluate_every=1)
    experiment.evaluate.split = "train"
    with pytest.raises(DeeplabError, match="Received: train, the split that is trained on"):
        train(experiment, shapes_data, tmp_path / "run", report=silent)
    assert not (tmp_path / "run").exists()
