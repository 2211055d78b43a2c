"""The evaluations of a run while it trains: their history, its file, and what it decides."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import json_text, write_text
from deeplab_tf.runs.workdir import VALIDATION_FILE, WORKDIR_FILES

MEAN_IOU, LOSS = "val_mean_iou", "val_loss"
"""The numbers of an evaluation in a line of `metrics.jsonl`, and their names in TensorBoard."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """The figures of one evaluation on the held-out split.

    Attributes:
        step: the step whose weights were evaluated.
        mean_iou: the mean IoU, 0..1.
        loss: the mean cross entropy over the valid pixels of all images, in nats.
        iou: the IoU of each class by its name, 0..1; None where the class is in neither truth nor
            prediction.
    """

    step: int
    mean_iou: float
    loss: float
    iou: dict[str, float | None]


def best_of(history: Sequence[Validation]) -> Validation | None:
    """Returns the evaluation with the highest mean IoU, the first of equals; None without any."""
    return max(history, key=lambda each: each.mean_iou, default=None)


def since_best(history: Sequence[Validation]) -> int:
    """Returns how many evaluations came after the best."""
    best = best_of(history)
    return len(history) - 1 - history.index(best) if best else 0


def history_to_json(split: str, history: Sequence[Validation]) -> str:
    """Returns the text of a `VALIDATION_FILE`, which `history_from_json` reads."""
    return json_text({"split": split, "validations": [dataclasses.asdict(v) for v in history]})


def history_from_json(text: str) -> list[Validation]:
    """Reads what `history_to_json` wrote, number for number.

    Raises:
        ValueError, KeyError, TypeError: the text is another's.
    """
    return [Validation(**row) for row in json.loads(text)["validations"]]


def write_validations(workdir: pathlib.Path, split: str, history: Sequence[Validation]) -> None:
    """Writes the `VALIDATION_FILE` of a run that is evaluated on `split`."""
    text = history_to_json(split, history)
    write_text(workdir / VALIDATION_FILE, text, WORKDIR_FILES[VALIDATION_FILE])


def read_validations(workdir: pathlib.Path, last: int) -> list[Validation]:
    """Reads the evaluations of the steps up to `last`; an empty list where there is no file.

    Evaluations of later steps are of steps that are done again.

    Raises:
        DeeplabError: the file is damaged.
    """
    path = workdir / VALIDATION_FILE
    if not path.is_file():
        return []
    try:
        return [each for each in history_from_json(path.read_text()) if each.step <= last]
    except (ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); remove the file to go on without the "
            "evaluations so far"
        ) from error
