"""deeplab-import as a user runs it."""

import numpy as np
import pytest
from support.commands import call
from support.seeded_weights import draw, to_torch_layout

from deeplab_tf.artefacts.auxiliary import read_auxiliary
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import Backbone
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.weights.torchvision import torch_key, torchvision_config


def run_import(*arguments, **options):
    return call("import_weights", *arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--source=caffe", "--weights=a", "--out=a.keras"], 2, "<tflite|torchvision|keras_"),
        (["--source=tflite", "--weights=a", "--out=a.h5"], 2, "must end in .keras"),
        (
            ["--source=slim", "--weights=a", "--out=a.keras", "--multi_grid=1,b"],
            2,
            "must be three whole numbers with commas between",
        ),
        (["--source=tflite", "--out=a.keras"], 2, "missing --weights"),
        (["--source=tflite", "--weights=a.tflite", "--out=a.keras"], 1, "a.tflite does not exist"),
        (["--source=torchvision", "--weights=a.pth", "--out=a.keras"], 1, "a.pth does not exist"),
        (["--source=slim", "--weights=a.ckpt", "--out=a.keras"], 1, "a.ckpt"),
        (["--source=keras_applications", "--weights=a.h5", "--out=a.keras"], 1, "a.h5 does not"),
        (
            ["--source=tflite", "--weights=a.tflite", "--out=a.keras", "--images=none/*.jpg"],
            1,
            "--images=none/*.jpg matches no image",
        ),
    ],
)
def test_bad_input_is_one_line(arguments, code, said, tmp_path):
    done = run_import(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said.split("|")[0].strip("<") in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.keras").exists()


def test_a_state_dict_becomes_a_model(tmp_path):
    """A file of torch.save is read without torchvision to compare with."""
    torch = pytest.importorskip("torch")
    model_config = torchvision_config(Backbone.RESNET_SLIM, num_classes=5)
    source = build_model(model_config)
    state = {}
    for variable in with_auxiliary(source, model_config).weights:
        value = draw(variable.path, variable.shape)
        state[torch_key(variable.path)] = torch.from_numpy(
            np.ascontiguousarray(to_torch_layout(value))
        )
        variable.assign(value)
    torch.save(state, tmp_path / "slim.pth")
    arguments = [
        "--source=torchvision",
        f"--weights={tmp_path}/slim.pth",
        f"--out={tmp_path}/a.keras",
    ]
    done = run_import(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "resnet_slim, 5 classes, output_stride 8" in done.stdout
    assert "skipped       0" in done.stdout
    model = load_model(tmp_path / "a.keras").model
    kernel = read_auxiliary(tmp_path / "a.keras")["auxiliary_conv/kernel"]
    np.testing.assert_array_equal(kernel, draw("auxiliary_conv/kernel", (3, 3, 256, 64)))
    image = np.full((1, 33, 33, 3), 90, np.uint8)
    np.testing.assert_array_equal(model(image), source(image))

    (tmp_path / "slim.pth").write_bytes((tmp_path / "slim.pth").read_bytes()[:1000])
    done = run_import(*arguments)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "slim.pth" in done.stderr
