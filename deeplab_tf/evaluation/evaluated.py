"""The results of an evaluation, read again from its folder, and whether two are of the same images.

Tested in tests/evaluation/test_compare.py, through `compare`.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from deeplab_tf.artefacts.best import has_best, read_best
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.image_tables import BY_CLASS_FILE, read_by_class
from deeplab_tf.runs.workdir import (
    BEST_FILE,
    CONFIG_FILE,
    EVAL_FILE,
    last_step,
    read_experiment,
)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The results of an evaluation.

    Attributes:
        folder: their folder.
        figures: the content of `eval.json`.
        names: the names of the classes.
        images: the counts of each image, by name.
    """

    folder: pathlib.Path
    figures: dict
    names: tuple[str, ...]
    images: list[ImageCounts]

    @property
    def split(self) -> str:
        """Returns data set and split in words."""
        return f"{self.figures['dataset']}/{self.figures['split']}"

    @property
    def step(self) -> int | None:
        """Returns the step of the evaluated weights; None where the model was no workdir."""
        return self.figures.get("step")

    @property
    def title(self) -> str:
        """Returns the folder in words, with the step where it is known."""
        return f"{self.folder}" if self.step is None else f"{self.folder}, step {self.step:,}"

    @property
    def note(self) -> str | None:
        """Returns a line where the run in the folder has weights of a later step; else None.

        Raises:
            DeeplabError: the run's config or its best weights are damaged.
        """
        if self.step is None or not (self.folder / CONFIG_FILE).is_file():
            return None
        if has_best(self.folder, read_experiment(self.folder)):
            what, step = "best weights are", read_best(self.folder / BEST_FILE).step
        else:
            what, step = "latest checkpoint is", last_step(self.folder) or 0
        if step <= self.step:
            return None
        return (
            f"{self.folder} was evaluated at step {self.step:,}, and its {what} of step {step:,}: "
            "evaluate it again with --data_dir"
        )


def read_other(folder: pathlib.Path, out: pathlib.Path) -> Evaluated:
    """Reads the results in `folder`, with which those in `out` are to be compared.

    Raises:
        DeeplabError: the two are one folder, or as for `read_evaluated`.
    """
    if folder.resolve() == out.resolve():
        raise DeeplabError(
            f"--compare={folder} is the folder of the results themselves; give the folder of "
            "another run, or another --out"
        )
    return read_evaluated(folder)


def read_evaluated(folder: pathlib.Path) -> Evaluated:
    """Reads the results in `folder`.

    Raises:
        DeeplabError: there are none, they are of a version without counts by image, or a file is
            damaged.
    """
    path = folder / EVAL_FILE
    if not path.is_file():
        raise DeeplabError(f"{folder} has no {EVAL_FILE}; evaluate the run with deeplab-eval first")
    try:
        figures = json.loads(path.read_text())
        names = tuple(entry["name"] for entry in figures["classes"])
        _ = figures["dataset"], figures["split"], figures["mean_iou"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); run deeplab-eval again"
        ) from error
    table = folder / BY_CLASS_FILE
    if not table.is_file():
        raise DeeplabError(
            f"{folder} has no {BY_CLASS_FILE}, which earlier versions did not write; run "
            "deeplab-eval again"
        )
    images = read_by_class(table, names)
    if len(images) != figures["images"]:
        raise DeeplabError(
            f"{table} has {len(images)} images and {path} {figures['images']}; run deeplab-eval "
            "again"
        )
    return Evaluated(folder, figures, names, images)


def check_comparable(
    one: Evaluated, folder: pathlib.Path, names: Sequence[str], split: str
) -> None:
    """Raises `DeeplabError` where `one` has other classes or another split than an evaluation.

    Args:
        one: results.
        folder: the folder of the other evaluation.
        names: its classes.
        split: its data set and split, as of `Evaluated.split`.
    """
    if one.names != tuple(names):
        raise DeeplabError(
            f"two runs must have the same classes. {one.folder} has {_shortened(one.names)}; "
            f"{folder} has {_shortened(names)}"
        )
    if one.split != split:
        raise DeeplabError(
            f"two runs must be evaluated on one split. {one.folder} is on {one.split}, and "
            f"{folder} on {split}; evaluate one of them again with --split"
        )


def check_same_images(one: Evaluated, other: Evaluated) -> None:
    """Raises `DeeplabError` where two evaluations are not of the same images and the same truth."""
    check_comparable(one, other.folder, other.names, other.split)
    for these, those in ((one, other), (other, one)):
        lacking = sorted({x.name for x in these.images} - {x.name for x in those.images})
        if lacking:
            raise DeeplabError(
                f"two runs must be evaluated on the same images. {those.folder} lacks "
                f"{len(lacking)} of {these.folder}, the first {lacking[0]}"
            )
    if len(one.images) != len(other.images):
        raise DeeplabError(
            f"two runs must be evaluated on the same images. {one.folder} has {len(one.images)}, "
            f"and {other.folder} {len(other.images)}"
        )
    for first, second in zip(one.images, other.images, strict=True):
        truths = [_truth(image) for image in (first, second)]
        if truths[0] != truths[1]:
            raise DeeplabError(
                "two runs must be evaluated against the same truth. Image "
                f"{first.name} has other true pixels of a class, or other void, in {one.folder} "
                f"than in {other.folder}"
            )


def _truth(image: ImageCounts) -> tuple:
    pixels = zip(image.classes.tolist(), image.counts[:, 1].tolist(), strict=True)
    return image.height, image.width, image.void, [pair for pair in pixels if pair[1]]


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{len(names)}: {shown}{', ...' if len(names) > 4 else ''}"
