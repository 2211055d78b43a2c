"""The weight of each class in the loss: found, printed, and recorded in the workdir."""

import json
import math
import pathlib
from collections.abc import Sequence

from deeplab_tf.config import Experiment
from deeplab_tf.config.gaps import known
from deeplab_tf.data.mixture import MixedSplit, shown_pixels
from deeplab_tf.data.records import Records
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import check_file, json_text, write_text
from deeplab_tf.runs.checkpoints import checkpoint_steps
from deeplab_tf.runs.workdir import CLASS_WEIGHTS_FILE, WORKDIR_FILES

MAX_WEIGHT = 1_000_000
"""The largest weight: only ratios of weights count, and float32 adds up the weights of millions of
pixels."""


def find_class_weights(
    experiment: Experiment, records: Records, mixed_in: Sequence[MixedSplit] = ()
) -> dict[str, float] | None:
    """Returns the weights that `experiment.train.class_weights` stands for, by class name in order.

    `auto` counts the pixels of the split as it was prepared, and those of the splits `mixed_in` by
    their shares: an image that `data.duplicate_classes` or `data.balance` repeats counts once.

    Returns:
        The weights; None for `none`, which means 1 each.

    Raises:
        DeeplabError: the file is missing or not right, or gives weight 0 to every pixel of the
            split.
    """
    given, names = known(experiment.train.class_weights), records.classes.names
    if given == "none":
        return None
    pixels = shown_pixels(records, experiment.data.split, mixed_in)[:-1]  # without void
    if given == "auto":
        return dict(zip(names, auto_weights(pixels), strict=True))
    weights = read_class_weights(pathlib.Path(given), names)
    if not any(weights[name] and count for name, count in zip(names, pixels, strict=True)):
        raise DeeplabError(
            f"class weights {given} must be above 0 for one class or more of split "
            f"{experiment.data.split!r}. Received: 0 for every class of the split"
        )
    return weights


def auto_weights(pixels: Sequence[float]) -> list[float]:
    """Returns `1 / ln(1.02 + p)` with four decimals, where p is the share of a class in `pixels`.

    The formula is ENet's (arXiv 1606.02147, section 5). Median frequency balancing is unbounded for
    a rare class.

    Args:
        pixels: the number of pixels of each class, without void; one number is above 0.

    Returns:
        The weight of each class; a class without a pixel has 50.4983, the largest weight.
    """
    total = sum(pixels)
    return [round(1 / math.log(1.02 + count / total), 4) for count in pixels]


def read_class_weights(path: pathlib.Path, names: Sequence[str]) -> dict[str, float]:
    """Reads a JSON file `{class name: weight}` and returns the weights in the order of `names`.

    Raises:
        DeeplabError: the file cannot be read, a class is missing or unknown, or a weight is no
            number from 0 to `MAX_WEIGHT`.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DeeplabError(
            f"class weights {path} does not exist; give none, auto or a JSON file"
        ) from error
    except (OSError, ValueError) as error:
        raise DeeplabError(
            f"class weights {path} cannot be read as JSON: {one_line(str(error))}"
        ) from error
    if not isinstance(found, dict):
        raise DeeplabError(f"class weights {path} must be one object {{class name: weight}}")
    faults = {
        "lacks": [name for name in names if name not in found],
        "has unknown": [name for name in found if name not in names],
        f"has no number from 0 to {MAX_WEIGHT:,} for": [
            f"{name} ({value!r})" for name, value in found.items() if not _is_weight(value)
        ],
    }
    found_faults = [f"{fault} {', '.join(classes)}" for fault, classes in faults.items() if classes]
    if found_faults:
        raise DeeplabError(
            f"class weights {path} {' and '.join(found_faults)}; the classes are {', '.join(names)}"
        )
    return {name: float(found[name]) for name in names}


def format_class_weights(weights: dict[str, float]) -> str:
    """Returns the weights in one line, such as `sky 2.1, pole 40.3`."""
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())


def record_class_weights(workdir: pathlib.Path, weights: dict[str, float] | None) -> None:
    """Writes `weights` into `workdir` for `check_recorded`; removes the file where they are None.

    The file has the form that `read_class_weights` reads.

    Raises:
        DeeplabError: there is such a file in a folder that is no workdir.
    """
    file, ours = workdir / CLASS_WEIGHTS_FILE, WORKDIR_FILES[CLASS_WEIGHTS_FILE]
    if weights is not None:
        write_text(file, json_text(weights), ours)
    elif file.exists():
        check_file(file, ours)
        file.unlink()


def check_recorded(workdir: pathlib.Path, weights: dict[str, float] | None) -> None:
    """Raises `DeeplabError` where `workdir` has a checkpoint of a run with other class weights.

    The weights of a run change where their file has changed since the run began.
    """
    if weights is None or not checkpoint_steps(workdir):
        return
    before = read_class_weights(workdir / CLASS_WEIGHTS_FILE, list(weights))
    changed = [
        f"{name} {before[name]:g} (now {weight:g})"
        for name, weight in weights.items()
        if weight != before[name]
    ]
    if changed:
        raise DeeplabError(
            f"workdir {workdir} holds a run with class weights {', '.join(changed)}. Use another "
            "--workdir, or the same weights to go on"
        )


def _is_weight(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= MAX_WEIGHT
