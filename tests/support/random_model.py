"""A small network with random weights whose labels vary over an image, for tests of its use."""

import functools
import pathlib

import keras
import numpy as np
from PIL import Image

from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import Backbone, Experiment, ModelConfig, validate
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import FusedBatchNormalization, build_model
from deeplab_tf.models.conv import decayed_kernels


def random_trained_model(**model_fields) -> TrainedModel:
    """A tiny ResNet over the six shapes' classes, batch norm statistics as of a trained network.

    The network sees every image as it is, as one that was trained on tiles. `model_fields` are
    those of its `ModelConfig`; with a backbone among them the others are as everywhere.
    """
    experiment = random_experiment(**model_fields)
    keras.utils.set_random_seed(0)  # of depthwise kernels, which are not decayed
    model = build_model(experiment.model)
    rng = np.random.default_rng(0)
    for kernel in decayed_kernels(model):
        kernel.assign(rng.normal(0, np.sqrt(2 / np.prod(kernel.shape[:3])), kernel.shape))
    for layer in model.layers:
        if isinstance(layer, FusedBatchNormalization):
            channels = layer.gamma.shape
            gamma, variance = rng.uniform(0.5, 1.5, (2, *channels))
            beta, mean = rng.normal(0, 0.3, (2, *channels))
            layer.set_weights([gamma, beta, mean, variance])
    for layer in model.layers:
        if layer.name.endswith(("_excite", "lr_aspp_gate")):
            layer.kernel.assign(layer.kernel * 0.002)  # gates between 0 and 1, as of a training
    scores = [layer for layer in model.layers if layer.name.startswith("logits") and layer.weights]
    for layer in scores:
        kernel = rng.normal(0, 0.002, layer.kernel.shape)
        layer.set_weights([kernel, np.zeros(experiment.model.num_classes)])
    # Every class wins in some place: none is ahead of the others on the average.
    picture = random_bands(65, 65, experiment.model.input_format)
    mean = np.mean(model(picture[None]), axis=(0, 1, 2))
    scores[-1].bias.assign(-mean)
    return TrainedModel(model, experiment, SHAPES)


def random_experiment(**model_fields) -> Experiment:
    """The experiment of `random_trained_model`."""
    fields = {"num_classes": SHAPES.num_classes, **model_fields}
    if "backbone" not in fields:
        fields = {"backbone": Backbone.RESNET_TINY, "multi_grid": (1,), **fields}
    experiment = Experiment(model=ModelConfig(**fields))
    experiment.data.dataset = "shapes"
    experiment.data.crop_size = 65
    experiment.data.longest_side = 0
    return validate(experiment)


@functools.cache
def shared_model() -> TrainedModel:
    """`random_trained_model()`, built once a process, for tests that leave it as it is."""
    return random_trained_model()


def random_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth coloured blobs, uint8 [height, width, 3]; JPEG keeps them nearly as they are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 12
    phases = rng.uniform(0, 6, (3, 2))
    waves = [
        np.sin(rows * (1 + i / 3) + a) * np.cos(columns + b) for i, (a, b) in enumerate(phases)
    ]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def random_bands(height: int, width: int, image_format: ImageFormat, seed: int = 0) -> np.ndarray:
    """Smooth blobs in the format's own numbers, [height, width, bands]; RGB is `random_picture`."""
    if image_format.is_rgb:
        return random_picture(height, width, seed)
    pictures = [random_picture(height, width, seed + i) for i in range(0, image_format.bands, 3)]
    shares = np.concatenate(pictures, axis=-1)[..., : image_format.bands] / 127.5 - 1  # -1..1
    pixels = np.array(image_format.mean) + 2 * shares * np.array(image_format.std)
    if image_format.bits < 32:
        pixels = pixels.clip(0, 2**image_format.bits - 1)
    return pixels.astype(image_format.dtype)


def write_kinds(folder: pathlib.Path) -> None:
    """Files of several kinds in `folder`, which is made: RGB, turned by EXIF, grey, alpha, thin."""
    folder.mkdir(parents=True)
    picture = Image.fromarray(random_picture(40, 53))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "rgb.png")
    picture.save(folder / "turned.jpg", exif=exif)
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("RGBA").save(folder / "alpha.png")
    Image.new("RGB", (1, 2000)).save(folder / "thin.png")
