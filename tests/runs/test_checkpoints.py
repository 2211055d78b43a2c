"""Checkpoints: rotation, exact return, and what a workdir refuses."""

import dataclasses
import shutil

import numpy as np
import pytest
from support.tiny_run import EXPERIMENT, RECORDS, begin, make

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import TrainConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import CAMVID, SHAPES
from deeplab_tf.runs import checkpoints as checkpoints_module
from deeplab_tf.runs.checkpoints import Checkpoints, checkpoint_steps
from deeplab_tf.training.continuation import check_workdir, describe_workdir


def test_rotation_and_exact_return(tmp_path):
    model, optimizer, checkpoints = make(tmp_path)
    for step in (10, 20, 30):
        optimizer.iterations.assign(step)
        model.get_layer("logits").kernel.assign_add(np.ones_like(model.get_layer("logits").kernel))
        optimizer.momentums[0].assign_add(np.ones_like(optimizer.momentums[0]))
        checkpoints.save()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == ["step-20.index", "step-30.index"]

    other, other_optimizer, other_checkpoints = make(tmp_path)
    assert other_checkpoints.restore() == 30
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(optimizer.momentums[0], other_optimizer.momentums[0])


def test_an_empty_workdir_begins_at_step_0(tmp_path):
    assert make(tmp_path)[2].restore() == 0


def test_another_architecture_is_refused_in_one_line(tmp_path):
    _, _, checkpoints = make(tmp_path)
    checkpoints.save()
    wider = dataclasses.replace(EXPERIMENT.model, num_classes=7)
    with pytest.raises(DeeplabError, match="does not fit the model") as error:
        make(tmp_path, dataclasses.replace(EXPERIMENT, model=wider))[2].restore()
    assert "\n" not in str(error.value)


def test_after_deleting_a_damaged_checkpoint_the_one_before_is_gone_on_with(tmp_path):
    begin(tmp_path)
    for file in (tmp_path / "checkpoints").glob("step-20.*"):
        file.unlink()
    _, optimizer, checkpoints = make(tmp_path)
    assert checkpoints.restore() == 10
    assert load_model(tmp_path).experiment == EXPERIMENT
    for step in (30, 40):  # the rotation counts what is there
        optimizer.iterations.assign(step)
        checkpoints.save()
    assert checkpoint_steps(tmp_path) == [30, 40]


@pytest.mark.parametrize("content", ["", "garbage {"])
def test_a_damaged_state_file_costs_nothing(tmp_path, content):
    begin(tmp_path)
    (tmp_path / "checkpoints" / "checkpoint").write_text(content)
    assert make(tmp_path)[2].restore() == 20
    assert load_model(tmp_path).classes == SHAPES


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda index, data: cut(index, 0), "its index is cut off or damaged"),
        (lambda index, data: cut(index, 1000), "its index is cut off or damaged"),
        (lambda index, data: cut(index, -1), "its index is cut off or damaged"),
        (lambda index, data: flip(index, 500), "its index is cut off or damaged"),
        (lambda index, data: cut(data, 0), "its data is cut off at 0 bytes"),
        (lambda index, data: cut(data, 1000), "its data is cut off at 1,000 bytes"),
        (lambda index, data: cut(data, -1), "its data is cut off at "),
        (lambda index, data: data.unlink(), "1 of its 1 data files is missing"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_named_and_the_one_before_used(
    tmp_path, capsys, damage, said
):
    begin(tmp_path)
    folder = tmp_path / "checkpoints"
    damage(folder / "step-20.index", folder / "step-20.data-00000-of-00001")
    note = f"note: checkpoint {folder}/step-20 is not whole: {said}"
    lines = []
    assert load_model(tmp_path, lines.append).step == 10
    (line,) = lines
    assert line.startswith(note) and line.endswith("; the checkpoint of step 10 is used")
    assert capsys.readouterr() == ("", "")
    assert len(list(folder.glob("step-20.index"))) == 1  # who only reads removes nothing
    _, optimizer, checkpoints = make(tmp_path)
    assert checkpoints.restore() == 10
    assert int(optimizer.iterations) == 10
    out = capsys.readouterr().out
    assert out.count(note) == 1 and "; removed" in out
    assert not list(folder.glob("step-20*"))
    for step in (20, 30):  # the rotation counts what is there
        optimizer.iterations.assign(step)
        checkpoints.save()
    assert checkpoint_steps(tmp_path) == [20, 30]


def test_a_checkpoint_whose_numbers_fail_their_checksums_is_named_and_removed(tmp_path, capsys):
    begin(tmp_path)
    flip(tmp_path / "checkpoints" / "step-20.data-00000-of-00001", 100_000)
    _, optimizer, checkpoints = make(tmp_path)
    assert checkpoints.restore() == 10
    assert int(optimizer.iterations) == 10
    assert "step-20 is not whole: its data fails the checksum; removed" in capsys.readouterr().out
    assert checkpoint_steps(tmp_path) == [10]


def test_a_process_that_does_not_write_reports_broken_checkpoints_and_keeps_them(tmp_path, capsys):
    begin(tmp_path)
    flip(tmp_path / "checkpoints" / "step-20.data-00000-of-00001", 100_000)
    before = sorted((tmp_path / "checkpoints").iterdir())
    model, optimizer, _ = make(tmp_path)
    reader = Checkpoints(tmp_path, model, optimizer, 2, writes=False)
    assert reader.restore() == 10
    assert "step-20 is not whole: its data fails the checksum\n" in capsys.readouterr().out
    optimizer.iterations.assign(30)
    reader.save()
    assert sorted((tmp_path / "checkpoints").iterdir()) == before


def test_numbers_that_all_fail_their_checksums_are_refused(tmp_path):
    begin(tmp_path)
    for data in (tmp_path / "checkpoints").glob("*.data-*"):
        flip(data, 100_000)
    with pytest.raises(DeeplabError, match="step-10 does not fit .* or is damaged"):
        make(tmp_path)[2].restore()


def test_several_damaged_checkpoints_are_not_begun_anew_in_silence(tmp_path):
    begin(tmp_path)
    for index in (tmp_path / "checkpoints").glob("*.index"):
        index.write_bytes(b"")
    with pytest.raises(DeeplabError, match="all 2 checkpoints in .* are damaged"):
        check_workdir(tmp_path, EXPERIMENT, RECORDS)


def test_a_checkpoint_is_on_the_disk_before_the_state_file_names_it_and_one_is_deleted(
    tmp_path, monkeypatch
):
    begin(tmp_path)
    folder = tmp_path / "checkpoints"
    flushed = []

    def flush(path):
        state = (folder / "checkpoint").read_text()
        flushed.append((path.name, "step-30" in state, (folder / "step-10.index").exists()))

    monkeypatch.setattr(checkpoints_module, "flush", flush)
    _, optimizer, checkpoints = make(tmp_path)
    optimizer.iterations.assign(30)
    checkpoints.save()
    assert sorted(flushed[:2]) == [
        ("step-30.data-00000-of-00001", False, True),
        ("step-30.index", False, True),
    ]
    assert flushed[2:] == [("checkpoints", False, True)]
    assert checkpoint_steps(tmp_path) == [20, 30]
    assert "step-30" in (folder / "checkpoint").read_text()
    optimizer.iterations.assign(40)
    checkpoints.save()  # and each later one alike
    assert [name for name, *_ in flushed[5:]] == ["checkpoints"] and len(flushed) == 6


class Rotation:
    """A training with keep_checkpoints=1, which takes its next step while another reads."""

    def __init__(self, workdir, monkeypatch, name):
        begin(workdir, steps=(10,))
        _, self._optimizer, self._checkpoints = make(workdir, keep=1)
        self._checkpoints.restore()
        self.steps = [20]
        original = getattr(checkpoints_module, name)

        def in_the_middle(*arguments):
            if self.steps:
                self._optimizer.iterations.assign(self.steps.pop(0))
                self._checkpoints.save()
            return original(*arguments)

        monkeypatch.setattr(checkpoints_module, name, in_the_middle)


@pytest.mark.parametrize("name", ["checkpoint_damage", "restore"])
def test_a_checkpoint_that_is_deleted_while_it_is_read_makes_way_for_the_newer_one(
    tmp_path, monkeypatch, capsys, name
):
    rotation = Rotation(tmp_path, monkeypatch, name)
    assert load_model(tmp_path).step == 20
    assert rotation.steps == [] and checkpoint_steps(tmp_path) == [20]
    assert capsys.readouterr().err == ""  # a deleted checkpoint is not called damaged


def test_checkpoints_that_are_all_deleted_while_they_are_read_are_no_random_weights(
    tmp_path, monkeypatch
):
    begin(tmp_path, steps=(10,))

    def deleted(*arguments):
        shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
        return restore(*arguments)

    restore = checkpoints_module.restore
    monkeypatch.setattr(checkpoints_module, "restore", deleted)
    with pytest.raises(DeeplabError, match="has no checkpoint yet"):
        load_model(tmp_path)


def test_what_a_killed_or_failed_writing_left_is_removed(tmp_path):
    begin(tmp_path)
    whole = sorted((tmp_path / "checkpoints").iterdir())
    (tmp_path / "checkpoints" / "step-30.index.tempstate123").write_bytes(b"half")
    part = tmp_path / "checkpoints" / "step-30_temp" / "part-00000-of-00001.data.tempstate45"
    part.parent.mkdir()
    part.write_bytes(b"half")
    make(tmp_path)
    assert sorted((tmp_path / "checkpoints").iterdir()) == whole


def test_a_described_workdir_loads_again(tmp_path):
    begin(tmp_path / "run", steps=(0,))
    trained = load_model(tmp_path / "run")
    assert trained.experiment == EXPERIMENT
    assert trained.classes == SHAPES


def test_another_run_is_refused_by_what_differs(tmp_path):
    begin(tmp_path)
    other = dataclasses.replace(EXPERIMENT, train=TrainConfig(batch_size=8))
    with pytest.raises(DeeplabError, match=r"train.batch_size=16 \(received 8\)"):
        check_workdir(tmp_path, other, RECORDS)
    with pytest.raises(DeeplabError, match=r"init_from=None \(received w.keras\)"):
        check_workdir(tmp_path, dataclasses.replace(EXPERIMENT, init_from="w.keras"), RECORDS)
    with pytest.raises(DeeplabError, match="other classes"):
        check_workdir(tmp_path, EXPERIMENT, dataclasses.replace(RECORDS, classes=CAMVID))
    with pytest.raises(DeeplabError, match="other images or masks than data/shapes has now"):
        check_workdir(tmp_path, EXPERIMENT, dataclasses.replace(RECORDS, fingerprint="b"))


def test_a_run_without_a_checkpoint_may_begin_anew(tmp_path):
    describe_workdir(tmp_path, EXPERIMENT, RECORDS)
    check_workdir(
        tmp_path, dataclasses.replace(EXPERIMENT, train=TrainConfig(batch_size=8)), RECORDS
    )


def test_the_pace_of_logging_may_change(tmp_path):
    begin(tmp_path)
    paced = dataclasses.replace(EXPERIMENT, train=TrainConfig(log_every=1, checkpoint_every=7))
    check_workdir(tmp_path, paced, RECORDS)


@pytest.mark.parametrize("file", ["config.json", "data.json"])
def test_a_damaged_description_is_named(tmp_path, file):
    begin(tmp_path)
    (tmp_path / file).write_text('{"model": ')
    with pytest.raises(DeeplabError, match=file):
        load_model(tmp_path)
    with pytest.raises(DeeplabError, match=file):
        check_workdir(tmp_path, EXPERIMENT, RECORDS)
