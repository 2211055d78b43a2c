"""Evaluation by Beam's local runner: one process' figures, and no figure of broken records."""

import json

import numpy as np
import pytest
from support.load_once import loaded_once, predictor_of  # noqa: F401, the fixture
from support.tiny_records import record, write_shard

pytest.importorskip("apache_beam")

from deeplab_tf.config import EvaluateConfig
from deeplab_tf.data.records import Records, SplitFiles, open_records
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.beam_evaluate import evaluate_by_beam
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.evaluation.write_results import RESULTS
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.files import encode_png
from deeplab_tf.inference.model_handler import Model

LOCAL = BeamRunner("DirectRunner")


def results(out):
    worst = {path.name: path.read_bytes() for path in (out / "report").glob("worst*")}
    return worst | {name: (out / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("kind", ["saved", "model.keras"])
def test_the_results_are_those_of_one_process(artefacts, data_dir, tmp_path, kind, capsys):
    evaluate_config = None if kind == "saved" else EvaluateConfig(scales=(0.5, 1.0), flip=True)
    for beam in (None, LOCAL):
        out = tmp_path / ("beam" if beam else "one")
        evaluate(artefacts / kind, data_dir, out, evaluate_config=evaluate_config, runner=beam)
    assert results(tmp_path / "beam") == results(tmp_path / "one")
    content = json.loads((tmp_path / "beam" / "eval.json").read_text())
    assert content["images"] == 5 and content["calibration"]["bins"] and content["objects"]
    said = capsys.readouterr().out.split("5 images of shapes/val")
    assert said[0] == said[1].partition("index.html\n")[2]  # the table
    # Five of five examples are in both reports.
    samples = [
        [*(tmp_path / name / "report").glob("sample*_input.png")] for name in ("one", "beam")
    ]
    assert len(samples[0]) == len(samples[1]) == 5
    assert not list((tmp_path / "beam").glob(".*"))


def test_samples_are_what_was_compared(artefacts, data_dir, tmp_path):
    records = open_records(data_dir, "shapes")
    evaluation = evaluate_by_beam(
        LOCAL, Model(artefacts / "saved"), records, records.split("val"), tmp_path
    )
    predictor = predictor_of(artefacts / "saved")
    assert [sample.name for sample in evaluation.samples] == [f"example{k}" for k in range(5)]
    for sample in evaluation.samples:
        expected = predictor.predict(sample.image[None])[0]
        np.testing.assert_array_equal(sample.labels, expected)
        assert sample.mask.shape == sample.image.shape[:2]


def test_broken_records_are_named_and_there_is_no_result(artefacts, tmp_path):
    image = encode_png(np.zeros((20, 30, 3), np.uint8))
    mask = np.zeros((20, 30), np.uint8)
    examples = [
        record("good", image),
        record("cut", image[:60]),
        record("label", image, mask + 9),
        record("size", image, mask[:10]),
    ]
    split = SplitFiles([write_shard(tmp_path / "records", *examples)], 4)
    records = Records(tmp_path, SHAPES, {"val": split}, {}, "f")
    out = tmp_path / "out"
    with pytest.raises(DeeplabError, match="cannot be evaluated on: ") as error:
        evaluate_by_beam(LOCAL, Model(artefacts / "saved"), records, split, out)
    said = str(error.value)
    assert f"cut in {tmp_path}/records: " in said and "good" not in said
    assert "example label: the truth has label 9 at row 0, column 0" in said
    assert "example size: truth and prediction must have one size. Received: 30x10" in said
    assert not out.exists()


def test_an_example_that_is_lost_is_no_result(artefacts, tmp_path):
    image = encode_png(np.zeros((20, 30, 3), np.uint8))
    split = SplitFiles([write_shard(tmp_path / "records", record("a", image))], 2)
    records = Records(tmp_path, SHAPES, {"val": split}, {}, "f")
    with pytest.raises(DeeplabError, match="must have 2 examples. Evaluated: 1"):
        evaluate_by_beam(LOCAL, Model(artefacts / "saved"), records, split, tmp_path / "out")
