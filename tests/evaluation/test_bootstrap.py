import numpy as np
import pytest

from deeplab_tf.evaluation import bootstrap
from deeplab_tf.evaluation.bootstrap import differences
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.images.confusion import Scores, confusion_matrix


def runs(images, better):
    """The matrices and counts of two runs; `better` is the share that the second has right."""
    rng = np.random.default_rng(2)
    both = ([], [])
    for index in range(images):
        mask = rng.integers(0, 3 + (index == 0), (8, 8)).astype(np.uint8)  # class 3 is rare
        for found, share in zip(both, (0.6, better), strict=True):
            labels = np.where(rng.random(mask.shape) < share, mask, rng.integers(0, 3, mask.shape))
            matrix = confusion_matrix(mask, labels, 5)
            found.append((matrix, ImageCounts.of(f"{index:04}", mask, matrix, None)))
    return both


@pytest.mark.parametrize("together", [1 << 23, 130])
def test_intervals_are_those_of_images_drawn_one_by_one(monkeypatch, together):
    monkeypatch.setattr(bootstrap, "_TOGETHER", together)
    before, after = runs(12, 0.75)
    mean, classes = differences(*([c for _, c in run] for run in (before, after)), 5, draws=200)

    rng = np.random.default_rng(0)
    changes = []
    for _ in range(200):
        drawn = rng.integers(12, size=12)
        scores = [Scores.from_matrix(sum(run[i][0] for i in drawn)) for run in (before, after)]
        iou = [[np.nan if c.iou is None else c.iou for c in s.classes] for s in scores]
        changes.append([*np.subtract(iou[1], iou[0]), scores[1].mean_iou - scores[0].mean_iou])
    low, high = np.nanquantile(np.array(changes)[:, [0, 1, 2, 3, 5]], [0.025, 0.975], axis=0)
    found = [*classes[:4], mean]
    np.testing.assert_allclose([d.low for d in found], low, atol=1e-12)
    np.testing.assert_allclose([d.high for d in found], high, atol=1e-12)

    whole = [Scores.from_matrix(sum(matrix for matrix, _ in run)) for run in (before, after)]
    assert (mean.before, mean.after) == pytest.approx((whole[0].mean_iou, whole[1].mean_iou))
    assert classes[0].change == pytest.approx(whole[1].classes[0].iou - whole[0].classes[0].iou)
    assert classes[4].change is classes[4].low is None  # in neither
    assert mean.is_clear and not classes[4].is_clear
    assert [d.images for d in (*found, classes[4])] == [12, 12, 12, 1, 12, 0]


def test_one_image_is_not_enough_for_a_clear_difference():
    before, after = runs(1, 0.9)
    mean, _ = differences(*([c for _, c in run] for run in (before, after)), 5, draws=20)
    assert mean.low == mean.high == mean.change > 0 and not mean.is_clear


def test_a_run_beside_itself_does_not_differ():
    before, _ = runs(5, 0.6)
    mean, classes = differences(*[[c for _, c in before]] * 2, 5, draws=50)
    assert mean.change == mean.low == mean.high == 0
    assert not any(one.is_clear for one in classes)
