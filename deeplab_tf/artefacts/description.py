"""The description that every artefact carries: experiment, classes, palette, normalisation.

Tested in tests/export/test_onnx.py and tests/inference/test_predictor.py, through `load_predictor`.
"""

import contextlib
import json
from collections.abc import Iterator

from deeplab_tf import config as config_lib
from deeplab_tf.config import Experiment
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import zip_with
from deeplab_tf.images.classes import Classes

DESCRIPTION = "deeplab_tf.json"
"""The name of the description's file, or of its entry where an artefact is one file."""

is_described_zip = zip_with(DESCRIPTION)
"""Recognises the `.keras` and LiteRT files of this package."""


def describe(experiment: Experiment, classes: Classes | None) -> str:
    """Returns the JSON that every artefact carries.

    The JSON has the experiment, the classes with palette and void colour, and the normalisation.
    `classes` is None for a backbone without a head, and the JSON's `labels` is null then.
    """
    return json.dumps(
        {
            "labels": classes and classes.to_dict(),
            # The network normalises by itself; this entry only informs whoever reads the artefact.
            "normalization": {"inside": True, **experiment.model.input_format.to_dict()},
            "experiment": json.loads(config_lib.to_json(experiment)),
        },
        indent=2,
    )


def parse_description(text: str | bytes, artefact: str) -> tuple[Experiment, Classes]:
    """Reads the experiment and the classes in a text that `describe` wrote.

    Args:
        text: the text, or its bytes.
        artefact: the artefact that carries the text, in words for errors, as `model PATH`.

    Raises:
        DeeplabError: the text is that of a backbone without classes, is damaged, or the experiment
            is wrong; the message names the artefact.
    """
    experiment = parse_experiment(text, artefact)
    with _damage_of(artefact):
        labels = json.loads(text)["labels"]
        if labels is not None:
            return experiment, Classes.from_dict(labels)
    raise DeeplabError(
        f"{artefact} is a {experiment.model.backbone} without classes, which only begins a "
        "training; give it to deeplab-train as --config.init_from=FILE.keras"
    )


def has_classes(text: str | bytes, artefact: str) -> bool:
    """Returns whether a text that `describe` wrote is that of a network with classes.

    The arguments are those of `parse_description`.

    Raises:
        DeeplabError: the text is damaged; the message names the artefact.
    """
    with _damage_of(artefact):
        return json.loads(text)["labels"] is not None


def parse_experiment(text: str | bytes, artefact: str) -> Experiment:
    """Reads only the experiment in a text that `describe` wrote, with or without classes.

    The arguments are those of `parse_description`.

    Raises:
        DeeplabError: the text is damaged, or the experiment is wrong; the message names the
            artefact.
    """
    with _damage_of(artefact):
        experiment = json.dumps(json.loads(text)["experiment"])
    try:
        return config_lib.from_json(experiment)
    except DeeplabError as error:
        raise DeeplabError(f"{artefact}: {error}") from error


@contextlib.contextmanager
def _damage_of(artefact: str) -> Iterator[None]:
    """Turns the errors of a description that is no JSON or lacks an entry into `DeeplabError`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {one_line(str(error))[:200]}"
        raise DeeplabError(
            f"{artefact} is damaged: its {DESCRIPTION} must be the JSON that deeplab_tf wrote "
            f"({reason}); write the artefact again"
        ) from error
