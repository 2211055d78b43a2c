"""Exported files, from an image to its labels, beside torchvision and OpenVINO."""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import openvino
import torch
from PIL import Image

from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import Experiment
from deeplab_tf.images.classes import VOC
from deeplab_tf.inference.predictor import load_predictor

from . import ours_tensorflow, torchvision_ways
from .goals import SAVED_MODEL
from .processor_peak import measure_group
from .turns import Group, Way
from .work import Work

FORMS = (*torchvision_ways.FORMS, "compiled, frozen")


def measure(rounds: int, size: int) -> Group:
    """The SavedModel, the LiteRT and the ONNX file of one network, at output_stride 16."""
    work = Work(size=size, to_labels=True)
    model = ours_tensorflow.build(work)
    with tempfile.TemporaryDirectory() as folder:
        paths = _export(TrainedModel(model, Experiment(model=work.model_config), VOC), work, folder)
        ways = {name: _labels(path, work) for name, path in paths.items()}
        ways["ONNX in OpenVINO"] = _in_openvino(paths["ONNX in ONNX Runtime"], work.images())
        ways |= torchvision_ways.make_ways(work, forms=FORMS)
        ways["torchvision in OpenVINO"] = _torchvision_in_openvino(work)
        flops = dict.fromkeys(ways, work.flops(model))
        return measure_group(str(work), ways, rounds, flops=flops)


def _export(trained: TrainedModel, work: Work, folder: str) -> dict[str, pathlib.Path]:
    """Exports the model by `deeplab-export`, which compares each artefact on a picture."""
    root = pathlib.Path(folder)
    save_model(trained, root / "model.keras")
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    picture = Image.fromarray(noise).resize((work.size, work.size), Image.Resampling.BILINEAR)
    picture.save(root / "picture.png")
    size = f"--image_size={work.size},{work.size}"
    for arguments in (
        ["--format=saved_model", f"--out={root / 'saved_model'}"],
        ["--format=litert", f"--out={root}", size, "--outputs=labels"],
        ["--format=onnx", f"--out={root}"],
    ):
        command = [sys.executable, "-m", "deeplab_tf.cli.export", f"--model={root / 'model.keras'}"]
        done = subprocess.run(
            [*command, f"--images={root / 'picture.png'}", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"deeplab-export {arguments} failed: {done.stderr[-500:]}")
    return {
        SAVED_MODEL: root / "saved_model",
        "Keras model": root / "model.keras",
        "LiteRT": root / "model.tflite",
        "ONNX in ONNX Runtime": root / "model.onnx",
    }


def _labels(path: pathlib.Path, work: Work) -> Way:
    predict, images = load_predictor(path).predict, work.images()
    return lambda: predict(images)


def _in_openvino(path: pathlib.Path, images: np.ndarray) -> Way:
    compiled = _compile(openvino.Core().read_model(path))
    return lambda: compiled(images)


def _torchvision_in_openvino(work: Work) -> Way:
    images = torch.from_numpy(work.images()).permute(0, 3, 1, 2).float() / 255

    class Labels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torchvision_ways.build(work).eval()

        def forward(self, x):
            return self.model(x)["out"].argmax(1)

    compiled = _compile(openvino.convert_model(Labels().eval(), example_input=images))
    return lambda: compiled(images.numpy())


def _compile(model):
    # All others compute in float32; OpenVINO's own choice may be bfloat16.
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
