"""The drawing of the embedded `shapes` data set: textured shapes on a textured ground.

The ground is dull and the shapes are vivid. Each class has a hue, and the hues of a class spread so
far that neighbouring classes overlap: as in photographs, the colour helps and the outline decides.
A small network therefore learns the task from scratch within minutes. All shapes are computed from
signed distances to the outline, in pixels, negative inside.

Tested in tests/data/sources/test_shapes.py.
"""

import colorsys
import dataclasses

import numpy as np
from PIL import Image

from deeplab_tf.images.classes import SHAPES, VOID

# The sides of a landscape image in pixels; half of the images are turned to portrait.
WIDTH_RANGE, HEIGHT_RANGE = (160, 192), (120, 160)
MAX_SHAPES = 6
SMALLEST, LARGEST = 12.0, 0.85
"""The range of the square root of a shape's area.

`SMALLEST` is in pixels; `LARGEST` is a share of the square root of the image's area.
"""

# The least share of a shape's area that stays visible when later shapes cover it; with this share
# a person can still name the shape.
LEAST_VISIBLE = 0.55
# The least distance between the mean RGB colour of a shape and that of the pixels under the shape.
CONTRAST = 75.0
DULL, VIVID = (0.0, 0.35), (0.5, 1.0)  # saturation of the ground and of the shapes
# The standard deviation of a class's hue, in turns of the colour circle; the hues of two classes
# are 0.2 apart. A network from scratch reaches a mean IoU of 0.89 in the demo; with a spread of
# 0.08 it reaches 0.64.
HUE_SPREAD = 0.04
STRETCH = 1.15  # the largest factor by which a shape is stretched in one direction
PLACEMENT_TRIES = 12

RING_HOLE = 0.55  # inner radius of the ring / outer radius
STAR_NOTCH = 0.45  # inner radius of the five-pointed star / outer radius
# The area of each shape divided by the square of its circumradius.
AREAS = {
    "circle": np.pi,
    "square": 2.0,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": 5 * STAR_NOTCH * np.sin(np.pi / 5),
    "ring": np.pi * (1 - RING_HOLE**2),
}


@dataclasses.dataclass(frozen=True)
class Example:
    """A drawn image and its mask.

    Attributes:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W] of class ids of `SHAPES`, and `VOID` on outlines.
    """

    image: np.ndarray
    mask: np.ndarray


def draw_example(seed: tuple[int, ...]) -> Example:
    """Draws one image with one to six shapes, and its mask; equal seeds give equal pixels.

    A shape that finds no place is left out.
    """
    rng = np.random.default_rng(seed)
    width = int(rng.integers(*WIDTH_RANGE, endpoint=True))
    height = int(rng.integers(*HEIGHT_RANGE, endpoint=True))
    if rng.random() < 0.5:
        width, height = height, width
    canvas = _texture(rng, height, width, _color(rng, rng.random(), DULL))
    mask = np.zeros((height, width), np.uint8)
    owner = np.zeros((height, width), np.int64)  # 0 for the ground, then a number for each shape
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
        # The outline is void over a width of two to three pixels, which is as wide in proportion to
        # the image as VOC's five pixels are.
        mask[np.abs(distance) < (1.0 if size < 25 else 1.5)] = VOID
    grain = rng.normal(0, rng.uniform(1, 6), canvas.shape)
    return Example(np.clip(canvas + grain, 0, 255).round().astype(np.uint8), mask)


def _sizes(rng: np.random.Generator, largest: float) -> np.ndarray:
    """Draws the square roots of the areas of an image's shapes, in pixels.

    The sizes fall, so that small shapes are drawn over large ones. One size is drawn uniformly, the
    others uniformly in the logarithm: most images have a large shape, and most shapes are small.
    """
    others = rng.integers(0, MAX_SHAPES)
    sizes = np.exp(rng.uniform(np.log(SMALLEST), np.log(largest), others))
    return np.sort([*sizes, rng.uniform(SMALLEST, largest)])[::-1]


def _place(
    rng: np.random.Generator, name: str, size: float, owner: np.ndarray, areas: list[int]
) -> np.ndarray | None:
    """Finds a random place for a shape where it leaves enough of each earlier shape visible.

    Args:
        rng: the source of the random choices.
        name: the class of the shape.
        size: the square root of the shape's area in pixels.
        owner: int64 [H, W], the number of the shape that is visible in each pixel; 0 is the ground.
        areas: the area of each shape when it was drawn, by its number.

    Returns:
        The signed distance [H, W] to the outline, or None where no place was found in
        `PLACEMENT_TRIES` tries.
    """
    height, width = owner.shape
    radius = size / np.sqrt(AREAS[name])
    for _ in range(PLACEMENT_TRIES):
        margin_x, margin_y = min(0.7 * radius, width / 2), min(0.7 * radius, height / 2)
        x = rng.uniform(margin_x, width - margin_x)
        y = rng.uniform(margin_y, height - margin_y)
        distance = _signed_distance(rng, name, radius, *np.ogrid[-y : height - y, -x : width - x])
        # The pixels of each earlier shape that stay visible; number 0, the ground, may vanish.
        left = np.bincount(owner[distance >= 0], minlength=len(areas))
        if all(left[1:] >= LEAST_VISIBLE * np.array(areas[1:])):
            return distance
    return None


def _signed_distance(
    rng: np.random.Generator, name: str, radius: float, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Returns the signed distance [H, W] to the outline of a shape, turned and stretched at random.

    Args:
        rng: the source of the random choices.
        name: the class of the shape.
        radius: the circumradius in pixels.
        y: [H, 1], the place of each row in pixels, where the shape's centre is 0.
        x: [1, W], the place of each column in pixels, where the shape's centre is 0.
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
    """Returns the signed distance of the points (u, v) to a polygon, with the shape of `u`.

    A point is inside where a ray from it crosses an odd number of edges.
    """
    nearest = np.full(u.shape, np.inf)
    inside = np.zeros(u.shape, bool)
    for a, b, c, d in zip(
        corners_u, corners_v, np.roll(corners_u, -1), np.roll(corners_v, -1), strict=True
    ):
        # `along` is the place on the edge that is nearest to (u, v): 0 at the corner (a, b), 1 at
        # the corner (c, d). `nearest` is the square of the least distance to any edge so far.
        along = ((u - a) * (c - a) + (v - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2)
        along = np.clip(along, 0, 1)
        nearest = np.minimum(
            nearest, (u - a - along * (c - a)) ** 2 + (v - b - along * (d - b)) ** 2
        )
        # A ray from (u, v) towards greater u crosses an edge whose ends lie on both sides of the
        # ray's line. A horizontal edge is never crossed, and would divide by 0.
        if b != d:
            inside ^= ((b > v) != (d > v)) & (u < a + (v - b) * (c - a) / (d - b))
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def _paint(
    rng: np.random.Generator, canvas: np.ndarray, distance: np.ndarray, class_id: int
) -> np.ndarray:
    """Returns the canvas with a shape painted on it, smooth at the edge, over a soft shadow.

    Args:
        rng: the source of the random choices.
        canvas: [H, W, 3].
        distance: [H, W], the signed distance to the shape's outline in pixels.
        class_id: the class of the shape, which decides the hue.
    """
    height, width = distance.shape
    shadow = rng.uniform(0, 0.5) * np.exp(-np.maximum(distance, 0) / rng.uniform(1.5, 5))
    canvas = canvas * (1 - shadow[..., None])
    under = canvas[distance < 0]
    ground = under.mean(axis=0) if len(under) else canvas.mean(axis=(0, 1))
    color = ground
    while np.linalg.norm(color - ground) < CONTRAST:
        hue = class_id / (SHAPES.num_classes - 1) + rng.normal(0, HUE_SPREAD)
        color = _color(rng, hue, VIVID)
    # The share of each pixel that the shape covers rises from 0 to 1 across the outline.
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    return canvas * (1 - cover) + _texture(rng, height, width, color) * cover


def _color(rng: np.random.Generator, hue: float, saturation: tuple[float, float]) -> np.ndarray:
    """Draws an RGB colour in 0..255; `hue` is in turns of the colour circle."""
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(*saturation), rng.uniform(0.35, 0.95))
    return 255 * np.array(rgb)


def _texture(rng: np.random.Generator, height: int, width: int, color: np.ndarray) -> np.ndarray:
    """Draws a texture, float64 [H, W, 3], around `color`.

    The texture is a gradient, stripes, checks, spots or clouds.
    """
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
    # The pattern changes the colour along one random direction of RGB, by 10 to 45 where the
    # pattern is 1. The light changes evenly from the top of the image to the bottom.
    change = rng.normal(size=3)
    change *= rng.uniform(10, 45) / np.linalg.norm(change)
    light = 1 + rng.uniform(-0.15, 0.15) * (2 * y / height - 1)
    return (color + pattern[..., None] * change) * light[..., None]


def _clouds(rng: np.random.Generator, height: int, width: int, period: float) -> np.ndarray:
    """Draws smooth noise [H, W] of about unit variance.

    The noise is interpolated from a grid of random values, `period` pixels apart.
    """
    rows, columns = int(height / period) + 3, int(width / period) + 3
    grid = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32))
    # Interpolation lowers the variance between the points of the grid; 1.3 makes up for that.
    return 1.3 * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), float)
