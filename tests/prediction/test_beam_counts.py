"""What a runner of Beam loses or does twice is noticed by the counts of a job."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image
from support.tiny_voc import write_voc

pytest.importorskip("apache_beam")

from deeplab_tf.data import write_records as writing
from deeplab_tf.data.records import SplitFiles
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.inference.model_handler import Model
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction import beam_predict
from deeplab_tf.prediction.beam_predict import ImageFiles, Outputs, RecordImages, predict_by_beam

LOCAL = BeamRunner("DirectRunner")


def counts(predicted: int, there_before: int = 0, failed: int = 0, **more: int) -> dict[str, int]:
    found = {"predicted": predicted, "there_before": there_before, "failed": failed}
    return {**found, "listed": 3, "cut_short": 0, **more}


@dataclasses.dataclass(frozen=True)
class RedIsTheLabel(Model):
    """A model that stands for a network."""

    def load(self) -> Predictor:
        return Predictor(SHAPES, lambda images: images[..., 0] % SHAPES.num_classes)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_job_that_lost_an_image_ends_with_an_error(images, tmp_path, monkeypatch):
    read = beam_predict._read_counts
    monkeypatch.setattr(beam_predict, "_read_counts", lambda path: {**read(path), "predicted": 2})
    (tmp_path / "model").touch()
    model, inputs, out = RedIsTheLabel(tmp_path / "model"), ImageFiles(str(images)), tmp_path / "o"
    with pytest.raises(
        DeeplabError, match="^3 images must be predicted, be there before or fail"
    ) as e:
        predict_by_beam(LOCAL, model, inputs, out, report=lambda line: None)
    assert "from the runner: 2 predicted, 0 there before, 0 failed; the runner lost" in str(e.value)


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (counts(2, 1), True),
        (counts(1, 1, 1), True),
        (counts(2), False),
        (counts(2, 2), False),
        (counts(1, 0, 1), False),
        (counts(4, listed=4), True),  # a file came before the workers listed them
        (counts(3, listed=4), False),
    ],
)
def test_the_counts_of_files_must_be_their_number(images, tmp_path, found, fits):
    inputs = ImageFiles(str(images))
    before = inputs.count(tmp_path / "out")
    Image.new("RGB", (9, 9)).save(images / "late.png")
    if fits:
        inputs.check_counts(found, before)
        return
    with pytest.raises(DeeplabError, match="the runner lost or doubled some"):
        inputs.check_counts(found, before)


def test_workers_that_do_not_see_all_files_are_noticed(images, tmp_path):
    inputs = ImageFiles(str(images))
    with pytest.raises(DeeplabError, match="must see the 3 images .* at the start. Listed: 2;"):
        inputs.check_counts(counts(2, listed=2), inputs.count(tmp_path / "out"))


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        (counts(2, 1), True),
        (counts(1, 0, 1, cut_short=1), True),  # the rest of a corrupt file is one failure
        (counts(1, 0, 1), False),
        (counts(1, 1, 1), True),
        (counts(3, 1, 1, cut_short=1), False),
        (counts(2), False),
        (counts(3, 1), False),
        (counts(3, 0, 1), False),
    ],
)
def test_the_counts_of_records_must_be_their_number(tmp_path, found, fits):
    inputs = RecordImages("own/val", SplitFiles([], 3), "f")
    if fits:
        inputs.check_counts(found, inputs.count(tmp_path))
        return
    with pytest.raises(DeeplabError, match="the runner lost or doubled some"):
        inputs.check_counts(found, inputs.count(tmp_path))


def test_what_an_earlier_try_of_the_same_job_wrote_is_told_apart(tmp_path):
    begun = 5_000_000_000
    outputs = Outputs(tmp_path, ("labels", "confidence"), begun)
    assert outputs.are_there("a", is_geo=False) is None
    for name in ("a.png", "a_confidence.png"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(begun - 1, begun - 1))
    assert outputs.are_there("a", is_geo=False) == beam_predict.THERE
    os.utime(tmp_path / "a_confidence.png", ns=(begun, begun))  # one was missing before the job
    assert outputs.are_there("a", is_geo=False) == beam_predict.AGAIN


def test_a_runner_that_loses_an_example_writes_no_records(tmp_path, monkeypatch):
    examples = writing._beam_examples
    monkeypatch.setattr(
        writing,
        "_beam_examples",
        lambda split, pairs, encode, store: examples(split, pairs[1:], encode, store),
    )
    source = voc_source(write_voc(tmp_path, train=["a", "b", "c"]))
    with pytest.raises(DeeplabError, match="split train must have the examples of 3 images. Wri"):
        writing.write_records(source, tmp_path / "data", runner=LOCAL)
    assert not list((tmp_path / "data" / "voc").glob("1*"))
