"""Evaluation of one image at several scales and flipped, ours beside the same loop in torch."""

import torch

from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import EvaluateConfig, Experiment
from deeplab_tf.images.classes import VOC
from deeplab_tf.inference.predictor import trained_predictor

from . import ours_tensorflow, torchvision_ways
from .processor_peak import measure_group
from .turns import Group, Way
from .work import Work, convolution_flops

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""The scales of the paper's evaluation (section 4.1)."""


def measure(rounds: int, size: int) -> Group:
    """From an image to its labels by six scales and their mirror images, at output_stride 16."""
    work = Work(size=size, to_labels=True)
    model = ours_tensorflow.build(work)
    trained = TrainedModel(model, Experiment(model=work.model_config), VOC)
    predict = trained_predictor(trained, EvaluateConfig(scales=SCALES, flip=True)).predict
    images = work.images()
    ways: dict[str, Way] = {
        "deeplab_tf": lambda: predict(images),
        "torchvision, channels_last": _torchvision(work),
    }
    flops = sum(2 * convolution_flops(model, round(scale * size)) for scale in SCALES)
    name = f"{len(SCALES)} scales and flip, {work}"
    return measure_group(name, ways, rounds, flops=dict.fromkeys(ways, flops))


def _torchvision(work: Work) -> Way:
    """Mean of the probabilities over the scales and their mirror images."""
    model = torchvision_ways.build(work).eval().to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(work.images()).permute(0, 3, 1, 2).float() / 255

    @torch.inference_mode()
    def labels() -> torch.Tensor:
        total = 0.0
        for scale in SCALES:
            scaled = torch.nn.functional.interpolate(pixels, scale_factor=scale, mode="bilinear")
            scaled = scaled.to(memory_format=torch.channels_last)
            for flip in (False, True):
                logits = model(scaled.flip(3) if flip else scaled)["out"]
                logits = logits.flip(3) if flip else logits
                logits = torch.nn.functional.interpolate(logits, pixels.shape[2:], mode="bilinear")
                total = total + logits.softmax(1)
        return total.argmax(1)

    return labels
