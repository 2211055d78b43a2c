"""Outlines of regions against scipy's labelling, and small regions and holes by hand."""

import numpy as np
import pytest
from matplotlib.path import Path
from scipy import ndimage

from deeplab_tf.images.classes import CAMVID, SHAPES, VOID

pytest.importorskip("rasterio")

from deeplab_tf.images.regions import (
    find_regions,
    signed_area,
    simplified,
    without_small_holes,
    without_small_regions,
)


def blobs(seed, height=31, width=43, classes=4):
    """Labels of several classes in patches of every size, with some single pixels."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(classes, height, width)), (0, 2, 2))
    labels = smooth.argmax(axis=0).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.05] = VOID
    return labels


def inside(ring, shape):
    """bool of the pixels whose centres are inside, by matplotlib."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    points = np.stack([columns.ravel(), rows.ravel()], axis=-1)
    return Path(ring).contains_points(points).reshape(shape)


@pytest.mark.parametrize("seed", range(3))
def test_outlines_give_the_labels_again_and_pixels_are_counted(seed):
    labels = blobs(seed)
    covered, expected = np.zeros(labels.shape, int), []
    for value in np.unique(labels):
        numbered, count = ndimage.label(labels == value)  # of sides, not corners
        expected += [(value, n) for n in np.bincount(numbered.ravel())[1:]]
        assert count
    found = list(find_regions(labels))
    assert sorted((r.label, r.pixels) for r in found) == sorted(expected)
    assert any(region.holes for region in found)
    for region in found:
        pixels = inside(region.exterior, labels.shape)
        for hole in region.holes:
            pixels &= ~inside(hole, labels.shape)
        assert (labels[pixels] == region.label).all() and pixels.sum() == region.pixels
        covered += pixels
    assert (covered == 1).all()


def test_an_image_of_one_pixel_and_a_file_that_is_mapped(tmp_path):
    (region,) = find_regions(np.full((1, 1), 7, np.uint8))
    assert (region.label, region.pixels) == (7, 1)
    labels = blobs(0)
    labels.tofile(tmp_path / "labels")
    mapped = np.memmap(tmp_path / "labels", np.uint8, "c", shape=labels.shape)
    assert [r.pixels for r in find_regions(mapped)] == [r.pixels for r in find_regions(labels)]


@pytest.mark.parametrize("seed", range(3))
def test_no_small_region_stays_beside_a_larger_one(seed):
    labels, most = blobs(seed), 12
    found = without_small_regions(labels, most)
    np.testing.assert_array_equal(found == VOID, labels == VOID)
    for value in np.unique(labels[labels != VOID]):
        numbered, _ = ndimage.label(labels == value)
        large = np.bincount(numbered.ravel()) >= most
        large[0] = False
        assert (found[large[numbered]] == value).all()  # large regions keep their pixels
        numbered, count = ndimage.label(found == value)
        for number in range(1, count + 1):
            region = numbered == number
            beside = ndimage.binary_dilation(region) & ~region
            if region.sum() < most:  # none but void is beside it
                assert (found[beside] == VOID).all()
    assert (found != labels).any()


def test_a_small_region_takes_its_largest_neighbours_class():
    labels = np.zeros((6, 9), np.uint8)
    labels[:, 5:] = 1
    labels[2, 4] = 2  # of whose four sides three touch class 0, the larger one
    found = without_small_regions(labels, 2)
    assert found[2, 4] == 0 and (np.delete(found, 4, 1) == np.delete(labels, 4, 1)).all()
    np.testing.assert_array_equal(without_small_regions(labels, 1), labels)
    np.testing.assert_array_equal(without_small_regions(labels[:1, :3], 99), labels[:1, :3])


def holed():
    """Class 1 with a hole of 4, one of 1 beside void, one of 2 with two classes around, and a
    corner of background at the border; on class 0 an object of 1."""
    labels = np.ones((12, 14), np.uint8)
    labels[2:4, 2:4] = 0
    labels[2, 7], labels[2, 8] = 0, VOID
    labels[6, 2:4], labels[6, 4] = 0, 2
    labels[0, 0] = 0
    labels[8:, 6:] = 0
    labels[10, 9] = 1
    return labels


def test_only_small_background_in_one_class_is_a_hole():
    labels, expected = holed(), holed()
    np.testing.assert_array_equal(without_small_holes(labels, 4, SHAPES), expected)
    expected[2:4, 2:4] = 1
    np.testing.assert_array_equal(without_small_holes(labels, 5, SHAPES), expected)


def test_without_a_background_every_class_can_be_a_hole():
    expected = holed()
    expected[2:4, 2:4] = 1
    expected[10, 9] = 0
    np.testing.assert_array_equal(without_small_holes(holed(), 5, CAMVID), expected)


def test_simplified_neighbours_have_neither_gaps_nor_overlaps():
    shapely = pytest.importorskip("shapely")
    labels = blobs(1, 60, 80)
    labels[labels == VOID] = 0
    regions = list(find_regions(labels))
    found = simplified(regions, 2.0)
    polygons = [shapely.Polygon(each.exterior, each.holes) for each in found]
    assert all(each.is_valid for each in polygons)
    assert sum(each.area for each in polygons) == shapely.union_all(polygons).area == labels.size
    assert [each.label for each in found] == [each.label for each in regions]

    def corners(regions):
        return sum(len(ring) for r in regions for ring in (r.exterior, *r.holes))

    assert corners(found) < 0.7 * corners(regions)
    # A corner of a staircase has a triangle of half a pixel, and that of a square pixel too.
    steps = np.tril(np.ones((20, 20), np.uint8))
    smooth = simplified(list(find_regions(steps)), 1.0)
    assert max(len(each.exterior) for each in smooth) < 12
    exact = simplified(list(find_regions(steps)), 0.5)
    assert corners(exact) >= corners(find_regions(steps))


def test_the_sign_of_an_area_is_its_turn():
    square = np.array([(3, 3), (5, 3), (5, 5), (3, 5)])
    assert signed_area(square) == 4 and signed_area(square[::-1]) == -4
