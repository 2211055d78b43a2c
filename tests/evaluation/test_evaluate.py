import csv
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from support.random_model import shared_model

from deeplab_tf.artefacts.trained_model import save_model
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation import evaluate_split as evaluate_module
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.evaluation.score import score_folders
from deeplab_tf.evaluation.write_results import figures, write_results
from deeplab_tf.images.classes import CAMVID, SHAPES, VOID, check_same_classes
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.inference.predictor import load_predictor, trained_predictor
from deeplab_tf.inference.strategies import images_to_probabilities
from deeplab_tf.prediction.inputs import find_images
from deeplab_tf.prediction.predict_images import predict_images


@pytest.fixture(scope="module")
def trained():
    return shared_model()


@pytest.fixture(scope="module")
def predictor(trained):
    return trained_predictor(trained, EvaluateConfig())


@pytest.fixture(scope="module")
def evaluation(predictor, data_dir):
    return evaluate_split(predictor, open_records(data_dir, "shapes"), "val")


def test_matrix_is_that_of_the_files_one_by_one(trained, evaluation, raw_folder):
    expected = np.zeros((6, 6), np.int64)
    for path in sorted((raw_folder / "images").iterdir()):
        with Image.open(path) as image:
            logits = trained.model(np.asarray(image)[None]).numpy()[0]
        with Image.open(raw_folder / "masks" / f"{path.stem}.png") as mask:
            expected += confusion_matrix(np.asarray(mask), logits.argmax(-1), 6)
    np.testing.assert_array_equal(evaluation.matrix, expected)
    assert evaluation.images == 5
    assert evaluation.matrix.dtype == np.int64
    assert np.count_nonzero(evaluation.matrix) > 6  # not a trivial matrix


@pytest.mark.parametrize(
    "evaluate_config",
    [EvaluateConfig(), EvaluateConfig(output_stride=8, scales=(0.5, 1.0), flip=True)],
)
def test_predicted_files_score_exactly_the_same(
    trained, evaluate_config, data_dir, raw_folder, tmp_path
):
    records = open_records(data_dir, "shapes")
    matrix = evaluate_split(
        trained_predictor(trained, evaluate_config), records, evaluate_config.split
    ).matrix
    save_model(trained, tmp_path / "model.keras")
    inference = dataclasses.asdict(evaluate_config)
    del inference["split"]
    predictor = load_predictor(tmp_path / "model.keras", **inference)
    assert predict_images(predictor, find_images(f"{raw_folder}/images"), tmp_path / "out") == []
    scored, images, *_ = score_folders(tmp_path / "out", raw_folder / "masks", 6, 255)
    np.testing.assert_array_equal(scored, matrix)
    assert images == 5


def test_samples_are_spread_and_aligned(predictor, data_dir, monkeypatch):
    monkeypatch.setattr(evaluate_module, "SAMPLES", 3)
    evaluation = evaluate_split(predictor, open_records(data_dir, "shapes"), "val")
    assert len({sample.name for sample in evaluation.samples}) == 3
    matrix = np.zeros((6, 6), np.int64)
    for sample in evaluation.samples:
        assert sample.image.shape == (*sample.mask.shape, 3)
        matrix += confusion_matrix(sample.mask, sample.labels, 6)
    assert (matrix <= evaluation.matrix).all() and 0 < matrix.sum() < evaluation.matrix.sum()


def test_results_are_written(evaluation, tmp_path):
    write_results(evaluation, SHAPES, {"split": "val", "step": 7}, tmp_path / "new")
    content = json.loads((tmp_path / "new" / "eval.json").read_text())
    assert (content["split"], content["step"], content["images"]) == ("val", 7, 5)
    assert content["mean_iou"] == evaluation.scores.mean_iou
    assert [c["name"] for c in content["classes"]] == list(SHAPES.names)
    assert content["classes"][1]["iou"] == evaluation.scores.classes[1].iou
    with (tmp_path / "new" / "confusion_matrix.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == [row[0] for row in rows[1:]] == list(SHAPES.names)
    np.testing.assert_array_equal([[int(n) for n in r[1:]] for r in rows[1:]], evaluation.matrix)


def test_details_are_those_of_the_files_one_by_one(trained, evaluation, raw_folder):
    """Boundaries, confidences and objects at the images' own size, void left out."""
    probabilities = images_to_probabilities(trained, EvaluateConfig())
    boundary, right, confidence, objects = np.zeros((6, 3), np.int64), [], [], 0
    for path in sorted((raw_folder / "images").iterdir()):
        with Image.open(path) as image:
            found = probabilities(np.asarray(image)[None])[0]
        with Image.open(raw_folder / "masks" / f"{path.stem}.png") as picture:
            mask = np.asarray(picture)
        labels, known = found.argmax(-1), mask != VOID
        labels_known = np.where(known, labels, VOID)
        distance = max(1, round(0.02 * np.hypot(*mask.shape)))
        for class_id in range(6):
            inner = [
                ndimage.binary_erosion(m == class_id, np.ones((3, 3)), distance)
                for m in (mask, labels_known)
            ]
            truth = (mask == class_id) & ~inner[0]
            predicted = (labels_known == class_id) & ~inner[1]
            boundary[class_id] += [(truth & predicted).sum(), truth.sum(), predicted.sum()]
            objects += ndimage.label(mask == class_id, np.ones((3, 3)))[1] if class_id else 0
        right.append((labels == mask)[known])
        confidence.append(found.max(-1)[known])
    union = boundary[:, 1] + boundary[:, 2] - boundary[:, 0]
    np.testing.assert_allclose(evaluation.boundary_iou, boundary[:, 0] / union, atol=1e-12)
    right, confidence = np.concatenate(right), np.concatenate(confidence).astype(np.float64)
    bins = np.clip(np.ceil(confidence * 15) - 1, 0, 14)
    error = sum(
        abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in np.unique(bins)
    ) / len(right)
    assert evaluation.calibration.error == pytest.approx(error, abs=2e-4)
    assert evaluation.calibration.mean_confidence == pytest.approx(confidence.mean(), abs=1e-5)
    content = figures(evaluation, SHAPES)
    assert sum(group["objects"] for group in content["objects"]) == objects > 10
    assert content["classes"][1]["boundary_iou"] == evaluation.boundary_iou[1]


def test_figures_by_class_are_those_of_the_matrix(evaluation):
    for class_id, entry in enumerate(figures(evaluation, SHAPES)["classes"]):
        hits = evaluation.matrix[class_id, class_id]
        truth, predicted = evaluation.matrix.sum(1)[class_id], evaluation.matrix.sum(0)[class_id]
        assert entry["recall"] == entry["accuracy"] == (hits / truth if truth else None)
        assert entry["precision"] == (hits / predicted if predicted else None)
        assert entry["dice"] == pytest.approx(2 * hits / (truth + predicted))


def test_without_details_only_the_matrix_is_counted(predictor, evaluation, data_dir):
    def fail(images):
        raise AssertionError("the confidence is not asked for")

    plain = dataclasses.replace(predictor, scores=fail)
    quick = evaluate_split(plain, open_records(data_dir, "shapes"), "val", details=False)
    np.testing.assert_array_equal(quick.matrix, evaluation.matrix)
    assert quick.boundary_iou is quick.calibration is quick.sizes is None
    assert not {"calibration", "objects", "mean_boundary_iou"} & figures(quick, SHAPES).keys()
    assert [image.name for image in quick.by_image] == [f"example{k}" for k in range(5)]
    assert quick.worst == evaluation.worst and quick.kept == evaluation.kept


def test_the_worst_images_of_each_class_are_kept(evaluation):
    assert list(evaluation.worst) == sorted(
        evaluation.worst, key=lambda class_id: evaluation.scores.classes[class_id].iou
    )
    assert evaluation.kept.keys() == {f"example{k}" for k in range(5)}
    for class_id, ranks in evaluation.worst.items():
        pixels = [-minus_wrong for minus_wrong, _, _ in ranks]
        assert pixels == sorted(pixels, reverse=True) and len(ranks) <= 5
        wrong = evaluation.matrix.sum(0) + evaluation.matrix.sum(1) - 2 * np.diag(evaluation.matrix)
        assert sum(pixels) == wrong[class_id]


def test_absent_class_is_null_in_the_file(evaluation, tmp_path):
    matrix = evaluation.matrix.copy()
    matrix[5] = matrix[:, 5] = 0
    write_results(dataclasses.replace(evaluation, matrix=matrix), SHAPES, {}, tmp_path)
    assert json.loads((tmp_path / "eval.json").read_text())["classes"][5]["iou"] is None


def test_other_classes_are_refused():
    check_same_classes(SHAPES, dataclasses.replace(SHAPES, palette=SHAPES.palette[::-1]))
    with pytest.raises(DeeplabError, match=r"\(shapes\) than the data set camvid has: 6 classes"):
        check_same_classes(SHAPES, CAMVID)
    renamed = dataclasses.replace(SHAPES, names=(*SHAPES.names[:-1], "torus"))
    with pytest.raises(DeeplabError, match="class 5 is 'torus' against 'ring'"):
        check_same_classes(renamed, SHAPES)


def test_the_held_out_split_is_found_whatever_its_name(trained, raw_folder, tmp_path):
    image, mask = raw_folder / "images" / "example0.jpg", raw_folder / "masks" / "example0.png"
    pair = Pair("a", image, IndexMask(mask, plain_values(SHAPES.num_classes, VOID)))
    write_records(Source(SHAPES, {"train": [pair], "valid": [pair]}), tmp_path / "data")
    save_model(trained, tmp_path / "model.keras")
    said = []
    evaluate(tmp_path / "model.keras", tmp_path / "data", tmp_path / "out", report=said.append)
    assert "1 images of shapes/valid" in said[0]
    assert json.loads((tmp_path / "out" / "eval.json").read_text())["split"] == "valid"
    with pytest.raises(DeeplabError, match="no split 'val'; splits are train, valid"):
        evaluate(
            tmp_path / "model.keras",
            tmp_path / "data",
            tmp_path / "out",
            overrides={"split": "val"},
        )


def test_unknown_split_is_named(predictor, data_dir):
    with pytest.raises(DeeplabError, match="no split 'test'; splits are val"):
        evaluate_split(predictor, open_records(data_dir, "shapes"), "test")


def test_corrupt_record_is_named(predictor, data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path / "data")
    records = open_records(tmp_path / "data", "shapes")
    path = pathlib.Path(records.splits["val"].files[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DeeplabError, match=f"{path.name} is corrupt; .*deeplab-prepare"):
        evaluate_split(predictor, records, "val")
