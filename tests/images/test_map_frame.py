"""The place of a GeoTIFF against its tags, by hand."""

import numpy as np
import pytest
import tifffile
from support.geo_files import write_geotiff

from deeplab_tf.errors import DeeplabError

pytest.importorskip("rasterio")

from deeplab_tf.images.map_frame import read_map_frame


def test_scale_and_tiepoint_give_coordinates(tmp_path):
    frame = read_map_frame(write_geotiff(tmp_path / "a.tif", np.zeros((9, 7, 3), np.uint8)))
    assert frame is not None and frame.pixel_area == 0.25
    points = frame.coordinates(np.array([(0, 0), (7, 9)]))
    np.testing.assert_array_equal(points, [(500_000, 4_100_000), (500_003.5, 4_099_995.5)])


@pytest.mark.parametrize(
    ("keys", "crs", "unit"),
    [
        # GTModelType projected, GTRasterType area, ProjectedCSType EPSG 32633
        ((1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), 32633, "metre"),
        # GTModelType geographic, GeographicType EPSG 4326: lengths in degrees have no meaning
        ((1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326), 4326, None),
    ],
)
def test_the_reference_system_by_its_code(tmp_path, keys, crs, unit):
    path = tmp_path / "a.tif"
    tags = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 15.0, 50.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), extratags=tags)
    frame = read_map_frame(path)
    assert frame is not None
    assert (frame.crs, frame.unit) == (f"urn:ogc:def:crs:EPSG::{crs}", unit)


@pytest.mark.parametrize(
    ("code", "unit"),
    # Web, World and Brazil's Mercator; transverse (ETRS89) and oblique (Switzerland)
    [(3857, None), (3395, None), (5641, None), (25832, "metre"), (2056, "metre")],
)
def test_a_mercator_projection_has_no_areas(tmp_path, code, unit):
    """At 52 degrees north Web Mercator's square metre is 1 / cos(52 deg)^2 = 2.6 times too many."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, code)
    tags = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 1_500_000.0, 6_800_000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), extratags=tags)
    frame = read_map_frame(tmp_path / "a.tif")
    assert frame is not None
    assert (frame.crs, frame.unit) == (f"urn:ogc:def:crs:EPSG::{code}", unit)


def test_no_place_and_no_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8))
    assert read_map_frame(tmp_path / "a.tif") is None
    (tmp_path / "b.tif").write_bytes(b"II*\0no")
    with pytest.raises(DeeplabError, match=r"b\.tif cannot be read"):
        read_map_frame(tmp_path / "b.tif")
