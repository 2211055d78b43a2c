"""Bilinear resizing against interpolation written out in numpy float64."""

import keras
import numpy as np
import pytest

from deeplab_tf.models import resize
from deeplab_tf.models.resize import Upsample, resize_bilinear


def interpolate(x, positions, axis):
    """Linear interpolation of `x` at fractional `positions` along `axis`; float64."""
    x = np.moveaxis(np.float64(x), axis, 0)
    low = np.clip(np.floor(positions).astype(int), 0, x.shape[0] - 1)
    high = np.minimum(low + 1, x.shape[0] - 1)
    part = (positions - low).reshape(-1, *[1] * (x.ndim - 1))
    return np.moveaxis((1 - part) * x[low] + part * x[high], 0, axis)


def align_corners(x, size):
    for axis, target in zip((1, 2), size, strict=True):
        source = x.shape[axis]
        last = max(target - 1, 1)
        x = interpolate(x, np.arange(target) * (source - 1) / last, axis)
    return x


def half_pixel(x, size):
    """torch's align_corners=False: pixel centres at half-integers, the border repeated."""
    for axis, target in zip((1, 2), size, strict=True):
        source = x.shape[axis]
        positions = (np.arange(target) + 0.5) * source / target - 0.5
        x = interpolate(x, np.clip(positions, 0, source - 1), axis)
    return x


def random_map(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


SIZES = [
    ((5, 7), (65, 97)),
    ((4, 6), (50, 51)),
    ((9, 8), (9, 8)),
    ((1, 3), (17, 1)),
    ((6, 5), (3, 2)),
]


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("path", ["tensorflow", "keras.ops"])
def test_resize_bilinear(corners, path, monkeypatch):
    if path == "keras.ops":
        monkeypatch.setattr(resize, "tf", None)
    for source, target in SIZES:
        x = random_map(2, *source, 3)
        expected = (align_corners if corners else half_pixel)(x, target)
        got = resize_bilinear(x, target, align_corners=corners)
        assert got.dtype == "float32"
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_half_pixel_is_torchs():
    """torch.nn.functional.interpolate([0, 1, 4], mode="bilinear", align_corners=False) by hand."""
    x = np.float32([0, 1, 4]).reshape(1, 1, 3, 1)
    doubled = resize_bilinear(x, (1, 6), align_corners=False)
    np.testing.assert_allclose(np.ravel(doubled), [0, 0.25, 0.75, 1.75, 3.25, 4], atol=1e-6)


def test_align_corners_by_hand():
    x = np.float32([0, 1, 4]).reshape(1, 3, 1, 1)
    stretched = resize_bilinear(x, (5, 1), align_corners=True)
    np.testing.assert_allclose(np.ravel(stretched), [0, 0.5, 1, 2.5, 4], atol=1e-6)


def upsample(logits, height, width, output_stride, upsampling="align_corners", static=True):
    """Through a model of static or dynamic image size."""
    size = (height, width) if static else (None, None)
    map_size = logits.shape[1:3] if static else (None, None)
    inputs = [keras.Input((*map_size, logits.shape[3])), keras.Input((*size, 3))]
    model = keras.Model(inputs, Upsample(output_stride, upsampling)(inputs))
    image = np.zeros((logits.shape[0], height, width, 3), np.float32)
    return model([logits, image]).numpy()


@pytest.mark.parametrize("size", [(375, 500), (64, 65), (33, 47), (1, 2000), (1, 1)])
@pytest.mark.parametrize("static", [True, False])
def test_sample_i_lies_on_pixel_i_times_output_stride(size, static):
    for output_stride in (4, 8, 16, 32):
        assert_on_grid(output_stride, *size, static)


def assert_on_grid(output_stride, height, width, static):
    rows, columns = -(-height // output_stride), -(-width // output_stride)
    logits = random_map(1, rows, columns, 2)
    result = upsample(logits, height, width, output_stride, static=static)
    assert result.shape == (1, height, width, 2)
    np.testing.assert_allclose(result[:, ::output_stride, ::output_stride], logits, atol=1e-6)
    # Linear between the samples, the last one repeated beyond them.
    expected = interpolate(logits, np.minimum(np.arange(height) / output_stride, rows - 1), 1)
    expected = interpolate(expected, np.minimum(np.arange(width) / output_stride, columns - 1), 2)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_at_513_it_is_the_papers_align_corners(output_stride, static):
    side = 512 // output_stride + 1
    logits = random_map(1, side, side, 2)
    result = upsample(logits, 513, 513, output_stride, static=static)
    np.testing.assert_allclose(result, align_corners(logits, (513, 513)), atol=1e-5)


@pytest.mark.parametrize("static", [True, False])
def test_half_pixel_stretches_over_the_image(static):
    logits = random_map(1, 5, 7, 2)
    result = upsample(logits, 75, 100, 16, "half_pixel", static)
    np.testing.assert_allclose(result, half_pixel(logits, (75, 100)), atol=1e-5)


def test_upsample_logits_is_saved_with_its_arguments():
    layer = Upsample(16, "half_pixel", dtype="float32", name="upsample")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (copy.ratio, str(copy.upsampling)) == (16, "half_pixel")
    assert copy.get_config() == layer.get_config()
    # Files of all versions have the same key.
    assert layer.get_config()["output_stride"] == 16


def test_a_layer_of_an_older_file_is_read():
    """The layer had another name while it upsampled only logits."""
    layer = keras.saving.deserialize_keras_object(
        {
            "module": "deeplab_tf.models.resize",
            "class_name": "UpsampleLogits",
            "config": {"name": "upsample", "output_stride": 8, "upsampling": "half_pixel"},
            "registered_name": "deeplab_tf>UpsampleLogits",
        }
    )
    assert isinstance(layer, Upsample) and (layer.ratio, layer.name) == (8, "upsample")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_map_keeps_its_dtype_and_a_ratio_of_1_its_numbers(dtype):
    coarse, fine = random_map(1, 3, 4, 2), random_map(1, 9, 11, 5)
    layer = Upsample(3, "align_corners", dtype=dtype)
    found = layer([coarse, fine])
    assert (found.dtype, found.shape) == (dtype, (1, 9, 11, 2))
    same = Upsample(1, "align_corners", dtype=dtype)([coarse, coarse])
    assert same.dtype == dtype
    np.testing.assert_allclose(keras.ops.cast(same, "float32"), coarse, atol=0.02)
