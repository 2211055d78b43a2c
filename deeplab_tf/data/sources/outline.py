"""Rectangles, ellipses and lines as polygons, in pixels from the upper left corner of the image.

A polygon is the flat list x, y, x, y, ... of its points, as in COCO.

Tested in tests/data/sources/test_painted.py.
"""

import itertools
import math
from collections.abc import Sequence

Point = Sequence[float]

CIRCLE_POINTS = 128
"""The points of an ellipse's outline, which stays within 0.03 % of the radius of the curve."""


def flat(points: Sequence[Point]) -> list[float]:
    """Returns the points (x, y) as one flat list."""
    return [float(value) for point in points for value in point]


def rectangle(
    left: float, top: float, right: float, bottom: float, degrees: float = 0, about: Point = ()
) -> list[float]:
    """Returns the outline of a rectangle that is turned clockwise about a point.

    Args:
        left, top, right, bottom: the sides before the turn.
        degrees: the angle of the turn.
        about: the fixed point of the turn; by default the centre.
    """
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return flat(_turned(corners, degrees, about or ((left + right) / 2, (top + bottom) / 2)))


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0
) -> list[float]:
    """Returns the outline of an ellipse about (x, y) that is turned clockwise by an angle."""
    steps = [2 * math.pi * step / CIRCLE_POINTS for step in range(CIRCLE_POINTS)]
    points = [(x + radius_x * math.cos(t), y + radius_y * math.sin(t)) for t in steps]
    return flat(_turned(points, degrees, (x, y)))


def thick_line(points: Sequence[Point], width: float) -> list[list[float]]:
    """Returns one rectangle along each part of a line, `width` pixels wide."""
    strips = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        if length:
            across_x, across_y = width / 2 * (y0 - y1) / length, width / 2 * (x1 - x0) / length
            corners = [
                (x0 + across_x, y0 + across_y),
                (x1 + across_x, y1 + across_y),
                (x1 - across_x, y1 - across_y),
                (x0 - across_x, y0 - across_y),
            ]
            strips.append(flat(corners))
    return strips


def _turned(points: list[tuple[float, float]], degrees: float, about: Point) -> list[Point]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x0, y0 = about
    return [
        (x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos)
        for x, y in points
    ]
