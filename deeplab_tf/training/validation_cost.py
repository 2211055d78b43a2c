"""The share of a run's time that its evaluations take, in one line, and how to spend less."""

import dataclasses
import math

from deeplab_tf.config import TrainConfig
from deeplab_tf.runs.run_log import format_duration
from deeplab_tf.training.held_out_split import HeldOutSplit

MOST_SHARE = 0.1
"""The share of a run's time above which the line says how to spend less."""
LONG_RUN = 60
"""The seconds of a run that is long enough to want advice; a shorter one mostly starts up."""


@dataclasses.dataclass
class ValidationCost:
    """What the evaluations of a process have cost so far.

    Attributes:
        evaluations: how many there were.
        seconds: how long they took together, the writing of the best weights included.
    """

    evaluations: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one evaluation that took `seconds`."""
        self.evaluations += 1
        self.seconds += seconds

    def line(
        self, train: TrainConfig, split: HeldOutSplit, start: int, step: int, total: float
    ) -> str:
        """Returns the share of `total`, the seconds from step `start` to the last one, `step`.

        Where a long run spent more than `MOST_SHARE`, the line names the field that would bring it
        there: a longer interval, or fewer images where that interval is longer than the run.
        """
        share, count = self.seconds / max(total, 1e-9), self.evaluations
        since = f" since step {start}" if start else ""
        line = (
            f"validation took {100 * share:.1f} % of the run{since} ({count} "
            f"evaluation{'s' if count > 1 else ''} of {split.num_images} images, "
            f"{format_duration(self.seconds)})"
        )
        if share <= MOST_SHARE or total < LONG_RUN or step == start:
            return line
        seconds_a_step = (total - self.seconds) / (step - start)
        interval = math.ceil((1 / MOST_SHARE - 1) * self.seconds / count / seconds_a_step)
        images = int(split.num_images * train.evaluate_every / interval)
        aim = f"makes it {100 * MOST_SHARE:.0f} %"
        if interval <= train.steps:
            return f"{line}; train.evaluate_every={interval} {aim}"
        return f"{line}; train.evaluate_images={images} {aim}" if images else line
