"""A value that was chosen, and why; the lines that a training prints of them.

Tested in tests/training/choices/test_choose.py.
"""

import dataclasses
import enum
import textwrap
from collections.abc import Sequence

from deeplab_tf.config import Experiment
from deeplab_tf.config.gaps import open_fields, with_values
from deeplab_tf.text_table import align

WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Choice:
    """The value of one field, by its dotted name, with the reason in words."""

    field: str
    value: object
    reason: str


class Begin(enum.Enum):
    """The weights that a training begins with."""

    RANDOM = "random weights"
    CLASSIFIER = "a classifier's backbone"
    SEGMENTER = "a segmentation network"


def chosen(experiment: Experiment, choices: Sequence[Choice]) -> tuple[Experiment, list[Choice]]:
    """Returns `experiment` with those of `choices` whose fields are open, and these choices."""
    found = open_fields(experiment)
    made = [choice for choice in choices if choice.field in found]
    return with_values(experiment, {choice.field: choice.value for choice in made}), made


def table(choices: Sequence[Choice]) -> str:
    """Returns a line a choice: field, value, reason."""
    rows = [("chosen", "value"), *((each.field, format_value(each.value)) for each in choices)]
    reasons = ["why", *(each.reason for each in choices)]
    lines = []
    for left, reason in zip(align(rows).splitlines(), reasons, strict=True):
        head = left.ljust(len(align(rows).splitlines()[-1])) + "  "
        lines += textwrap.wrap(
            reason, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
    return "\n".join(lines)


def format_value(value: object) -> str:
    """Returns a value as a flag takes it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def gigabytes(count: float) -> str:
    """Returns a number of bytes in GB (10^9 bytes) with one decimal."""
    return f"{count / 1e9:.1f} GB"
