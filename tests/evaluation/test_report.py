import json
import re

import numpy as np
import pytest
from PIL import Image

from deeplab_tf.config import Experiment, to_json
from deeplab_tf.evaluation.curves import draw_curves, moving_average
from deeplab_tf.evaluation.evaluate_split import Evaluation, Sample
from deeplab_tf.evaluation.report import write_report
from deeplab_tf.images.classes import SHAPES
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
