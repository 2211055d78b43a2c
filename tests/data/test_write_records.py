"""Records by one process, several, or Beam: the same. Killed at any time: all or nothing."""

import os
import random
import signal
import time

import pytest
import tensorflow as tf
from support.commands import Command
from support.tiny_voc import write_voc

from deeplab_tf import parallel
from deeplab_tf.data.records import open_records, parse_encoded
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records, written_before
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError

IDS = [f"{number:03d}" for number in range(2 * parallel.FEW)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return voc_source(write_voc(tmp_path_factory.mktemp("voc"), train=IDS[4:], val=IDS[:4]))


def content(data_dir):
    """What `data_dir` holds: the examples of each split in their order, and all that describes it.

    Not the bytes of the files: the features of an example have no order, and processes differ.
    """
    records = open_records(data_dir, "voc")
    examples = {
        name: [
            {key: value.numpy() for key, value in parse_encoded(record).items()}
            for record in tf.data.TFRecordDataset(split.files)
        ]
        for name, split in records.splits.items()
    }
    files = sorted(str(path.relative_to(data_dir)) for path in data_dir.rglob("*.*"))
    return files, examples, records.classes, records.pixels, records.fingerprint


@pytest.fixture(scope="module")
def by_one_process(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    write_records(source, folder, workers=1)
    return content(folder)


def test_several_processes_write_the_same_records(source, by_one_process, tmp_path):
    write_records(source, tmp_path, workers=3)
    assert content(tmp_path) == by_one_process


def test_beam_writes_the_same_records(source, by_one_process, tmp_path):
    pytest.importorskip("apache_beam")
    write_records(source, tmp_path, runner=BeamRunner("DirectRunner"))
    assert content(tmp_path) == by_one_process


def test_an_unknown_beam_runner_is_named(source, tmp_path):
    pytest.importorskip("apache_beam")
    with pytest.raises(DeeplabError, match="--runner=Nobody must be a runner of Beam"):
        write_records(source, tmp_path / "data", runner=BeamRunner("Nobody"))
    assert not (tmp_path / "data").exists()


def test_written_before_means_from_the_same_files(tmp_path):
    folder = write_voc(tmp_path, train=["a", "b"])
    source = voc_source(folder)
    assert written_before(source, tmp_path / "data") is None
    records, _ = write_records(source, tmp_path / "data")
    assert written_before(source, tmp_path / "data") == records
    (folder / "JPEGImages" / "a.jpg").unlink()
    assert written_before(source, tmp_path / "data") is None


BUILD = """
import os, pathlib, sys
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
if __name__ == "__main__":
    source = voc_source(sys.argv[1])
    os.setsid()
    pathlib.Path(sys.argv[3]).touch()
    write_records(source, sys.argv[2], workers=2)
"""


def test_a_build_that_is_killed_leaves_all_or_nothing_and_no_process(
    source, by_one_process, tmp_path
):
    """Killed at random moments; what is left opens whole or not at all, and the next cleans up."""
    pair = source.splits["val"][0]
    voc = pair.image.parent.parent
    moments = random.Random(0)
    killed = 0
    for number in range(3):
        data, begun = tmp_path / str(number), tmp_path / f"{number} begins"
        build = Command("-c", BUILD, voc, data, begun)
        assert wait_until(begun.exists)
        time.sleep(moments.uniform(0, 0.8))
        build.kill()
        killed += build.wait() == -signal.SIGKILL
        assert wait_until(lambda group=build.pid: not group_lives(group))
        try:
            left = content(data)
        except DeeplabError as error:
            assert "does not exist" in str(error) or "has no data set" in str(error)
        else:
            assert left[1:] == by_one_process[1:]
        write_records(source, data, workers=1)
        assert content(data) == by_one_process
    assert killed >= 2


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


HELD = """
import pathlib, sys, time
from deeplab_tf.data import write_records as writing
from deeplab_tf.data.sources.voc import voc_source
def slow(*_, **__):
    pathlib.Path(sys.argv[3]).touch()
    time.sleep(100)
writing.encode_examples = slow
writing.write_records(voc_source(sys.argv[1]), sys.argv[2], workers=1)
"""


def test_one_at_a_time_writes_a_data_set(tmp_path):
    folder = write_voc(tmp_path, train=["a"])
    build = Command("-c", HELD, folder, tmp_path / "data", tmp_path / "here")
    assert wait_until((tmp_path / "here").exists)
    with pytest.raises(DeeplabError, match="being written by another deeplab-prepare"):
        write_records(voc_source(folder), tmp_path / "data")
    build.kill()
    build.wait()
    write_records(voc_source(folder), tmp_path / "data")
    assert os.listdir(tmp_path / "data" / "voc") == ["1.0.0"]
