"""The evaluations of a run while it trains: their history, its file, and what it decides."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import json_text, write_text
from deeplab_tf.runs.workdir import VALIDATION_FILE, WORKDIR_FILES

MEAN_IOU, LOSS = "val_mean_iou", "val_loss"
"""The numbers of an evaluation in a line of `metrics.jsonl`, and their names in TensorBoard."""

Evaluated = Mapping[str, object]
"""What all evaluations of a history have in common, so that their figures may be compared: the name
of the `split`, the number of its `images`, and the fields of the section `evaluate`."""


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


def history_to_json(evaluated: Evaluated, history: Sequence[Validation]) -> str:
    """Returns the text of a `VALIDATION_FILE`, which `history_from_json` reads."""
    split, how = evaluated["split"], {k: v for k, v in evaluated.items() if k != "split"}
    rows = [dataclasses.asdict(each) for each in history]
    return json_text({"split": split, "evaluated": how, "validations": rows})


def history_from_json(text: str) -> list[Validation]:
    """Reads what `history_to_json` wrote, number for number.

    Raises:
        ValueError, KeyError, TypeError: the text is another's.
    """
    return [Validation(**row) for row in json.loads(text)["validations"]]


def write_validations(
    workdir: pathlib.Path, evaluated: Evaluated, history: Sequence[Validation]
) -> None:
    """Writes the `VALIDATION_FILE` of a run."""
    text = history_to_json(evaluated, history)
    write_text(workdir / VALIDATION_FILE, text, WORKDIR_FILES[VALIDATION_FILE])


def read_validations(
    workdir: pathlib.Path, evaluated: Evaluated, last: int
) -> tuple[list[Validation], list[str]]:
    """Reads the evaluations of the steps up to `last`, and how they differ from `evaluated`.

    Evaluations of later steps are of steps that are done again. Files of before say only the split.

    Returns:
        The evaluations, none where there is no file; and `NAME=NOW instead of BEFORE` for each
        thing that is evaluated otherwise now, so that no new figure may stand beside the old.

    Raises:
        DeeplabError: the file is damaged.
    """
    path = workdir / VALIDATION_FILE
    if not path.is_file():
        return [], []
    try:
        text = path.read_text()
        history = [each for each in history_from_json(text) if each.step <= last]
        fields = json.loads(text)
        before = {"split": fields["split"], **fields.get("evaluated", {})}
    except (ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} is damaged ({one_line(str(error))}); remove the file to go on without the "
            "evaluations so far"
        ) from error
    now = json.loads(json_text(dict(evaluated)))  # a tuple is a list in the file
    return history, [
        f"{name}={now[name]} instead of {before[name]}"
        for name in now
        if history and name in before and now[name] != before[name]
    ]
