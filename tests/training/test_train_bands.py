"""Five bands of sixteen bits from records to a served model: trained, evaluated, predicted."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image
from support.random_model import random_trained_model
from support.train_processes import small

from deeplab_tf.artefacts.trained_model import load_model, save_model
from deeplab_tf.config import Backbone, EvaluateConfig, validate
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.images.classes import Classes, voc_palette
from deeplab_tf.inference.predictor import load_predictor, trained_predictor
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.training.stages import train

LABELS = Classes("fields", ("soil", "crop"), voc_palette(2))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Fields whose class only the fifth band shows."""
    root = tmp_path_factory.mktemp("fields")
    splits = {"train": [], "val": []}
    for number in range(10):
        draw = np.random.default_rng(number)
        mask = np.repeat(np.repeat(draw.integers(0, 2, (4, 4), dtype=np.uint8), 16, 0), 16, 1)
        pixels = draw.integers(0, 60_000, (64, 64, 5), dtype=np.uint16)
        pixels[..., 4] = 20_000 + 20_000 * mask.astype(np.uint16)
        tifffile.imwrite(root / f"{number}.tif", pixels, photometric="minisblack")
        Image.fromarray(mask).save(root / f"{number}.png")
        pair = Pair(
            str(number),
            root / f"{number}.tif",
            IndexMask(root / f"{number}.png", plain_values(2, 255)),
        )
        splits["train" if number < 8 else "val"].append(pair)
    source = Source(LABELS, splits, image_format=ImageFormat(5, 16))
    write_records(examine(source).healthy(), root / "data")
    return root / "data"


def experiment(**changes):
    experiment = small(steps=150, base_learning_rate=0.02, checkpoint_every=150, panels_every=150)
    data = dataclasses.replace(experiment.data, dataset="fields")
    model_config = dataclasses.replace(
        experiment.model,
        backbone=Backbone.RESNET_SLIM,  # the tiny one does not learn the fifth band
        multi_grid=(1, 1, 1),
        batch_norm_momentum=0.9,  # for so few steps
    )
    return validate(dataclasses.replace(experiment, data=data, model=model_config, **changes))


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    assert train(experiment(), data_dir, workdir).stopped_by is None
    return workdir


def test_the_network_has_the_data_sets_bands_and_learns_from_the_fifth(data_dir, workdir):
    trained, records = load_model(workdir), open_records(data_dir, "fields")
    assert trained.image_format == records.image_format and trained.model.input_shape[-1] == 5
    evaluation = evaluate_split(trained_predictor(trained, EvaluateConfig()), records, "val")
    # A coin gets 0.33 and one class everywhere 0.25; the other bands are noise.
    assert evaluation.scores.summary()["mean_iou"] > 0.5
    assert evaluation.samples[0].image.shape == (64, 64, 3)
    assert evaluation.samples[0].image.dtype == np.uint8


def test_a_tiff_is_predicted_and_a_photo_refused(data_dir, workdir, tmp_path):
    images = [data_dir.parent / "8.tif", tmp_path / "photo.png"]
    Image.new("RGB", (20, 20)).save(images[1])
    failed = predict_images(load_predictor(workdir), images, tmp_path / "out")
    assert len(failed) == 1 and "must have 5 bands of 16 bits" in str(failed[0])
    labels = np.asarray(Image.open(tmp_path / "out" / "8.png"))
    mask = np.asarray(Image.open(data_dir.parent / "8.png"))
    assert np.mean(labels == mask) > 0.6
    assert Image.open(tmp_path / "out" / "8_overlay.jpg").mode == "RGB"


def test_the_saved_model_takes_the_same_pixels_and_no_encoded_photos(data_dir, workdir, tmp_path):
    from deeplab_tf.export.saved_model import (  # pyright: ignore[reportMissingImports]
        write_saved_model,
    )

    trained = load_model(workdir)
    write_saved_model(trained, tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved"))
    assert list(served.signatures) == ["serving_default"]
    pixels = tifffile.imread(data_dir.parent / "9.tif")
    expected = load_predictor(workdir).predict(pixels[None])
    np.testing.assert_array_equal(
        load_predictor(tmp_path / "saved").predict(pixels[None]), expected
    )


def test_an_int8_file_calibrated_on_the_records_agrees_with_the_truth(data_dir, workdir, tmp_path):
    from deeplab_tf.export.export_model import export_model  # pyright: ignore[reportMissingImports]

    options = {"data_dir": data_dir, "image_size": (64, 64), "quantize": "int8"}
    exported = export_model(workdir, tmp_path, "litert", **options, report=print)
    keras_model, artefact = exported.parity.mean_iou
    assert artefact > keras_model - 0.01 and exported.parity.label_agreement > 0.97
    predictor = load_predictor(exported.artefact)
    evaluation = evaluate_split(predictor, open_records(data_dir, "fields"), "val")
    assert evaluation.scores.summary()["mean_iou"] == pytest.approx(artefact)


def test_weights_of_rgb_begin_all_but_the_first_convolution(data_dir, tmp_path, capsys):
    save_model(random_trained_model(backbone=Backbone.RESNET_SLIM), tmp_path / "rgb.keras")
    start = experiment(init_from=str(tmp_path / "rgb.keras"))
    start.train.steps = 1
    train(start, data_dir, tmp_path / "run")
    out = capsys.readouterr().out
    assert "conv1" in out and "initial weights from" in out


def test_the_model_of_other_bands_is_refused(data_dir, workdir, shapes_data):
    records = open_records(shapes_data, "shapes")
    trained = load_model(workdir)
    trained.classes = records.classes
    with pytest.raises(DeeplabError, match="takes images of 5 bands of 16 bits, and the data set"):
        evaluate_split(trained_predictor(trained, EvaluateConfig()), records, "val")
    wrong = experiment()
    wrong.model.image_format = ImageFormat(5, 8, (0.0,) * 5, (1.0,) * 5)
    said = r"image_format is ImageFormat\(bands=5, bits=8, .* but fields has .*bits=16"
    with pytest.raises(DeeplabError, match=said):
        train(wrong, data_dir, workdir.with_name("other"))
