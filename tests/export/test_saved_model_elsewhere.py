"""The SavedModel where nothing of ours is: in TensorFlow's C library and its command line."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support.commands import run
from support.random_model import random_picture, random_trained_model
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from deeplab_tf.config import Backbone
from deeplab_tf.export.saved_model import write_saved_model

MOBILE = {"multi_grid": (1, 1, 1), "aspp_rates": (), "width_multiplier": 0.25}
SAVED_MODEL_CLI = """
import sys
from tensorflow.python.tools import saved_model_cli
saved_model_cli.main()
"""
"""The script of this name, but for its own import of TensorFlow."""


@pytest.fixture(scope="module", params=[Backbone.RESNET_TINY, Backbone.MOBILENET_V2])
def served(request, tmp_path_factory):
    """The folder, images [2, H, W, 3], and their labels by the Keras model."""
    mobile = request.param is Backbone.MOBILENET_V2
    trained = random_trained_model(
        backbone=request.param,
        **(MOBILE if mobile else {"multi_grid": (1,)}),
    )
    folder = tmp_path_factory.mktemp("served") / "model"
    write_saved_model(trained, folder)
    images = np.stack([random_picture(50, 67, seed) for seed in range(2)])
    return folder, images, trained.model(images, training=False).numpy().argmax(-1)


def test_the_c_library_runs_it(served, tmp_path):
    folder, images, labels = served
    content = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = content.meta_graphs[0].signature_def["serving_default"]
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [
            sys.executable,
            pathlib.Path(__file__).parents[1] / "support" / "c_api.py",
            folder,
            tmp_path / "images.npy",
            tmp_path / "labels.npy",
            signature.inputs["images"].name,
            signature.outputs["labels"].name,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.mean(np.load(tmp_path / "labels.npy") == labels) > 0.999
    assert len(np.unique(labels)) > 1


def test_saved_model_cli_runs_it(served, tmp_path):
    folder, images, labels = served
    np.save(tmp_path / "images.npy", images)
    done = run(
        *("-c", SAVED_MODEL_CLI, "run", f"--dir={folder}", "--tag_set=serve"),
        *("--signature_def=serving_default", f"--inputs=images={tmp_path}/images.npy"),
        f"--outdir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.mean(np.load(tmp_path / "labels.npy") == labels) > 0.999
    assert np.load(tmp_path / "confidence.npy").shape == labels.shape
