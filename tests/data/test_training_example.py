"""All augmentations together: what they may change, what they may not, and on what they depend."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import cases
from support.random_crop import random_crop

from deeplab_tf.config import DataConfig, Fit
from deeplab_tf.config.augmentation import AUGMENTATIONS, RGB_ONLY
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.training_example import Donor, make_example
from deeplab_tf.images.classes import VOID

MEAN = (123.15, 115.90, 103.06)
PLAIN = DataConfig(crop_size=24, crop_width=31)
STRENGTHS = {
    "rotation": 20.0,
    "brightness": 0.2,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.1,
    "grey": 0.3,
    "blur": 1.5,
    "noise": 0.1,
    "jpeg_quality": 30,
    "cut_out": 0.5,
    "copy_paste": 0.5,
}
ALL = dataclasses.replace(PLAIN, **STRENGTHS)
BANDS = ImageFormat(5, 16, (900.0,) * 5, (300.0,) * 5)
FLOATS = ImageFormat(2, 32, (0.5, -40.0), (0.2, 9.0))
PIXELS_ONLY = ("brightness", "contrast", "saturation", "hue", "grey", "blur", "noise")


def seed_of(number: int) -> tf.Tensor:
    return tf.constant([8, number], tf.int64)


def example(size, image_format=RGB, seed=0) -> tuple[tf.Tensor, tf.Tensor]:
    generator = np.random.default_rng(seed)
    shape = (*size, image_format.bands)
    if image_format.bits == 32:
        image = generator.normal(image_format.mean, image_format.std, shape)
    else:
        image = generator.integers(1, 2**image_format.bits, shape)
    mask = generator.integers(0, 4, size, np.uint8)
    mask[generator.random(size) < 0.1] = VOID
    return tf.constant(image.astype(image_format.dtype)), tf.constant(mask)


def donor(image_format=RGB) -> Donor:
    return Donor(lambda: example((20, 35), image_format, seed=1), (3,))


@pytest.fixture(scope="module")
def everything():
    """All augmentations at once as the pipeline runs them, for images of any size."""

    @tf.function(reduce_retracing=True)
    def run(image, mask, seed):
        return make_example(image, mask, seed, ALL, RGB, MEAN, donor())

    return run


def test_with_everything_off_an_example_is_its_crop_bit_for_bit():
    for size in ((1, 1), (50, 40)):
        image, mask = example(size)
        for number in range(3):
            got = make_example(image, mask, seed_of(number), PLAIN, RGB, MEAN, donor())
            want = random_crop(image, mask, seed_of(number), PLAIN, MEAN)
            for one, other in zip(got, want, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_strengths_of_these_tests_are_all_that_there_are():
    assert STRENGTHS.keys() == AUGMENTATIONS.keys()
    fields = [field.name for field in dataclasses.fields(DataConfig)]
    assert [name for name in fields if name in AUGMENTATIONS] == list(AUGMENTATIONS)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_changes_some_examples_and_only_what_it_may(name):
    image, mask = example((60, 70))
    data = dataclasses.replace(PLAIN, **{name: STRENGTHS[name]})
    changed = 0
    for number in range(8):
        want = random_crop(image, mask, seed_of(number), PLAIN, MEAN)
        got = make_example(image, mask, seed_of(number), data, RGB, MEAN, donor())
        same = [np.array_equal(*pair) for pair in zip(got, want, strict=True)]
        changed += not all(same)
        if name in PIXELS_ONLY or name == "jpeg_quality":
            assert same[1]
    assert 1 <= changed <= 8


def test_turning_one_on_leaves_the_draws_of_the_others():
    """The noise of two runs is equal, whatever else is drawn beside it."""
    image, mask = tf.fill([40, 40, 3], tf.constant(128, tf.uint8)), tf.zeros([40, 40], tf.uint8)
    data = dataclasses.replace(PLAIN, min_scale=1.0, max_scale=1.0, noise=0.1)
    with_blur = dataclasses.replace(data, blur=1.0, rotation=5.0, copy_paste=0.5)
    for number in range(6):
        (got, _), (want, labels) = (
            make_example(image, mask, seed_of(number), each, RGB, MEAN, None)
            for each in (data, with_blur)
        )
        # A blurred or turned image of one grey is that grey, up to rounding.
        known = labels.numpy() != VOID
        assert known.mean() > 0.9
        np.testing.assert_allclose(got.numpy()[known], want.numpy()[known], atol=1e-3)


@cases(25)
@given(
    size=st.one_of(
        st.just((1, 1)),
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        st.tuples(st.integers(1, 90), st.integers(1, 90)),
    ),
    number=st.integers(0, 2**40),
)
def test_any_size_gives_pixels_in_range_and_labels_that_were_there(everything, size, number):
    image, mask = example(size)
    got, labels = (part.numpy() for part in everything(image, mask, seed_of(number)))
    assert got.shape == (24, 31, 3) and got.dtype == np.float32
    assert labels.shape == (24, 31) and labels.dtype == np.uint8
    assert got.min() >= -1e-3 and got.max() <= 255.001  # NaN fails too
    assert set(np.unique(labels)) <= {*np.unique(mask), 3, VOID}
    again = everything(image, mask, seed_of(number))
    np.testing.assert_array_equal(got, again[0])
    np.testing.assert_array_equal(labels, again[1])


@pytest.mark.parametrize(
    ("image_format", "fit"), [(BANDS, Fit.SCALE_AND_CROP), (FLOATS, Fit.LETTERBOX)], ids=str
)
def test_other_bands_get_what_makes_sense(image_format, fit):
    allowed = {name: value for name, value in STRENGTHS.items() if name not in RGB_ONLY}
    data = dataclasses.replace(PLAIN, fit=fit, **allowed)
    run = tf.function(
        lambda image, mask, seed: make_example(
            image, mask, seed, data, image_format, image_format.mean, donor(image_format)
        ),
        reduce_retracing=True,
    )
    plain, changed = dataclasses.replace(PLAIN, fit=fit), 0
    for size in ((1, 1), (33, 20)):
        image, mask = example(size, image_format)
        for number in range(4):
            got = run(image, mask, seed_of(number))[0].numpy()
            assert got.shape == (24, 31, image_format.bands) and np.isfinite(got).all()
            if image_format.bits == 16:
                assert got.min() >= 0 and got.max() <= 65535
            want = random_crop(image, mask, seed_of(number), plain, image_format.mean)[0]
            changed += not np.array_equal(got, want)
    assert changed >= 6


@pytest.mark.parametrize("image_format", [RGB, BANDS], ids=str)
def test_padding_and_missing_data_keep_their_values_and_stay_void(image_format):
    names = [
        name
        for name in (*PIXELS_ONLY, "jpeg_quality")
        if image_format.is_rgb or name not in RGB_ONLY
    ]
    data = dataclasses.replace(
        PLAIN, min_scale=1.0, max_scale=1.0, flip=False, **{n: STRENGTHS[n] for n in names}
    )
    image, mask = (part.numpy() for part in example((20, 25), image_format))
    image[5:12, 6:20], mask[5:12, 6:20] = 0, VOID
    mean = MEAN if image_format.is_rgb else image_format.mean
    for number in range(8):
        got, labels = (
            part.numpy()
            for part in make_example(
                tf.constant(image), tf.constant(mask), seed_of(number), data, image_format, mean
            )
        )
        assert (got[5:12, 6:20] == 0).all() and (labels[5:12, 6:20] == VOID).all()
        assert (got[20:] == np.float32(mean)).all() and (got[:, 25:] == np.float32(mean)).all()
        assert (labels[20:] == VOID).all() and (labels[:, 25:] == VOID).all()
        np.testing.assert_array_equal(labels[:20, :25], mask)


def test_what_is_pasted_is_labelled_over_padding_too():
    data = dataclasses.replace(PLAIN, copy_paste=1.0)
    image, mask = tf.zeros([1, 1, 3], tf.uint8), tf.zeros([1, 1], tf.uint8)
    pasted = 0
    for number in range(6):
        got, labels = make_example(image, mask, seed_of(number), data, RGB, MEAN, donor())
        pasted += int((labels.numpy() == 3).sum())
        assert (got.numpy()[labels.numpy() == VOID] == np.float32(MEAN)).all()
    assert pasted > 100


def test_seeds_and_numbers_both_count():
    image, mask = example((60, 70))
    results = {
        make_example(image, mask, tf.constant(seed, tf.int64), ALL, RGB, MEAN, donor())[0]
        .numpy()
        .tobytes()
        for seed in ((0, 1), (1, 1), (0, 2), (1, 0))
    }
    assert len(results) == 4
