"""The best weights of a run that keeps them: what they were the best of, and when they are taken.

Tested in tests/training/test_validation.py, through `read_best` and `load_model`.
"""

import dataclasses
import json
import pathlib
import zipfile
import zlib

from deeplab_tf.config import Experiment, Keep
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import json_text
from deeplab_tf.runs.workdir import BEST_FILE, read_experiment

BEST = "best.json"
"""The member of the zip archive `BEST_FILE` that says what its weights were the best of."""


@dataclasses.dataclass(frozen=True)
class Best:
    """The evaluation that the weights in a `BEST_FILE` were the best of.

    Attributes:
        step: the step of the weights.
        mean_iou: their mean IoU on `split`, 0..1.
        split: the split of the evaluation.
    """

    step: int
    mean_iou: float
    split: str

    def __str__(self) -> str:
        return f"step {self.step}, mean IoU {100 * self.mean_iou:.2f} on {self.split}"

    def to_json(self) -> str:
        """Returns the text that `from_json` reads."""
        return json_text(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Best":
        """Reads what `to_json` wrote.

        Raises:
            ValueError, TypeError: the text is another's.
        """
        return cls(**json.loads(text))


def read_best(path: pathlib.Path) -> Best:
    """Reads what the weights in a `BEST_FILE` were the best of.

    Raises:
        DeeplabError: the file is damaged or another's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Best.from_json(archive.read(BEST))
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError) as error:
        raise DeeplabError(
            f"{path} does not say what its weights were the best of ({one_line(str(error))}); "
            "remove the file to take the last checkpoint"
        ) from error


def has_best(workdir: pathlib.Path, experiment: Experiment) -> bool:
    """Returns whether the weights of the run `experiment` in `workdir` are its best so far."""
    return experiment.train.keep is Keep.BEST and (workdir / BEST_FILE).is_file()


def weight_files(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files that `load_model` reads the weights of `workdir` from.

    The files are the best weights, or the last checkpoint; none where there is no checkpoint.
    """
    # TensorFlow, which a comparison of two evaluations does without, is imported by this module.
    from deeplab_tf.runs.checkpoints import checkpoint_prefix, checkpoint_steps

    if has_best(workdir, read_experiment(workdir)):
        return [workdir / BEST_FILE]
    steps = checkpoint_steps(workdir)
    if not steps:
        return []
    prefix = pathlib.Path(checkpoint_prefix(workdir, steps[-1]))
    return sorted(prefix.parent.glob(f"{prefix.name}.*"))
