"""Scenes by rows of windows: the labels of the whole image, its place, void, and no broken file."""

import dataclasses

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.geo_files import PLACE_OF_TAGS, place_of, write_geotiff
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import EvaluateConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID
from deeplab_tf.inference.predictor import trained_predictor
from deeplab_tf.prediction.outputs import check_outputs
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.predict_scene import is_scene

WINDOW = EvaluateConfig(window=65)


@pytest.fixture(scope="module")
def trained():
    return random_trained_model(aspp_rates=(1, 2))


@pytest.fixture(scope="module")
def predictor(trained):
    return trained_predictor(trained, WINDOW)


def test_a_scene_has_the_labels_of_the_whole_image_in_windows(predictor, tmp_path):
    pixels = random_picture(150, 131)
    path = write_geotiff(tmp_path / "scene.tif", pixels, tile=(32, 48), compression="zlib")
    assert is_scene(path, predictor)
    assert predict_images(predictor, [path], tmp_path / "out") == []
    labels = tifffile.imread(tmp_path / "out" / "scene.tif")
    np.testing.assert_array_equal(labels, predictor.predict(pixels[None])[0])
    assert len(np.unique(labels)) > 1
    assert place_of(tmp_path / "out" / "scene.tif") == PLACE_OF_TAGS
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "scene.tif",
        "scene_overlay.jpg",
    ]


def test_pixels_without_data_are_void_in_scenes_and_in_whole_images(predictor, trained, tmp_path):
    pixels = random_picture(150, 131)
    pixels[:90, :20] = 0
    pixels[140, 77] = 0
    path = write_geotiff(tmp_path / "scene.tif", pixels, "0")
    missing = (pixels == 0).all(-1)
    whole = trained_predictor(trained, EvaluateConfig())
    assert not is_scene(path, whole)
    for name, each in (("rows", predictor), ("whole", whole)):
        assert predict_images(each, [path], tmp_path / name) == []
        labels = tifffile.imread(tmp_path / name / "scene.tif")
        np.testing.assert_array_equal(labels == VOID, missing)
        wanted = each.predict(pixels[None])[0]
        np.testing.assert_array_equal(labels[~missing], wanted[~missing])
        assert place_of(tmp_path / name / "scene.tif") == PLACE_OF_TAGS


def test_a_tiff_without_a_place_gives_a_png(predictor, tmp_path):
    pixels = random_picture(100, 40)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert predict_images(predictor, [tmp_path / "a.tif"], tmp_path / "out") == []
    labels = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(labels, predictor.predict(pixels[None])[0])


def test_float_bands_by_rows(tmp_path):
    trained = random_trained_model(aspp_rates=(1, 2))
    image_format = ImageFormat(3, 32, (0.5, 0.4, 0.3), (0.3, 0.2, 0.1))
    model_config = dataclasses.replace(trained.experiment.model, image_format=image_format)
    experiment = dataclasses.replace(trained.experiment, model=model_config)
    each = trained_predictor(dataclasses.replace(trained, experiment=experiment), WINDOW)
    assert each.image_format.dtype == np.float32
    pixels = (random_picture(120, 70) / 255).astype(np.float32)
    pixels[:30, :30] = np.nan
    path = write_geotiff(tmp_path / "a.tif", pixels)
    assert is_scene(path, each)
    assert predict_images(each, [path], tmp_path / "out") == []
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    wanted = each.predict(np.nan_to_num(pixels)[None])[0]
    wanted[:30, :30] = VOID
    np.testing.assert_array_equal(labels, wanted)


def test_the_overlay_of_a_large_scene_is_small(predictor, tmp_path, monkeypatch):
    from deeplab_tf.prediction import predict_scene

    path = write_geotiff(tmp_path / "a.tif", random_picture(140, 70))
    predict_images(predictor, [path], tmp_path / "whole")
    monkeypatch.setattr(predict_scene, "LONGEST_SIDE", 50)
    predict_images(predictor, [path], tmp_path / "small")
    whole, small = (Image.open(tmp_path / n / "a_overlay.jpg") for n in ("whole", "small"))
    assert small.height == whole.height - 140 + 47  # every third row


def test_a_broken_scene_is_named_and_leaves_nothing(predictor, tmp_path):
    path = write_geotiff(tmp_path / "a.tif", random_picture(200, 90), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        last = file.pages[0].dataoffsets[-1]
    data[last : last + 40] = bytes(40)
    path.write_bytes(data)
    good = write_geotiff(tmp_path / "b.tif", random_picture(80, 60))
    (error,) = predict_images(predictor, [path, good], tmp_path / "out")
    assert "a.tif cannot be read" in str(error) and "\n" not in str(error)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.tif", "b_overlay.jpg"]


def test_padding_needs_the_whole_image(trained, tmp_path):
    path = write_geotiff(tmp_path / "a.tif", random_picture(140, 70))
    padded = trained_predictor(trained, EvaluateConfig(window=65, pad_to=65))
    assert not is_scene(path, padded)


def test_labels_never_replace_their_scene(tmp_path):
    path = write_geotiff(tmp_path / "a.tif", random_picture(10, 10))
    with pytest.raises(DeeplabError, match="would be overwritten"):
        check_outputs([path], tmp_path)
