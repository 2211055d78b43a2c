"""The import of a weights file as `deeplab-import` runs it: read, build, compare, write, report.

Tested in tests/weights/test_tflite.py.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from deeplab_tf.artefacts.description import is_described_zip
from deeplab_tf.artefacts.trained_model import TrainedModel, save_backbone, save_model
from deeplab_tf.config import Experiment, ModelConfig, validate
from deeplab_tf.data.sources.draw_shapes import draw_example
from deeplab_tf.files import check_file
from deeplab_tf.images.classes import classes_by_number
from deeplab_tf.images.files import read_pixels
from deeplab_tf.images.frame import into_frame
from deeplab_tf.models import build_backbone, build_model
from deeplab_tf.models.auxiliary import auxiliary_weights, only_auxiliary, without_auxiliary
from deeplab_tf.weights.batch_norm import estimate_statistics
from deeplab_tf.weights.imported import ImportedWeights, NoRuntimeError, build_network
from deeplab_tf.weights.keras_applications import read_keras_applications
from deeplab_tf.weights.keras_hub import read_keras_hub
from deeplab_tf.weights.parity import measure
from deeplab_tf.weights.slim import read_slim
from deeplab_tf.weights.tflite import read_tflite
from deeplab_tf.weights.torch_file import read_torchvision

SIDE = 513
"""The longest side, in pixels, of the images compared, where the source takes any size."""

DRAWN = 4
GREY = np.full(3, 128, np.uint8)

READERS: dict[str, Callable[[pathlib.Path], ImportedWeights]] = {
    "tflite": read_tflite,
    "torchvision": read_torchvision,
    "keras_applications": read_keras_applications,
    "keras_hub": read_keras_hub,
    "slim": read_slim,
}


def run_import(
    source: str,
    weights: pathlib.Path,
    out: pathlib.Path,
    photos: list[pathlib.Path],
    multi_grid: tuple[int, ...] | None = None,
) -> str:
    """Imports `weights` into the `.keras` file `out`.

    Args:
        source: a key of `READERS`.
        weights: the file to import.
        out: the `.keras` file to write; an old one of this package is
            replaced.
        photos: images to compare on, and to estimate batch norm statistics on where the source has
            none. Without photos, drawn images are compared and no statistics are estimated.
        multi_grid: the unit rates of the source's training, which TF-Slim's checkpoints do not
            record; None leaves (1, 1, 1).

    Returns:
        The lines that say what was done.

    Raises:
        DeeplabError: `out` is another's file, `weights` is not what `source` says, or the network
            does not agree with the source's own runtime.
    """
    check_file(out, is_described_zip)
    imported = READERS[source](weights)
    network, report = build_network(imported, str(weights))
    model = without_auxiliary(network)
    auxiliary = {weight.path: weight.numpy() for weight in auxiliary_weights(network)}
    model_config = validate(Experiment(model=imported.model_config)).model
    lines = [
        _format_network(model_config),
        report.table(),
    ]
    if imported.without_statistics and photos:
        estimate_statistics(model, _images(photos))
        lines.append(f"batch norm statistics were estimated on {len(photos)} images")
    elif imported.without_statistics:
        lines.append(
            "the file has no batch norm statistics; to fine-tune the network, give --images like "
            "the images of the training"
        )
    try:
        reference = imported.reference()
    except NoRuntimeError as error:
        lines.append(f"the network was not compared with the source's own runtime: {error}")
    else:
        parity = measure(model, reference, _images(photos, imported))
        lines.append(f"compared with the source's own runtime: {parity.format()}")
        if imported.exact:
            parity.check(str(weights))
        if imported.auxiliary_reference is not None:
            parity = measure(
                only_auxiliary(network), imported.auxiliary_reference(), _images(photos, imported)
            )
            lines.append(f"the auxiliary head: {parity.format()}")
            parity.check(f"the auxiliary head of {weights}")
    if multi_grid is not None:
        # tf-slim's own ResNet has no multi-grid, so the comparison above was made without it.
        changed = dataclasses.replace(model_config, multi_grid=multi_grid)
        model_config = validate(Experiment(model=changed)).model
        weights_of = model.get_weights()
        model = (build_backbone if model_config.num_classes is None else build_model)(model_config)
        model.set_weights(weights_of)
        lines.append(
            f"multi_grid is {multi_grid}, as given; the comparison was made without multi_grid"
        )
    if model_config.num_classes is None:
        save_backbone(model, model_config, out, dated=False)
    else:
        classes = classes_by_number(model_config.num_classes)
        experiment = Experiment(model=model_config)
        experiment.evaluate.pad_to = imported.pad_to
        experiment.data = dataclasses.replace(
            experiment.data, dataset=classes.dataset, longest_side=imported.longest_side
        )
        trained = TrainedModel(model, experiment, classes, auxiliary=auxiliary)
        save_model(trained, out, dated=False)
    lines.append(f"written: {out}")
    return "\n".join(lines)


def _format_network(model_config: ModelConfig) -> str:
    width, classes = model_config.width_multiplier, model_config.num_classes
    return ", ".join(
        [
            f"{model_config.backbone}",
            *([f"width {width:g}"] if width != 1 else []),
            f"{classes} classes" if classes else "a backbone without a head",
            f"output_stride {model_config.output_stride}",
            f"normalization {model_config.normalization}",
        ]
    )


def _images(
    photos: list[pathlib.Path], imported: ImportedWeights | None = None
) -> Iterator[np.ndarray]:
    """Yields uint8 images [H, W, 3] to compare on: the photos or, without photos, drawn images.

    An image is at most `SIDE` pixels long. Where the source of `imported` takes one size only, the
    image gets that size: padded where the source pads, else stretched, as for a classifier.
    """
    frame = imported and imported.frame
    pixels = (
        map(read_pixels, photos) if photos else (draw_example((i,)).image for i in range(DRAWN))
    )
    for image in pixels:
        if imported and frame and imported.pad_to is None:
            resized = Image.fromarray(image).resize((frame[1], frame[0]), Image.Resampling.BILINEAR)
            yield np.asarray(resized)
            continue
        framed, (height, width) = into_frame(image, frame or (SIDE, SIDE), GREY)
        yield framed[0] if frame else framed[0, :height, :width]
