"""deeplab-export as a user calls it, in processes of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from random_model import random_picture, random_trained_model

from deeplab_tf.models import with_output_stride
from deeplab_tf.trained_model import save_model


def call(*arguments):
    command = [sys.executable, "-m", "deeplab_tf.cli.export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.keras, trained at output_stride 16, and two photos."""
    folder = tmp_path_factory.mktemp("cli_export")
    save_model(random_trained_model(), folder / "model.keras")
    for index in range(2):
        picture = Image.fromarray(random_picture(50, 60, seed=index))
        picture.save(folder / f"photo{index}.jpg")
    return folder


def test_saved_model_at_another_output_stride(folder):
    out = folder / "served"
    done = call(
        f"--model={folder}/model.keras",
        f"--out={out}",
        f"--images={folder}/*.jpg",
        "--output_stride=8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"artefact           {out} (" in done.stdout
    assert "label agreement    100.0000% of 2 images' pixels" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(
        f"next               deeplab-predict --model={out} "
    )
    assert json.loads((out / "parity.json").read_text())["output_stride"] == 8
    picture = random_picture(50, 60)
    labels = tf.saved_model.load(str(out)).signatures["serving_default"](images=picture[None])
    trained = random_trained_model()
    model = with_output_stride(trained.model, trained.experiment.model, 8)
    expected = np.asarray(model(picture[None]))
    np.testing.assert_array_equal(labels["labels"], expected.argmax(axis=-1))


def test_litert_float16_of_the_training_crop(folder):
    out = folder / "edge"
    arguments = [f"--model={folder}/model.keras", f"--out={out}", f"--images={folder}"]
    done = call(*arguments, "--format=litert", "--quantize=float16", "--parity_images=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["model_float16.tflite", "parity.json"]
    assert json.loads((out / "parity.json").read_text())["images"] == 1
    interpreter = Interpreter(model_path=str(out / "model_float16.tflite"))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 65, 65, 3]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"--images": None}, 2, "give one of --data_dir=DIR"),
        ({"--model": None}, 2, "give one of --workdir=DIR and --model=FILE.keras"),
        ({"--out": None}, 2, "missing --out"),
        ({"--image_size": "65,65"}, 2, "--image_size and --outputs are for --format=litert"),
        ({"--outputs": "labels"}, 2, "--image_size and --outputs are for --format=litert"),
        ({"--format": "litert", "--keep_float": "a"}, 2, "--keep_float is for --quantize=int8"),
        ({"--keep_float": "a,(b"}, 2, "must be regular expressions of layer names"),
        ({"--format": "litert", "--image_size": "65"}, 2, "must be H,W in pixels"),
        ({"--format": "litert", "--image_size": "0,65"}, 2, "must be H,W in pixels"),
        ({"--quantize": "int4"}, 2, "--quantize=int4: value should be one of <none|float16|dyn"),
        ({"--output_stride": "7"}, 2, "--output_stride=7: must be one of 4, 8, 16, 32, 64"),
        ({"--output_stride": "64"}, 1, "one of (4, 8, 16, 32), since the last block is block4"),
        ({"--model": "missing.keras"}, 1, "model missing.keras does not exist"),
        ({"--images": None, "--data_dir": "missing"}, 1, "missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, code, message, folder, tmp_path):
    usual = {
        "--model": folder / "model.keras",
        "--out": tmp_path / "out",
        "--images": folder / "photo0.jpg",
    }
    given = {name: value for name, value in (usual | arguments).items() if value is not None}
    done = call(*(f"{name}={value}" for name, value in given.items()))
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("deeplab-export: error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_picture_leaves_nothing(folder, tmp_path):
    (tmp_path / "broken.jpg").write_bytes((folder / "photo0.jpg").read_bytes()[:900])
    out = tmp_path / "out"
    done = call(f"--model={folder}/model.keras", f"--out={out}", f"--images={tmp_path}/broken.jpg")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "broken.jpg cannot be read" in done.stderr
    assert not out.exists()
