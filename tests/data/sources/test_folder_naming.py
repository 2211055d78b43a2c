"""Images in the names of masks."""

import pytest

from deeplab_tf.data.sources.folder_naming import Pattern, one_mask_an_image, patterns
from deeplab_tf.errors import DeeplabError


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["img_1", "img_10"], ["img_1", "img_10"], {"*": ["img_1", "img_10"]}),
        (["img_1"], ["img_1", "img_10", "img_11_m"], {"*": ["img_1"]}),
        (["1", "2"], ["mask_1", "mask_2"], {"mask_*": ["1", "2"]}),
        (["1", "2"], ["mask1", "mask2x"], {"mask*": ["1"], "mask*x": ["2"]}),
        (["cat"], ["cats", "bobcat", "cat-s"], {"*-s": ["cat"]}),
        (["a/x", "b/x"], ["a/x_m", "b/x_m"], {"*_m": ["a/x", "b/x"]}),
        (["x", "a/x"], ["road/x", "road/a/x"], {"road/*": ["x", "a/x"]}),
        (["x"], ["png/gt_x_v2"], {"png/gt_*_v2": ["x"]}),
        (["x"], ["y"], {}),
    ],
)
def test_the_longest_name_of_an_image_is_found(images, masks, expected):
    found = patterns(images, masks)
    assert {str(pattern): [*by_image] for pattern, by_image in found.items()} == expected
    for pattern, by_image in found.items():
        assert Pattern.parse(str(pattern)) == pattern
        assert all(pattern.mask(image) == mask for image, mask in by_image.items())


def test_one_pattern_or_one_a_class_or_neither():
    same = patterns(["a", "b"], ["a_m", "b_m"])
    assert one_mask_an_image(same, "masks") == Pattern(suffix="_m")
    assert one_mask_an_image(patterns(["a"], ["a_road", "a_car"]), "masks") is None
    with pytest.raises(DeeplabError, match=r"masks are named in 2 ways: \* \(1\), \*_m \(1\)"):
        one_mask_an_image(patterns(["a", "b"], ["a_m", "b"]), "masks")
    assert Pattern.parse("a/gt_*_car").word() == "a gt_ _car"
