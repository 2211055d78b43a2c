"""The place of a GeoTIFF's pixels on the map, by rasterio."""

import dataclasses
import pathlib
import re
import warnings
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.regions import import_features


@dataclasses.dataclass(frozen=True)
class MapFrame:
    """An affine map from pixels to coordinates.

    Attributes:
        matrix: float64 [2, 3], from (x, y, 1) in pixels from the corner of the image.
        crs: the name of the coordinates' reference system, such as `urn:ogc:def:crs:EPSG::32633`;
            None where the file names none, or none that has a code.
        unit: the unit of length, such as `metre`; None where lengths and areas have no meaning, as
            in degrees, in a Mercator projection, or without a reference system.
    """

    matrix: np.ndarray
    crs: str | None
    unit: str | None

    @property
    def pixel_area(self) -> float:
        """Returns the area of a pixel in square units."""
        return abs(float(np.linalg.det(self.matrix[:, :2])))

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """Returns float64 [N, 2] for points, [N, 2], in pixels from the corner of the image."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


def read_map_frame(path: pathlib.Path) -> MapFrame | None:
    """Reads where a GeoTIFF lies; None where it has no affine map, as with RPC alone.

    Raises:
        DeeplabError: rasterio is not installed or cannot open the file.
    """
    import_features()
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with warnings.catch_warnings(action="ignore"), rasterio.open(path) as file:
            transform, crs = file.transform, file.crs
            code = crs.to_authority() if crs else None
            unit = crs.linear_units if crs and crs.is_projected and not _is_mercator(crs) else None
    except RasterioError as error:
        raise DeeplabError(f"image {path} cannot be read: {one_line(str(error))[:200]}") from error
    if transform.is_identity:
        return None
    name = f"urn:ogc:def:crs:{code[0]}::{code[1]}" if code else None
    return MapFrame(np.array(transform[:6], np.float64).reshape(2, 3), name, unit)


def _is_mercator(crs: Any) -> bool:
    """Returns whether a system of rasterio is a Mercator projection, as Web Mercator is.

    Its lengths are those of the equator: at 52 degrees north an area is 2.6 times too large.
    Transverse and oblique ones keep lengths near their line, and are none of these.
    """
    return bool(re.search(r'(PROJECTION|METHOD)\["(Mercator|Popular Visualisation)', crs.to_wkt()))
