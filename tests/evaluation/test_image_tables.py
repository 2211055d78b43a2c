import csv

import numpy as np
import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.boundary import boundary_counts
from deeplab_tf.evaluation.image_counts import ImageCounts, in_order
from deeplab_tf.evaluation.image_tables import read_by_class, write_by_class, write_images
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.confusion import Scores, confusion_matrix

NAMES = ("road", 'a "large", odd name', "sky", "never")


def counted(name, mask, labels):
    matrix = confusion_matrix(mask, labels, 4)
    return ImageCounts.of(name, mask, matrix, boundary_counts(mask, labels, 4)), matrix


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    found = []
    for index in range(4):
        mask = rng.choice([0, 1, 2, VOID], (6, 7 + index)).astype(np.uint8)
        found.append(counted(f"image {index}", mask, rng.integers(0, 3, mask.shape)))
    void = np.full((3, 3), VOID, np.uint8)
    return [*found, counted("void, all", void, np.zeros_like(void))]


def test_figures_are_those_of_the_matrix(images):
    for image, matrix in images:
        scores = Scores.from_matrix(matrix)
        true = [s.iou for s in scores.classes if s.truth_pixels]
        assert image.mean_iou == (pytest.approx(np.mean(true)) if true else None)
        assert image.pixel_accuracy == scores.pixel_accuracy
        assert image.void == image.height * image.width - matrix.sum()
        for class_id, iou in zip(image.classes, image.iou, strict=True):
            assert iou == scores.classes[class_id].iou


def test_images_csv(images, tmp_path):
    write_images([image for image, _ in images], NAMES, tmp_path / "images.csv")
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [image.name for image, _ in images]
    for row, (image, matrix) in zip(rows, images, strict=True):
        scores = Scores.from_matrix(matrix)
        share = image.void / (image.height * image.width)
        assert float(row["void_share"]) == pytest.approx(share, abs=1e-6)
        for name, score in zip(NAMES, scores.classes, strict=True):
            cell = row[f"iou_{name}"]
            assert (float(cell) if cell else None) == (
                None if score.iou is None else pytest.approx(score.iou, abs=1e-6)
            )
    assert rows[-1]["mean_iou"] == rows[-1]["pixel_accuracy"] == ""


def test_counts_are_read_as_they_were_written(images, tmp_path):
    path = tmp_path / "by_class.csv"
    once = [image for image, _ in images]
    twice = [*once[:1], *once]  # two images of one name
    write_by_class(twice, NAMES, path)
    for image, found in zip(twice, read_by_class(path, NAMES), strict=True):
        assert found.to_json() == image.to_json()
        assert ImageCounts.from_json(image.to_json()).to_json() == image.to_json()
    text = path.read_text()
    for broken in (
        text[: len(text) // 2].rsplit(",", 1)[0],
        text.replace("sky", "sea"),
        "a,b\n",
        "",
    ):
        path.write_text(broken)
        with pytest.raises(DeeplabError, match=f"{path} is damaged .*; run deeplab-eval again"):
            read_by_class(path, NAMES)


def test_the_order_does_not_depend_on_who_counted(images):
    once = [image for image, _ in images]
    assert [i.name for i in in_order(once[::-1])] == [i.name for i in once]
