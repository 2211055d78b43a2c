"""Regions as GeoJSON, in the coordinates of the map or of the image.

Tested in tests/prediction/test_polygon_files.py, through `run_files`.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from deeplab_tf.files import ListFile, digested, whole_file
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.map_frame import MapFrame
from deeplab_tf.images.regions import Region, signed_area

FEATURES = "features"
is_geojson = digested(FEATURES)
"""Recognises a file of `write_geojson` whose features nobody has changed."""


def write_geojson(
    regions: list[Region],
    classes: Classes,
    image: str,
    frame: MapFrame | None,
    path: pathlib.Path,
    **whole: Any,
) -> None:
    """Writes one feature a region, whose properties are `class`, `class_id` and `pixels`.

    Background and void are left out. With a frame, coordinates are those of the map, and the member
    `crs` of GeoJSON 2008 names their reference system; RFC 7946, which knows only longitude and
    latitude, has no such member. Otherwise they are x, y in pixels from the image's upper left
    corner, and `crs` is null, as where the reference system has no code. A region's outline turns
    counterclockwise with the second coordinate upwards, and those of its holes clockwise.

    Args:
        regions: the regions.
        classes: the classes.
        image: the name of the image file, for the member `image`.
        frame: the place on the map; with its unit, features have their `area` in square units.
        path: the file to write.
        whole: `within` and `durable` of `whole_file`.
    """
    crs = frame and frame.crs
    named = {"type": "name", "properties": {"name": crs}} if crs else None
    head = {"type": "FeatureCollection", "image": image, "crs": named}
    if frame is not None and frame.unit:
        head["unit"] = frame.unit
    with (
        whole_file(path, is_geojson, **whole) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        written = ListFile(file, FEATURES, head)
        written.add(_features(regions, classes, frame))
        written.finish({})


def _features(
    regions: list[Region], classes: Classes, frame: MapFrame | None
) -> Iterator[dict[str, Any]]:
    for number, region in enumerate(shown(regions, classes), 1):
        rings = [_ring(region.exterior, frame, 1), *(_ring(r, frame, -1) for r in region.holes)]
        properties = {
            "class": classes.name_of(region.label),
            "class_id": region.label,
            "pixels": region.pixels,
        }
        if frame is not None and frame.unit:
            properties["area"] = region.pixels * frame.pixel_area
        geometry = {"type": "Polygon", "coordinates": rings}
        yield {"type": "Feature", "id": number, "properties": properties, "geometry": geometry}


def shown(regions: list[Region], classes: Classes) -> list[Region]:
    """Returns the regions that are neither background nor void."""
    background = 0 if classes.has_background else VOID
    return [region for region in regions if region.label not in (background, VOID)]


def _ring(ring: np.ndarray, frame: MapFrame | None, turn: int) -> list[list[float]]:
    """Returns a closed ring in the frame's coordinates whose signed area has the sign `turn`."""
    points = ring if frame is None else frame.coordinates(ring)
    if signed_area(points) * turn < 0:
        points = points[::-1]
    return [*points.tolist(), points[0].tolist()]
