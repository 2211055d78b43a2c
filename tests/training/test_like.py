"""A network taken from a file: what goes over it, what a run records, what is refused."""

import dataclasses
import json

import keras
import pytest
from support.train_processes import small, start

from deeplab_tf.artefacts.trained_model import TrainedModel, read_model_config, save_model
from deeplab_tf.config import Backbone, Experiment, ModelConfig, load_experiment
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC
from deeplab_tf.models import build_model
from deeplab_tf.training.like import resolve_like
from deeplab_tf.training.stages import train

THEIRS = ModelConfig(
    backbone=Backbone.RESNET_TINY,
    multi_grid=(2,),
    stride_placement="first_unit",
    normalization="mean_std",
    upsampling="half_pixel",
    num_classes=VOC.num_classes,
    head_conv=True,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    trained = TrainedModel(build_model(THEIRS), Experiment(model=THEIRS), VOC)
    path = tmp_path_factory.mktemp("like") / "voc.keras"
    save_model(trained, path)
    return path


def test_the_file_goes_over_the_row_and_flags_over_the_file(file):
    row = small()
    row.model.like, row.model.output_stride, row.model.head_conv = str(file), 8, False
    theirs = read_model_config(file)
    resolved = resolve_like(row).model
    assert resolved == dataclasses.replace(theirs, num_classes=None)
    resolved = resolve_like(row, ["model.like", "model.output_stride", "train.steps"]).model
    assert resolved == dataclasses.replace(theirs, num_classes=None, output_stride=8)
    assert resolve_like(small()) == small()


def test_what_names_no_network_is_refused(tmp_path):
    row = small()
    row.model.like = str(tmp_path / "gone.keras")
    with pytest.raises(DeeplabError, match="like=.*gone.keras does not exist"):
        resolve_like(row)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    row.model.like = str(tmp_path / "other.keras")
    with pytest.raises(DeeplabError, match="other.keras was not written by deeplab_tf"):
        resolve_like(row)
    with pytest.raises(ValueError, match="must be resolved before"):
        build_model(dataclasses.replace(THEIRS, like="a.keras"))


def test_a_command_trains_the_network_of_a_file_and_goes_on_without_it(
    file, shapes_data, tmp_path, capsys
):
    flags = [f"--config.model.like={file}", "--config.model.output_stride=8"]
    process = start(
        shapes_data,
        tmp_path / "run",
        flags=[*flags, f"--config.init_from={file}"],
        head=None,
        steps=2,
    )
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "  skipped       2  logits/kernel" in out and "  missing       0" in out
    config = tmp_path / "run" / "config.json"
    assert json.loads(config.read_text())["model"]["like"] is None
    experiment = load_experiment(str(config))
    assert experiment.model == dataclasses.replace(THEIRS, num_classes=6, output_stride=8)
    file.unlink()
    assert train(experiment, shapes_data, tmp_path / "run").stopped_by is None
    assert "going on from step 2" in capsys.readouterr().out
