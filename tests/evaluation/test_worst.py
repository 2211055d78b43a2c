import io

import numpy as np
from PIL import Image

from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.worst import KEPT, SIDE, Kept, Worst, ranks_of, worst_by_class
from deeplab_tf.images.confusion import confusion_matrix


def random_images(count):
    rng = np.random.default_rng(0)
    images = []
    for index in range(count):
        mask = rng.integers(0, 3, (4, 4)).astype(np.uint8)
        labels = np.where(rng.random((4, 4)) < 0.7, mask, rng.integers(0, 3, (4, 4)))
        matrix = confusion_matrix(mask, labels, 3)
        images.append(ImageCounts.of(f"{index:03}", mask, matrix, None))
    return images


def test_the_worst_of_parts_are_those_of_the_whole():
    images = random_images(80)
    expected = {}
    for class_id in range(3):
        ranks = [rank for image in images for number, rank in ranks_of(image) if number == class_id]
        expected[class_id] = sorted(ranks)[:KEPT]
        assert len(ranks) > KEPT
    assert worst_by_class(images) == expected
    names = {name for ranks in expected.values() for _, _, name in ranks}

    whole, made = Worst(), []
    parts = [Worst() for _ in range(3)]
    for index, image in enumerate(images):
        kept = Kept(image.name.encode(), b"", b"")
        whole.add(image, lambda kept=kept: (made.append(1), kept)[1])
        parts[index % 3].add(image, lambda kept=kept: kept)
    merged = Worst()
    for part in parts:
        merged.merge(part)
    for found in (whole, merged):
        assert found.kept.keys() == names
        assert all(found.kept[name].picture == name.encode() for name in names)
    assert len(made) < len(images)


def test_what_is_wholly_right_is_not_among_the_worst():
    mask = np.array([[0, 1], [1, 1]], np.uint8)
    right = ImageCounts.of("right", mask, confusion_matrix(mask, mask, 2), None)
    assert ranks_of(right) == [] and worst_by_class([right]) == {}


def test_more_wrong_pixels_are_worse_and_then_a_lower_iou():
    images = []
    for name, missed, found in (("few", 2, 0), ("right in part", 5, 4), ("all missed", 5, 0)):
        mask = np.array([[1] * (missed + found) + [0] * 9], np.uint8)
        labels = np.array([[0] * missed + [1] * found + [0] * 9], np.uint8)
        images.append(ImageCounts.of(name, mask, confusion_matrix(mask, labels, 2), None))
    order = [name for _, _, name in worst_by_class(images)[1]]
    assert order == ["all missed", "right in part", "few"]


def test_pictures_are_small_and_keep_the_labels():
    mask = np.zeros((600, 1000), np.uint8)
    mask[:300, :500] = 7
    kept = Kept.of(np.full((600, 1000, 3), 90, np.uint8), mask, mask + 1)
    sizes = []
    for part, values in ((kept.mask, {0, 7}), (kept.labels, {1, 8})):
        with Image.open(io.BytesIO(part)) as picture:
            sizes.append(picture.size)
            assert set(np.unique(np.asarray(picture)).tolist()) == values
    with Image.open(io.BytesIO(kept.picture)) as picture:
        assert {picture.size, *sizes} == {(SIDE, 240)}
