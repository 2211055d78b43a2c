"""The turned crop against matrices of homogeneous coordinates, scipy's interpolation and numpy."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates

from deeplab_tf.config import DataConfig
from deeplab_tf.data.augment import crop_by
from deeplab_tf.data.geometry import Geometry, sample_geometry
from deeplab_tf.data.rotation import draw_angle, rotated_crop
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
DATA = DataConfig(crop_size=30, crop_width=41, rotation=30.0)
in_a_graph = tf.function(
    lambda geometry, angle, image, mask: rotated_crop(geometry, angle, image, mask, DATA, MEAN),
    reduce_retracing=True,
)


def seed_of(number: int) -> tf.Tensor:
    return tf.constant([4, number], tf.int64)


def example(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(height + width)
    image = generator.integers(0, 256, (height, width, 3), np.uint8)
    return image, generator.integers(0, 21, (height, width), np.uint8)


def shift(y: float, x: float) -> np.ndarray:
    return np.array([[1, 0, y], [0, 1, x], [0, 0, 1]])


def scale(y: float, x: float) -> np.ndarray:
    return np.diag([y, x, 1.0])


def source_of(geometry: Geometry, angle: float, source, crop) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the source, in pixels from the corner, of each pixel centre of the crop.

    Forwards: enlarge, move the crop to the origin, turn about the centre of what it shows, mirror.
    """
    size, offset = (np.array(part, np.float64) for part in (geometry.size, geometry.offset))
    centre = np.minimum(size - offset, crop) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    # Counterclockwise as one sees it: the right edge goes up, which is towards smaller rows.
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    mirror = shift(0, crop[1]) @ scale(1, -1) if geometry.flip else np.eye(3)
    forwards = mirror @ shift(*centre) @ turn @ shift(*-centre) @ shift(*-offset)
    backwards = np.linalg.inv(forwards @ scale(*(size / source)))
    rows, columns = np.mgrid[: crop[0], : crop[1]] + 0.5
    y, x, _ = np.einsum("ij,j...->i...", backwards, np.stack([rows, columns, np.ones_like(rows)]))
    return y, x


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 70), (90, 1), (12, 17), (30, 41), (64, 50), (200, 150)], ids=str
)
def test_equals_matrices_with_scipys_interpolation_and_nearest_masks(size):
    image, mask = example(*size)
    for number in range(6):
        source = tf.constant(size, tf.int64)
        geometry = sample_geometry(source, seed_of(number), DATA)
        angle = draw_angle(seed_of(number), DATA)
        got, labels = (part.numpy() for part in in_a_graph(geometry, angle, image, mask))
        geometry = Geometry(*(part.numpy() for part in geometry))
        y, x = source_of(geometry, float(angle), size, DATA.crop)
        # A centre that lies on the border of two pixels within float32 may belong to either.
        sure = np.minimum(np.abs(y - np.round(y)), np.abs(x - np.round(x))) > 2e-4
        assert sure.mean() > 0.9
        inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
        row, column = (
            np.clip(np.floor(at), 0, side - 1).astype(int)
            for at, side in zip((y, x), size, strict=True)
        )
        want = np.where(inside, mask[row, column], VOID)
        np.testing.assert_array_equal(labels[sure], want[sure])
        for band in range(3):
            values = map_coordinates(
                image[..., band].astype(np.float64), [y - 0.5, x - 0.5], order=1, mode="nearest"
            )
            values = np.where(inside, values, MEAN[band])
            # TensorFlow's coordinates are float32: 3e-5 of a pixel at 200, times 255 levels.
            np.testing.assert_allclose(got[..., band][sure], values[sure], atol=0.02)


def test_pixels_beyond_the_image_are_exactly_the_mean_pixel_and_void():
    image, mask = example(12, 17)
    mask[:] = 3
    geometry = Geometry(
        tf.constant([12, 17], tf.int64), tf.constant([0, 0], tf.int64), tf.constant(False)
    )
    got, labels = (part.numpy() for part in in_a_graph(geometry, 0.5, image, mask))
    assert set(np.unique(labels)) == {3, VOID}
    assert (got[labels == VOID] == np.float32(MEAN)).all()
    assert 150 < (labels == 3).sum() <= 12 * 17  # corners are turned out of the crop


def test_no_turn_is_the_plain_crop():
    for size in ((64, 50), (20, 90)):
        image, mask = example(*size)
        geometry = sample_geometry(tf.constant(size, tf.int64), seed_of(1), DATA)
        got, labels = in_a_graph(geometry, 0.0, image, mask)
        want, want_labels = crop_by(geometry, image, mask, DATA, MEAN)
        np.testing.assert_allclose(got, want, atol=0.01)
        np.testing.assert_array_equal(labels, want_labels)


def test_a_right_angle_is_numpys_rot90():
    data = DataConfig(crop_size=32)
    image, mask = example(32, 32)
    geometry = Geometry(
        tf.constant([32, 32], tf.int64), tf.constant([0, 0], tf.int64), tf.constant(False)
    )
    got, labels = rotated_crop(geometry, tf.constant(math.pi / 2), image, mask, data, MEAN)
    np.testing.assert_allclose(got, np.rot90(image), atol=0.02)
    np.testing.assert_array_equal(labels, np.rot90(mask))


def test_angles_are_uniform_to_either_side():
    angles = [math.degrees(draw_angle(seed_of(number), DATA)) for number in range(500)]
    assert -30 <= min(angles) < -29.5 and 29.5 < max(angles) <= 30
    assert abs(np.mean(angles)) < 3.5  # standard error 17.3 / sqrt(500) = 0.8
