"""`deeplab-train --source`: a folder of one's own and a trained network, with one command."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from support.commands import call
from support.random_model import random_picture


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Holds `roofs/` of six pictures with masks of 0 and 1, without a dataset.json."""
    root = tmp_path_factory.mktemp("place")
    for kind in ("images", "masks"):
        (root / "roofs" / kind).mkdir(parents=True)
    for number in range(6):
        picture = random_picture(33, 33, seed=number)
        Image.fromarray(picture).save(root / "roofs" / "images" / f"{number}.png")
        mask = (picture[..., 0] > 127).astype(np.uint8)
        Image.fromarray(mask).save(root / "roofs" / "masks" / f"{number}.png")
    return root


def train(place, *flags, source="roofs", **env):
    return call(
        "train",
        "--config=configs/shapes.py:smoke",
        *("--config.data.crop_size=33", "--config.train.steps=1", "--config.train.batch_size=2"),
        *(f"--source={source}", "--data_dir=data", "--workdir=run", *flags),
        env={**os.environ, **env},
        cwd=place,
    )


def test_a_folder_is_described_written_and_trained_on_and_the_run_goes_on(place):
    done = train(place)
    assert (done.returncode, done.stderr) == (0, "")
    written = json.loads((place / "roofs" / "dataset.json").read_text())
    assert (written["name"], written["classes"]) == ("roofs", ["class_0", "class_1"])
    assert "written: roofs/dataset.json" in done.stdout
    assert "written: data/roofs/1.0.0" in done.stdout
    assert "images of roofs/train" in done.stdout
    config = json.loads((place / "run" / "config.json").read_text())
    assert (config["data"]["dataset"], config["model"]["num_classes"]) == ("roofs", 2)

    again = train(place)
    assert again.returncode == 0 and "already prepared: data/roofs/1.0.0" in again.stdout

    other = train(place, "--config.data.dataset=streets")
    assert other.returncode == 1
    assert other.stderr.endswith(
        "config.data.dataset must be roofs, which roofs holds, or left out. Received: streets\n"
    )


def test_a_folder_that_is_missing_is_one_line(place):
    done = train(place, source="rooves")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "rooves does not exist" in done.stderr


def test_workers_do_not_all_prepare(place):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    done = train(place, TF_CONFIG=json.dumps(cluster))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--source is for a training of one process" in done.stderr
