"""The description that every artefact carries: experiment, classes, palette, normalisation."""

import dataclasses
import json

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment, ModelConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.formats import RGB, ImageFormat

DESCRIPTION = "deeplab_tf.json"
"""The name of the description's file, or of its entry where an artefact is one file."""


def image_format_of(model: ModelConfig) -> ImageFormat:
    """Returns the format of the images that a network of that config takes."""
    if not model.band_mean:
        return RGB
    return ImageFormat(len(model.band_mean), model.bits or 8, model.band_mean, model.band_std)


def describe(experiment: Experiment, classes: Classes | None) -> str:
    """Returns the JSON that every artefact carries.

    The JSON has the experiment, the classes with palette and void colour, and the normalisation.
    `classes` is None for a backbone without a head, and the JSON's `labels` is null then.
    """
    pixels = config_lib.pixel_statistics(experiment.model)
    return json.dumps(
        {
            "labels": classes and classes.to_dict(),
            # The network normalises by itself; this entry only informs whoever reads the artefact.
            "normalization": {"inside": True, **dataclasses.asdict(pixels)},
            "experiment": json.loads(config_lib.to_json(experiment)),
        },
        indent=2,
    )


def parse_description(text: str) -> tuple[Experiment, Classes]:
    """Reads the experiment and the classes in a text that `describe` wrote.

    Raises:
        DeeplabError: the text is that of a backbone without classes, or the experiment is wrong.
    """
    fields = json.loads(text)
    experiment = parse_experiment(text)
    if fields["labels"] is None:
        raise DeeplabError(
            f"this is a {experiment.model.backbone} without classes, to begin a training with: "
            "--config.init_from=FILE.keras"
        )
    return experiment, Classes.from_dict(fields["labels"])


def parse_experiment(text: str) -> Experiment:
    """Reads only the experiment in a text that `describe` wrote, with or without classes.

    Raises:
        DeeplabError: the experiment is wrong.
    """
    return config_lib.from_json(json.dumps(json.loads(text)["experiment"]))
