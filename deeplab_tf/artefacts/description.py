"""The description that every artefact carries: experiment, classes, palette, normalisation."""

import dataclasses
import json

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment, ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.formats import RGB, ImageFormat

DESCRIPTION = "deeplab_tf.json"
"""The name of its file, or of its entry where an artefact is one file."""


def image_format_of(model: ModelConfig) -> ImageFormat:
    """What images a network of that config takes."""
    if not model.band_mean:
        return RGB
    return ImageFormat(len(model.band_mean), model.bits or 8, model.band_mean, model.band_std)


def describe(experiment: Experiment, classes: Classes | None) -> str:
    """The JSON that every artefact carries: experiment, classes, palette, void, normalisation.

    A backbone alone has no classes, `labels` None.
    """
    pixels = config_lib.pixel_statistics(experiment.model)
    return json.dumps(
        {
            "labels": classes and classes.to_dict(),
            # The network normalises by itself; this is for whoever reads the artefact.
            "normalization": {"inside": True, **dataclasses.asdict(pixels)},
            "experiment": json.loads(config_lib.to_json(experiment)),
        },
        indent=2,
    )


def parse_description(text: str) -> tuple[Experiment, Classes]:
    """Reads what `describe` wrote."""
    fields = json.loads(text)
    experiment = parse_experiment(text)
    if fields["labels"] is None:
        raise DeeplabError(
            f"this is a {experiment.model.backbone} without classes, to begin a training with: "
            "--config.init_from=FILE.keras"
        )
    return experiment, Classes.from_dict(fields["labels"])


def parse_experiment(text: str) -> Experiment:
    """Reads the experiment alone, which a backbone without classes has too."""
    return config_lib.from_json(json.dumps(json.loads(text)["experiment"]))
