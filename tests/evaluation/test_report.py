import json
import re

import numpy as np
import pytest
from PIL import Image

from deeplab_tf.config import Experiment, to_json
from deeplab_tf.evaluation.curves import draw_curves, moving_average
from deeplab_tf.evaluation.error_map import FOUND, MISSED, WRONG
from deeplab_tf.evaluation.evaluation import Evaluation, Sample, make_evaluation
from deeplab_tf.evaluation.report import write_report
from deeplab_tf.evaluation.report_figures import draw_confusion
from deeplab_tf.evaluation.tally import Tally, judge
from deeplab_tf.evaluation.worst import Kept
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.images.coverage import coverage


@pytest.fixture
def evaluation():
    truth = np.zeros((30, 900), np.uint8)
    truth[:, 100:] = 255
    prediction = np.full_like(truth, 3)
    sample = Sample("<first>", np.zeros((30, 900, 3), np.uint8), truth, prediction)
    matrix = np.diag([6, 2, 0, 0, 0, 0])
    matrix[0, 1] = 2
    return Evaluation(matrix, 1, (sample,))


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": 20 * i, "loss": 3 - i / 50, "learning_rate": 0.007} for i in range(1, 101)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 20')
    return path


@pytest.fixture
def evaluated_metrics(metrics):
    """The log of a run that was also evaluated, the second time best."""
    lines = metrics.read_text().splitlines()[:-1]
    for step, mean_iou in ((400, 0.25), (800, 0.5), (1200, 0.375)):
        lines.append(json.dumps({"step": step, "val_mean_iou": mean_iou, "val_loss": 1.0}))
    metrics.write_text("\n".join(lines))
    return metrics


def write(evaluation, folder, metrics=None):
    facts, truth = {"model": "runs/<x>"}, coverage(evaluation.scores, 24_000, SHAPES.names)
    page = write_report(
        "DeepLabv3 on shapes",
        evaluation,
        truth,
        SHAPES,
        facts,
        to_json(Experiment()),
        folder,
        metrics,
    )
    return page, page.read_text()


def test_page_has_figures_and_its_pictures_and_needs_no_network(evaluation, metrics, tmp_path):
    page, text = write(evaluation, tmp_path, metrics)
    assert page == tmp_path / "report" / "index.html"
    # (6/8 + 2/4) / 2: the four absent classes do not count.
    assert "<b>62.50</b><span>mean IoU, %" in text
    assert text.count("absent</td>") == 4
    assert "<p>The truth is 99.96 % void; classes without true pixels: 4 of 6 (square, " in text
    assert "<p class='warning'>Warning: 99.96 % of the truth is void and counts for nothing" in text
    files = set(re.findall(r"(?:src|href)='([^']+)'", text))
    assert files == {
        "confusion.png",
        "sample0_input.png",
        "sample0_truth.png",
        "sample0_prediction.png",
        "loss.png",
        "learning_rate.png",
    }
    for file in files:
        with Image.open(page.parent / file) as image:
            image.load()
            assert image.width > 300
    assert not re.search(r"https?://|@import|url\(", text)
    assert "&lt;first&gt;" in text and "<first>" not in text
    assert "runs/&lt;x&gt;" in text
    assert "&quot;base_learning_rate&quot;: 0.007" in text


def test_the_curves_of_a_run_that_was_evaluated(evaluation, evaluated_metrics, tmp_path):
    page, text = write(evaluation, tmp_path, evaluated_metrics)
    for name in ("loss.png", "learning_rate.png", "mean_iou.png", "cross_entropy.png"):
        assert f"src='{name}'" in text and (page.parent / name).is_file()
    with Image.open(page.parent / "mean_iou.png") as image:
        pixels = np.asarray(image.convert("RGBA"))
    # The best evaluation is marked in another colour, halfway between the first and the last.
    marked = np.argwhere((pixels == (0xE0, 0x66, 0x2B, 255)).all(-1))
    drawn = np.argwhere((pixels == (0x3D, 0x7F, 0xF0, 255)).all(-1))
    assert 0 < len(marked) < len(drawn)
    middle = (drawn[:, 1].min() + drawn[:, 1].max()) / 2
    assert abs(marked[:, 1].mean() - middle) < 5
    assert marked[:, 0].mean() <= drawn[:, 0].min() + 10  # rows count from the top
    write(evaluation, tmp_path, evaluated_metrics)  # the folder is known as a report's


@pytest.fixture
def judged(tmp_path):
    """An evaluation of two images whose circles are missed in part, or wrongly seen."""
    tally, images = Tally(6), []
    for name, found in (("<half>", slice(10, 20)), ("none", slice(40, 50))):
        mask, labels = np.zeros((2, 60, 80), np.uint8)
        mask[10:30, 20:40], labels[found, 20:40] = 1, 1
        mask[50:, :10] = 255
        matrix = confusion_matrix(mask, labels, 6)
        confidence = np.full(mask.shape, 50_000, np.uint16)
        each = judge(name, mask, labels, matrix, confidence, details=True)
        view = np.full((60, 80, 3), 200, np.uint8)
        tally.add(each, lambda view=view, mask=mask, labels=labels: Kept.of(view, mask, labels))
        images.append(each.image)
    return make_evaluation(
        tally, (), images, True, lambda names: {n: tally.worst.kept[n] for n in names}
    )


def test_the_worst_images_of_a_class_with_its_errors(judged, tmp_path):
    page, text = write(judged, tmp_path)
    assert text.index("circle: IoU 20.00 %") < text.index("background: IoU 91.")
    order = re.findall(r"<figcaption>([^:]+): (\d+) wrong pixels, IoU ([\d.]+) %", text)
    assert order[:2] == [("none", "600", "0.00"), ("&lt;half&gt;", "200", "50.00")]
    assert "every class that is not wholly right" in text and text.count("<details open>") == 1
    # Names in order, so <half> is 0. Grey 200 is drawn as 185 and coloured by 70 %.
    for number, hits in ((0, (10, 20)), (1, None)):
        with Image.open(page.parent / f"worst{number}_class1.jpg") as picture:
            pixels = np.asarray(picture).astype(int)
        found, missed, wrong = (
            0.3 * 185 + 0.7 * np.array(color) for color in (FOUND, MISSED, WRONG)
        )
        if hits:
            np.testing.assert_allclose(pixels[15, 30], found, atol=12)
            np.testing.assert_allclose(pixels[25, 30], missed, atol=12)
        else:
            np.testing.assert_allclose(pixels[15, 30], missed, atol=12)
            np.testing.assert_allclose(pixels[45, 30], wrong, atol=12)
        np.testing.assert_allclose(pixels[10, 70], 185, atol=6)
        np.testing.assert_allclose(pixels[56, 4], 0, atol=6)  # void
    with Image.open(page.parent / "worst0.jpg") as picture:
        pixels = np.asarray(picture).astype(int)
    np.testing.assert_allclose(pixels[15, 30], 90 + 0.55 * np.array(SHAPES.palette[1]), atol=12)
    np.testing.assert_allclose(pixels[25, 30], 200, atol=12)  # background keeps the picture
    write(judged, tmp_path)  # the folder is known as a report's


def test_classes_confusions_sizes_and_calibration_in_words(judged, tmp_path):
    page, text = write(judged, tmp_path)
    row = re.search(r"<tr><th>[^\n]*</span>circle</th>.*", text)[0]
    # 200 of 800 true pixels were found, and 400 were predicted.
    for cell in ("20.00", "50.00", "25.00", "33.33"):
        assert f"<td>{cell}</td>" in row
    assert "<td>600</td><td>75.00</td>" in text  # circle taken for background
    assert "1.00 (1)" not in text and "25.00 (2)" in text  # IoU 0.5 and 0 of two circles of 20x20
    assert "The expected calibration error is " in text and "the model is not sure enough" in text
    accuracy = judged.scores.pixel_accuracy
    assert judged.calibration.error == pytest.approx(abs(accuracy - 50_000 / 65_535))
    for name in ("confusion.png", "reliability.png", "object_sizes.png"):
        with Image.open(page.parent / name) as picture:
            assert picture.width > 400
    files = set(re.findall(r"(?:src|href)='([^']+)'", text))
    assert files == {path.name for path in page.parent.iterdir()} - {"index.html"}
    assert not re.search(r"https?://|@import|url\(", text)


def test_cells_of_the_confusion_matrix_are_where_they_belong(tmp_path):
    matrix = np.zeros((3, 3), int)
    matrix[0, 2], matrix[1, 1], matrix[2, 2] = 5, 5, 5
    draw_confusion(matrix, ("a", "b", "c"), tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        pixels = np.asarray(picture.convert("RGBA")).astype(int)
    full = (np.abs(pixels - (8, 48, 107, 255)) <= 2).all(-1)  # the end of the colour map
    full[:, pixels.shape[1] * 3 // 4 :] = False  # the scale beside it
    rows, columns = np.nonzero(full)
    size = (rows.max() - rows.min() + 1) // 3
    cells = {
        ((r - rows.min()) // size, (c - columns.min()) // size)
        for r, c in zip(rows, columns, strict=True)
    }
    # The first column is empty: b, the middle, is at column 1, which is the leftmost that is full.
    assert cells >= {(0, 1), (1, 0), (2, 1)} and not cells & {(0, 0), (1, 1), (2, 0)}


def test_tables_scroll_in_their_own_box(judged, tmp_path):
    _, text = write(judged, tmp_path)
    assert text.count("<table>") == text.count("<div class='scroll'><table>") == 3
    assert ".scroll { overflow-x: auto; }" in text
    assert text.count('name="viewport" content="width=device-width') == 1


def test_sample_pictures_keep_the_palette_and_void(evaluation, tmp_path):
    page, text = write(evaluation, tmp_path)
    with Image.open(page.parent / "sample0_truth.png") as image:
        assert image.width == 640
        colors = {color for _, color in image.convert("RGB").getcolors()}
    assert colors == {SHAPES.palette[0], SHAPES.void_color}
    assert "void (not counted)" in text


def test_without_metrics_there_are_no_curves(evaluation, tmp_path):
    page, text = write(evaluation, tmp_path, tmp_path / "metrics.jsonl")
    assert "Training" not in text
    assert not (page.parent / "loss.png").exists()


def test_a_second_report_takes_the_place_of_the_first(evaluation, metrics, tmp_path):
    write(evaluation, tmp_path / "a", metrics)
    page, _ = write(evaluation, tmp_path / "a")
    assert not (page.parent / "loss.png").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report"]


def test_one_log_line_draws_no_curve(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "loss": 1.0, "learning_rate": 0.1}\n')
    assert draw_curves(metrics, tmp_path) == []


def test_moving_average():
    np.testing.assert_allclose(
        moving_average(np.array([1.0, 3, 5, 7]), 3), [2, 3, 5, 6], atol=1e-12
    )
