"""deeplab-export as a user calls it, in processes of their own."""

import functools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from support import commands
from support.commands import run
from support.random_model import random_picture, shared_model

from deeplab_tf.artefacts.litert import open_interpreter
from deeplab_tf.artefacts.onnx import open_onnx
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.export.ranges import SHARES
from deeplab_tf.images.classes import SHAPES, VOID
from deeplab_tf.images.drawing import write_labels
from deeplab_tf.models import with_output_stride

call = functools.partial(commands.call, "export")
INT8 = {"--format": "litert", "--quantize": "int8"}


@pytest.fixture(scope="module")
def folder(artefacts, tmp_path_factory):
    """model.keras, trained at output_stride 16, and two photos."""
    folder = tmp_path_factory.mktemp("cli_export")
    shutil.copy(artefacts / "model.keras", folder)
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
    trained = shared_model()
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


def test_onnx_of_any_size_with_only_labels(folder):
    out = folder / "onnx"
    arguments = [f"--model={folder}/model.keras", f"--out={out}", f"--images={folder}/*.jpg"]
    done = call(*arguments, "--format=onnx", "--outputs=labels")
    assert (done.returncode, done.stderr) == (0, "")
    assert "label agreement    100.0000% of 2 images' pixels" in done.stdout
    assert f"deeplab-predict --model={out}/model.onnx " in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["model.onnx", "parity.json"]
    assert json.loads((out / "parity.json").read_text())["outputs"] == "labels"
    labels, logits = open_onnx(out / "model.onnx").run(random_picture(33, 97)[None])
    assert (labels.shape, logits) == ((1, 33, 97), None)


def test_openvino_is_a_folder(folder):
    out = folder / "openvino"
    arguments = [f"--model={folder}/model.keras", f"--out={out}", f"--images={folder}/*.jpg"]
    done = call(*arguments, "--format=openvino", "--quantize=float16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "label agreement    99." in done.stdout
    assert f"deeplab-predict --model={out} " in done.stdout
    names = sorted(path.name for path in out.iterdir())
    assert names == ["model.bin", "model.xml", "parity.json"]
    assert json.loads((out / "parity.json").read_text())["quantize"] == "float16"


def test_a_missing_package_of_onnx_is_named(folder, tmp_path):
    code = (
        "import sys; sys.modules['openvino'] = None; from deeplab_tf.cli.export import run; run()"
    )
    arguments = ["--format=onnx", f"--images={folder}/photo0.jpg", f"--out={tmp_path}/out"]
    done = run("-c", code, f"--model={folder}/model.keras", *arguments)
    assert done.returncode == 1
    assert "the ONNX export needs openvino: pip install tf2onnx" in done.stderr
    assert list(tmp_path.iterdir()) == []


def write_shapes(folder):
    """A data set with two light pictures to train on and two dark ones to evaluate on.

    All classes are in the masks: a pixel of a class that is not would cost an IoU of 0.
    """
    pictures, splits = {}, {}
    labels = np.tile(np.arange(65, dtype=np.uint8) % SHAPES.num_classes, (65, 1))
    for split, level in (("train", 1.0), ("val", 0.3)):
        pictures[split] = [(random_picture(65, 65, i) * level).astype(np.uint8) for i in range(2)]
        splits[split] = []
        for index, picture in enumerate(pictures[split]):
            image, mask = (folder / f"{split}{index}{end}.png" for end in ("", "_mask"))
            Image.fromarray(picture).save(image)
            write_labels(labels, SHAPES, mask)
            values = plain_values(SHAPES.num_classes, VOID)
            splits[split].append(Pair(image.stem, image, IndexMask(mask, values)))
    write_records(Source(SHAPES, splits), folder / "data")
    return pictures


def test_int8_is_calibrated_on_training_images(folder, tmp_path):
    pictures, out = write_shapes(tmp_path), tmp_path / "edge"
    done = call(
        f"--model={folder}/model.keras",
        f"--out={out}",
        f"--data_dir={tmp_path}/data",
        "--format=litert",
        "--quantize=int8",
        "--outputs=labels",
        "--keep_float=block.*,aspp.*",
        "--keep_float=logits|upsample|pool1.*",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean IoU           " in done.stdout and "lose most          conv1 (" in done.stdout
    report = json.loads((out / "parity.json").read_text())
    assert report["keep_float"] == ["block.*", "aspp.*", "logits|upsample|pool1.*"]
    assert (report["images"], report["calibration_images"]) == (2, 2)
    assert report["calibration_images_compared"] == 0
    # conv1's scale spans a tried share of its largest number on the training images.
    model = shared_model().model
    conv1 = keras.Model(model.input, model.get_layer("conv1_relu").output)
    largest = {split: np.max(conv1(np.stack(pictures[split]))) for split in pictures}
    interpreter = open_interpreter(out / "model_int8.tflite", delegates=False)
    scales = {t["index"]: t["quantization"][0] for t in interpreter.get_tensor_details()}
    first = next(o for o in interpreter._get_ops_details() if o["op_name"] == "CONV_2D")
    scale = scales[first["outputs"][0]]
    tried = {
        split: np.isclose(255 * scale, SHARES * largest[split], rtol=1e-3) for split in largest
    }
    assert tried["train"].any() and not tried["val"].any()
    assert largest["val"] != pytest.approx(largest["train"], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"--images": None}, 2, "give one of --data_dir=DIR"),
        ({"--model": None}, 2, "missing --model (see deeplab-export --help)"),
        ({"--out": None}, 2, "missing --out"),
        ({"--image_size": "65,65"}, 2, "--image_size is for --format=litert and --format=web"),
        ({"--format": "openvino", "--image_size": "65,65"}, 2, "--image_size is for --format=lite"),
        ({"--format": "onnx", "--quantize": "int8"}, 2, "--quantize is for --format=litert, --for"),
        (
            {"--format": "openvino", "--quantize": "dynamic"},
            2,
            "--format=openvino takes --quantize",
        ),
        ({"--outputs": "labels"}, 2, "--outputs is for --format=litert, --format=onnx and"),
        ({"--format": "litert", "--keep_float": "a"}, 2, "--keep_float is for --quantize=int8"),
        ({**INT8, "--keep_float": "a,(b"}, 2, "must be regular expressions of layer names"),
        ({"--format": "litert", "--image_size": "65"}, 2, "must be H,W in pixels"),
        ({"--format": "litert", "--image_size": "0,65"}, 2, "must be H,W in pixels"),
        ({"--quantize": "int4"}, 2, "--quantize=int4: value should be one of <none|float16|dyn"),
        ({"--signatures": "entropy"}, 2, "must be of probabilities, logits and uncertainty"),
        ({"--scales": "1,x"}, 2, "must be positive numbers with commas between"),
        ({"--format": "litert", "--scales": "0.5,1"}, 2, "are for --format=saved_model"),
        ({"--signatures": "logits", "--scales": "0.5,1"}, 1, "of which there are no logits"),
        ({"--litertjs": "."}, 2, "--litertjs is for --format=web"),
        ({"--format": "web", "--litertjs": "."}, 1, "core-2.5.3.tgz does not exist; --litertjs"),
        ({"--format": "web", "--quantize": "int8"}, 2, "the page shows logits of one image"),
        ({"--output_stride": "7"}, 2, "--output_stride=7: value should be one of <4|8|16|"),
        ({"--output_stride": "64"}, 1, "one of (4, 8, 16, 32), since the last block is block4"),
        ({"--model": "missing.keras"}, 1, "model missing.keras does not exist"),
        ({"--images": None, "--data_dir": "missing"}, 1, "missing"),
        ({"--images": None, "--benchmark": "true"}, 1, "has no artefact to measure"),
        (
            {"--benchmark": "true", "--format": "openvino", "--quantize": "dynamic"},
            1,
            "has no artefact to measure",
        ),
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
