"""deeplab-score as a user runs it."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.score import score_folders
from deeplab_tf.images.classes import VOC
from deeplab_tf.images.confusion import Scores, confusion_matrix, format_table
from deeplab_tf.images.coverage import coverage
from deeplab_tf.images.drawing import write_labels


def score(*arguments):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deeplab_tf.cli.score", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def error_of(done):
    """stderr without Python's import times."""
    return "".join(
        line
        for line in done.stderr.splitlines(keepends=True)
        if not line.startswith("import time:")
    )


@pytest.fixture
def folders(tmp_path):
    """Three pairs of 21 classes: the truth as palette PNGs with void, the predictions grey."""
    rng = np.random.default_rng(0)
    true, predicted = tmp_path / "true", tmp_path / "predicted"
    predicted.mkdir()
    matrix = np.zeros((21, 21), np.int64)
    for index in range(3):
        truth = rng.choice([*range(21), 255], (20, 30)).astype(np.uint8)
        prediction = np.where(rng.random((20, 30)) < 0.5, truth % 21, 7).astype(np.uint8)
        write_labels(truth, VOC, true / f"{index}.png")
        Image.fromarray(prediction).save(predicted / f"{index}.png")
        matrix += confusion_matrix(truth, prediction, 21)
    (predicted / "0_overlay.jpg").write_bytes(b"not looked at")
    return predicted, true, matrix


def test_prints_the_table_without_tensorflow(folders):
    predicted, true, matrix = folders
    done = score(f"--predictions={predicted}", f"--ground_truth={true}")
    names = tuple(f"class {i}" for i in range(21))
    void = sum(int((np.asarray(Image.open(path)) == 255).sum()) for path in true.iterdir())
    assert 0 < void < 200
    # At 20x30 pixels the distance is 1: the 3x3 pixels around have another label, or leave.
    counts = np.zeros((21, 3), int)
    for path in true.iterdir():
        mask = np.asarray(Image.open(path))
        found = np.where(mask == 255, 255, np.asarray(Image.open(predicted / path.name)))
        near = [
            ndimage.maximum_filter(m, 3, mode="constant", cval=255)
            != ndimage.minimum_filter(m, 3, mode="constant", cval=255)
            for m in (mask, found)
        ]
        for c in range(21):
            truth, guess = (mask == c) & near[0], (found == c) & near[1]
            counts[c] += [(truth & guess).sum(), truth.sum(), guess.sum()]
    iou = [both / (one + other - both) for both, one, other in counts]
    more = {"mean boundary IoU": np.mean(iou)}
    assert done.stdout == format_table(Scores.from_matrix(matrix), names, iou, more) + (
        f"\n\n3 images; the truth is {void / 18:.2f} % void; classes without true pixels: 0 of 21\n"
    )
    assert done.returncode == 0
    assert "tensorflow" not in done.stderr
    assert error_of(done) == ""


def test_other_void(tmp_path):
    for name, labels in (("true", [[0, 1, 11]]), ("predicted", [[0, 0, 5]])):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array(labels, np.uint8)).save(tmp_path / name / "a.png")
    matrix, images, void, _ = score_folders(tmp_path / "predicted", tmp_path / "true", 11, 11)
    assert (images, void) == (1, 1)
    assert (matrix.sum(), matrix[0, 0], matrix[1, 0]) == (2, 1, 1)


def write_pair(tmp_path, truth, prediction):
    for name, labels in (("true", truth), ("predicted", prediction)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array(labels, np.uint8)).save(tmp_path / name / "a.png")
    return f"--predictions={tmp_path / 'predicted'}", f"--ground_truth={tmp_path / 'true'}"


def test_a_truth_of_0_and_255_is_warned_of(tmp_path):
    """The prediction found a third of the object, and all the figures are 100.00."""
    folders = write_pair(tmp_path, [[0] * 7 + [255] * 3], [[0] * 9 + [1]])
    done = score(*folders, "--num_classes=2")
    assert "mean IoU                100.00" in done.stdout and done.returncode == 0
    assert done.stdout.endswith(
        "\n1 images; the truth is 30.00 % void; classes without true pixels: 1 of 2 (class 1)\n"
        "warning: only class 0 has pixels in the truth, so the scores say nothing about the other "
        "classes; masks of 0 and 255 have class 0 and void, and no object\n"
    )


def test_a_truth_that_is_mostly_void_is_warned_of(tmp_path):
    folders = write_pair(tmp_path, [[0, 1, 255, 255, 255]], [[0] * 5])
    assert score(*folders, "--num_classes=2").stdout.endswith(
        "\nwarning: 60.00 % of the truth is void and counts for nothing; check which value of the "
        "masks is void\n"
    )


def test_half_of_the_truth_may_be_void_and_a_truth_of_void_has_no_score():
    scores = Scores.from_matrix(np.diag([1, 2]))
    assert coverage(scores, 3, ("a", "b")).warnings == ()
    (void, none) = coverage(Scores.from_matrix(np.zeros((2, 2), int)), 4, ("a", "b")).warnings
    assert void.startswith("100.00 % of the truth is void") and none.startswith("no class has")
    many = coverage(
        Scores.from_matrix(np.diag([1] * 2 + [0] * 19)), 0, tuple("abcdefghijklmnopqrstu")
    )
    assert many.summary.endswith("true pixels: 19 of 21 (c, d, e, f, g, h, i, j, ...)")


def test_only_the_listed_names_count(folders, tmp_path):
    predicted, true, matrix = folders
    (tmp_path / "val.txt").write_text("0\n2\n")
    (predicted / "1.png").unlink()
    some, images, *_ = score_folders(predicted, true, 21, 255, tmp_path / "val.txt")
    assert images == 2
    assert 0 < some.sum() < matrix.sum()
    (tmp_path / "val.txt").write_text("0\n1\n")
    with pytest.raises(DeeplabError, match=r"predicted/1\.png does not exist"):
        score_folders(predicted, true, 21, 255, tmp_path / "val.txt")


def missing_prediction(predicted, true):
    (predicted / "1.png").unlink()
    return "1.png is missing"


def missing_truth(predicted, true):
    (true / "1.png").unlink()
    return "true/1.png is missing"


def other_size(predicted, true):
    Image.new("L", (30, 21)).save(predicted / "1.png")
    return "must have one size. Received: 30x20 and 30x21"


def colours(predicted, true):
    Image.new("RGB", (30, 20), (128, 0, 0)).save(predicted / "1.png")
    return "predicted/1.png is a picture of colours"


def label_outside(predicted, true):
    Image.new("L", (30, 20), 21).save(predicted / "1.png")
    return "predicted/1.png has label 21 at pixel x=0, y=0"


def void_predicted(predicted, true):
    Image.new("L", (30, 20), 255).save(predicted / "1.png")
    return "the prediction has label 255 at row 0, column"


def broken(predicted, true):
    (true / "1.png").write_bytes((true / "1.png").read_bytes()[:200])
    return "true/1.png cannot be read"


def no_folder(predicted, true):
    predicted.rename(predicted.with_name("elsewhere"))
    return "predicted does not exist"


@pytest.mark.parametrize(
    "spoil",
    [
        missing_prediction,
        missing_truth,
        other_size,
        colours,
        label_outside,
        void_predicted,
        broken,
        no_folder,
    ],
)
def test_bad_input_is_one_line(folders, spoil):
    predicted, true, _ = folders
    message = spoil(predicted, true)
    done = score(f"--predictions={predicted}", f"--ground_truth={true}")
    error = error_of(done)
    assert message in error
    assert error.startswith("deeplab-score: error: ")
    assert error.count("\n") == 1
    assert (done.returncode, done.stdout) == (1, "")
