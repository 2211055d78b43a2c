"""Painted masks: outlines, holes, run lengths, the order of painting, bounded sizes."""

import numpy as np
import pytest
from support.tool_exports import HEIGHT, WIDTH, blob, boxed, inside, near

from deeplab_tf.data.sources.outline import ellipse, rectangle, thick_line
from deeplab_tf.data.sources.painted import Area, PaintedMask, Region, Runs, upright_size
from deeplab_tf.data.sources.rasterise import MalformedRegionError
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID


def area(label, left, top, right, bottom, **more):
    shape = Area([rectangle(left, top, right, bottom)])
    return Region(label, f"region ({label})", shape, **more)


def painted(tmp_path, *regions, on_top="smaller", size=(HEIGHT, WIDTH)):
    return PaintedMask("a.json", tmp_path / "a.png", regions, on_top, size)


def test_polygons_against_an_independent_rasteriser():
    """300 polygons: only pixels whose centres are within 0.25 of the outline may differ."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        outline = blob(rng, 30, 20, rng.uniform(2, 24), rng.integers(3, 9))
        drawn = Area([outline.ravel().tolist()]).pixels(HEIGHT, WIDTH)
        differs = drawn != inside(outline)
        assert not (differs & ~near(outline)).any()
        assert drawn.sum() > 0 and differs.mean() < 0.02


@pytest.mark.parametrize(("on_top", "car"), [("smaller", 2), ("later", 1)])
def test_the_rule_decides_where_regions_overlap(tmp_path, on_top, car):
    regions = (area(2, 10, 10, 30, 30), area(1, 5, 5, 50, 25))
    mask = painted(tmp_path, *regions, on_top=on_top)
    expected = boxed((2, 10, 10, 30, 30), (1, 5, 5, 50, 25), (car, 10, 10, 30, 25))
    np.testing.assert_array_equal(mask.read(), expected)


def test_a_crowd_is_void_on_top_whatever_its_place_and_size(tmp_path):
    crowd = area(VOID, 0, 0, 60, 20, crowd=True)
    for on_top in ("smaller", "later"):
        mask = painted(tmp_path, crowd, area(1, 5, 5, 20, 30), on_top=on_top)
        expected = boxed((1, 5, 5, 20, 30), (VOID, 0, 0, 60, 20))
        np.testing.assert_array_equal(mask.read(), expected)


def test_a_region_hidden_by_its_own_class_is_no_error(tmp_path):
    mask = painted(tmp_path, area(1, 5, 5, 9, 9), area(1, 0, 0, 30, 30), on_top="later")
    np.testing.assert_array_equal(mask.read(), boxed((1, 0, 0, 30, 30)))


def test_runs_along_rows_and_down_columns():
    along = Runs((1, 2, 3), "row", (4, 5, 3, 2)).pixels(HEIGHT, WIDTH)
    down = Runs((1, 2, 3), "column", (4, 5, 3, 2)).pixels(HEIGHT, WIDTH)
    assert np.argwhere(along).tolist() == [[5, 5], [5, 6]]
    assert np.argwhere(down).tolist() == [[5, 5], [6, 4]]


def test_outlines():
    turned = np.reshape(rectangle(0, 0, 4, 2, 90), (4, 2))
    np.testing.assert_allclose(turned, [[3, -1], [3, 3], [1, 3], [1, -1]], atol=1e-12)
    points = np.reshape(ellipse(5, 6, 3, 1, 90), (-1, 2)) - (5, 6)
    np.testing.assert_allclose((points[:, 0] / 1) ** 2 + (points[:, 1] / 3) ** 2, 1)
    (strip,) = thick_line([(0, 0), (0, 5), (0, 5)], 2)
    assert sorted(map(tuple, np.reshape(strip, (4, 2)))) == [(-1, 0), (-1, 5), (1, 0), (1, 5)]


def test_equal_regions_have_equal_digests(tmp_path):
    first, same = (painted(tmp_path, area(1, 0, 0, 9, 9)).digest() for _ in range(2))
    others = [
        painted(tmp_path, area(2, 0, 0, 9, 9)),
        painted(tmp_path, area(1, 0, 0, 9, 8)),
        painted(tmp_path, area(1, 0, 0, 9, 9), on_top="later"),
    ]
    assert first == same and len({first, *(mask.digest() for mask in others)}) == 4


def test_sizes_are_bounded(tmp_path):
    with pytest.raises(DeeplabError, match="a.json would have 20000x20000 pixels"):
        painted(tmp_path, size=(20_000, 20_000)).read()
    with pytest.raises(MalformedRegionError, match="a rectangle of 100000x100000 pixels is too"):
        Runs((10**10,), "row", (0, 0, 10**5, 10**5)).pixels(HEIGHT, WIDTH)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DeeplabError, match="a.png cannot be read, so its mask has no size"):
        upright_size(tmp_path / "a.png")
