"""A disk that fills up in the middle of a run: one line, and the old checkpoints stay."""

import subprocess

import numpy as np
import pytest
import tensorflow as tf
from support.tiny_run import begin, make
from support.train_processes import start

from deeplab_tf.config import Head
from deeplab_tf.runs.checkpoints import checkpoint_steps

CHECKPOINT_MB = 3  # of the test's network with its momentum


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for two checkpoints and not for a third."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={int(2.5 * CHECKPOINT_MB)}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"a small file system needs root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_training_and_the_old_checkpoints_stay(small_disk, shapes_data):
    workdir = small_disk / "run"
    out, err = (process := start(shapes_data, workdir, head=Head.ASPP)).communicate(timeout=240)
    assert process.returncode == 1, out
    assert err.startswith("deeplab-train: error: no space left on the disk, writing ")
    assert err.count("\n") == 1
    assert checkpoint_steps(workdir) == [4, 8]
    assert not list((workdir / "checkpoints").glob("step-12*"))
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    out, err = (process := start(shapes_data, workdir, head=Head.ASPP)).communicate(timeout=240)
    assert process.returncode == 0, err
    assert "going on from step 8 of" in out
    assert checkpoint_steps(workdir) == [4, 8, 12]


def test_what_a_failed_writing_left_is_removed_and_the_others_are_as_they_were(
    tmp_path, monkeypatch
):
    """The test above, where no file system can be mounted."""
    begin(tmp_path)
    folder = tmp_path / "checkpoints"
    before = {path.name: path.read_bytes() for path in folder.glob("step-*")}
    model, optimizer, checkpoints = make(tmp_path)
    assert checkpoints.restore() == 20

    def half(manager, checkpoint_number, options):
        (folder / f"step-{checkpoint_number}_temp").mkdir()
        (folder / f"step-{checkpoint_number}_temp" / "part-0").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, f"{folder}; No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", half)
    optimizer.iterations.assign(30)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="No space left"):
        checkpoints.save()
    assert {path.name: path.read_bytes() for path in folder.glob("step-*")} == before
    monkeypatch.undo()
    checkpoints.save()
    assert checkpoint_steps(tmp_path) == [20, 30]
    assert np.isfinite(model.weights[0]).all()
