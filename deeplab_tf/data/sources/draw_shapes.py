"""Draws one example of the embedded `shapes` data set: textured shapes on a textured ground.

The ground is dull and the shapes are vivid, each class around a hue of its own, with a spread that
makes neighbours overlap: as in photographs, looks help and the outline decides. So a small network
learns the task from scratch within minutes. Everything is computed from signed distances, in
pixels, negative inside.
"""

import colorsys
import dataclasses

import numpy as np
from PIL import Image

from deeplab_tf.images.classes import SHAPES, VOID

WIDTH_RANGE, HEIGHT_RANGE = (160, 192), (120, 160)  # of a landscape image; half are turned
MAX_SHAPES = 6
SMALLEST, LARGEST = 12.0, 0.85
"""Square root of a shape's area: in pixels, and as a share of the image's."""

LEAST_VISIBLE = 0.55  # of every shape's area, after later shapes covered it: a person can name it
CONTRAST = 75.0  # least distance of the mean RGB colours of a fill and of what lies under it
DULL, VIVID = (0.0, 0.35), (0.5, 1.0)  # saturation of the ground and of the shapes
HUE_SPREAD = 0.04  # in turns, beside 0.2 between the hues of two classes; harder: see the notes
STRETCH = 1.15  # shapes are stretched by up to this in one direction
PLACEMENT_TRIES = 12

RING_HOLE = 0.55  # inner over outer radius
STAR_NOTCH = 0.45  # inner over outer radius of the five-pointed star
# Area of each shape over its squared circumradius.
AREAS = {
    "circle": np.pi,
    "square": 2.0,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": 5 * STAR_NOTCH * np.sin(np.pi / 5),
    "ring": np.pi * (1 - RING_HOLE**2),
}


@dataclasses.dataclass(frozen=True)
class Example:
    """image: uint8 [H, W, 3]; mask: uint8 [H, W], class ids of `SHAPES` and `VOID` on outlines."""

    image: np.ndarray
    mask: np.ndarray


def draw_example(seed: tuple[int, ...]) -> Example:
    """One image with one to six shapes; equal seeds give equal pixels."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(*WIDTH_RANGE, endpoint=True))
    height = int(rng.integers(*HEIGHT_RANGE, endpoint=True))
    if rng.random() < 0.5:
        width, height = height, width
    canvas = _texture(rng, height, width, _color(rng, rng.random(), DULL))
    mask = np.zeros((height, width), np.uint8)
    owner = np.zeros((height, width), np.int64)  # 0 is the ground, then one number a shape
    areas = [0]
    for size in _sizes(rng, LARGEST * np.sqrt(height * width)):
        name = SHAPES.names[rng.integers(1, SHAPES.num_classes)]
        distance = _place(rng, name, size, owner, areas)
        if distance is None:
            continue
        canvas = _paint(rng, canvas, distance, SHAPES.names.index(name))
        owner[distance < 0] = len(areas)
        areas.append(int(np.count_nonzero(distance < 0)))
        mask[distance < 0] = SHAPES.names.index(name)
        # Two to three pixels, as wide beside the image as VOC's five are.
        mask[np.abs(distance) < (1.0 if size < 25 else 1.5)] = VOID
    grain = rng.normal(0, rng.uniform(1, 6), canvas.shape)
    return Example(np.clip(canvas + grain, 0, 255).round().astype(np.uint8), mask)


def _sizes(rng: np.random.Generator, largest: float) -> np.ndarray:
    """Square roots of areas in pixels, falling, so that the smaller lie on the larger.

    One is spread evenly, the others in the logarithm: most images have a large shape, most shapes
    are small.
    """
    others = rng.integers(0, MAX_SHAPES)
    sizes = np.exp(rng.uniform(np.log(SMALLEST), np.log(largest), others))
    return np.sort([*sizes, rng.uniform(SMALLEST, largest)])[::-1]


def _place(
    rng: np.random.Generator, name: str, size: float, owner: np.ndarray, areas: list[int]
) -> np.ndarray | None:
    """Signed distance [H, W] of a shape that leaves enough of the others, or None."""
    height, width = owner.shape
    radius = size / np.sqrt(AREAS[name])
    for _ in range(PLACEMENT_TRIES):
        margin_x, margin_y = min(0.7 * radius, width / 2), min(0.7 * radius, height / 2)
        x = rng.uniform(margin_x, width - margin_x)
        y = rng.uniform(margin_y, height - margin_y)
        distance = _signed_distance(rng, name, radius, *np.ogrid[-y : height - y, -x : width - x])
        left = np.bincount(owner[distance >= 0], minlength=len(areas))
        if all(left[1:] >= LEAST_VISIBLE * np.array(areas[1:])):
            return distance
    return None


def _signed_distance(
    rng: np.random.Generator, name: str, radius: float, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Distance to the outline, turned and stretched at random.

    y [H, 1] and x [1, W] are pixels from the shape's centre.
    """
    turn, stretch = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-1, 1) * np.log(STRETCH))
    u = (np.cos(turn) * x + np.sin(turn) * y) * stretch
    v = (np.cos(turn) * y - np.sin(turn) * x) / stretch
    if name == "circle":
        return np.hypot(u, v) - radius
    if name == "ring":
        middle, half = radius * (1 + RING_HOLE) / 2, radius * (1 - RING_HOLE) / 2
        return np.abs(np.hypot(u, v) - middle) - half
    corners = {"square": 4, "triangle": 3, "star": 10}[name]
    radii = np.full(corners, radius)
    if name == "star":
        radii[1::2] *= STAR_NOTCH
    angles = 2 * np.pi * np.arange(corners) / corners
    return _polygon_distance(u, v, radii * np.cos(angles), radii * np.sin(angles))


def _polygon_distance(u, v, corners_u, corners_v) -> np.ndarray:
    """Signed distance of the points (u, v) to a polygon; even-odd crossings decide the side."""
    nearest = np.full(u.shape, np.inf)
    inside = np.zeros(u.shape, bool)
    for a, b, c, d in zip(
        corners_u, corners_v, np.roll(corners_u, -1), np.roll(corners_v, -1), strict=True
    ):
        along = ((u - a) * (c - a) + (v - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2)
        along = np.clip(along, 0, 1)
        nearest = np.minimum(
            nearest, (u - a - along * (c - a)) ** 2 + (v - b - along * (d - b)) ** 2
        )
        if b != d:
            inside ^= ((b > v) != (d > v)) & (u < a + (v - b) * (c - a) / (d - b))
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def _paint(
    rng: np.random.Generator, canvas: np.ndarray, distance: np.ndarray, label: int
) -> np.ndarray:
    """The canvas with a shape on it, smooth at the edge, over a soft shadow."""
    height, width = distance.shape
    shadow = rng.uniform(0, 0.5) * np.exp(-np.maximum(distance, 0) / rng.uniform(1.5, 5))
    canvas = canvas * (1 - shadow[..., None])
    under = canvas[distance < 0]
    ground = under.mean(axis=0) if len(under) else canvas.mean(axis=(0, 1))
    color = ground
    while np.linalg.norm(color - ground) < CONTRAST:
        hue = label / (SHAPES.num_classes - 1) + rng.normal(0, HUE_SPREAD)
        color = _color(rng, hue, VIVID)
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    return canvas * (1 - cover) + _texture(rng, height, width, color) * cover


def _color(rng: np.random.Generator, hue: float, saturation: tuple[float, float]) -> np.ndarray:
    """RGB in 0..255; `hue` counts turns of the colour circle."""
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(*saturation), rng.uniform(0.35, 0.95))
    return 255 * np.array(rgb)


def _texture(rng: np.random.Generator, height: int, width: int, color: np.ndarray) -> np.ndarray:
    """float64 [H, W, 3] around `color`: a gradient, stripes, checks, spots or clouds."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    turn, period = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(6), np.log(40)))
    u = np.cos(turn) * x + np.sin(turn) * y
    v = np.cos(turn) * y - np.sin(turn) * x
    kind = rng.choice(["gradient", "stripes", "checks", "spots", "clouds"])
    if kind == "gradient":
        pattern = 2 * (u - u.min()) / (u.max() - u.min()) - 1
    elif kind == "stripes":
        wobble = _clouds(rng, height, width, 40) * rng.uniform(0, 1.5)
        pattern = np.tanh(3 * np.sin(2 * np.pi * u / period + wobble))
    elif kind == "checks":
        pattern = np.tanh(6 * np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period))
    elif kind == "spots":
        pattern = np.tanh(4 * _clouds(rng, height, width, period / 2) - 1)
    else:
        octaves = [_clouds(rng, height, width, period / 2**k) / 2**k for k in range(3)]
        pattern = np.sum(octaves, axis=0)
    change = rng.normal(size=3)
    change *= rng.uniform(10, 45) / np.linalg.norm(change)
    light = 1 + rng.uniform(-0.15, 0.15) * (2 * y / height - 1)
    return (color + pattern[..., None] * change) * light[..., None]


def _clouds(rng: np.random.Generator, height: int, width: int, period: float) -> np.ndarray:
    """Smooth noise of about unit variance; `period` is the spacing of its grid in pixels."""
    rows, columns = int(height / period) + 3, int(width / period) + 3
    grid = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32))
    return 1.3 * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), float)
