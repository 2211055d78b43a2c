"""What a ground truth covers, in words that stand beside the scores: void, classes without pixels.

Tested in tests/cli/test_score.py and tests/evaluation/test_report.py.
"""

import dataclasses

from deeplab_tf.images.confusion import Scores

MOST_VOID = 0.5
"""The share of void beyond which a warning is due. Data sets leave out borders and rare things, a
tenth or so of the pixels; a larger share than half is nearly always a class taken for void."""
_NAMED = 8
"""The largest number of classes that the summary names."""


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What the truth covers.

    Attributes:
        summary: one line: the share of void, and the classes without pixels.
        warnings: one line each for what makes the scores meaningless.
    """

    summary: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"warning: {text}" for text in self.warnings)])


def coverage(scores: Scores, void_pixels: int, names: tuple[str, ...]) -> Coverage:
    """Returns what the truth behind `scores` covers.

    Args:
        scores: the figures.
        void_pixels: the number of void pixels in the truth.
        names: the names of the classes.
    """
    pixels = [score.truth_pixels for score in scores.classes]
    total = sum(pixels) + void_pixels
    share = void_pixels / total if total else 0.0
    empty = [name for name, count in zip(names, pixels, strict=True) if not count]
    without = f"{len(empty)} of {len(names)}"
    if empty:
        without += f" ({', '.join(empty[:_NAMED])}{', ...' if len(empty) > _NAMED else ''})"
    summary = f"the truth is {100 * share:.2f} % void; classes without true pixels: {without}"
    warnings = []
    if share > MOST_VOID:
        warnings.append(
            f"{100 * share:.2f} % of the truth is void and counts for nothing; check which value "
            "of the masks is void"
        )
    if len(empty) == len(names) - 1:
        (only,) = (name for name in names if name not in empty)
        warnings.append(
            f"only {only} has pixels in the truth, so the scores say nothing about the other "
            "classes; masks of 0 and 255 have class 0 and void, and no object"
        )
    elif len(empty) == len(names):
        warnings.append("no class has pixels in the truth, so there is no score")
    return Coverage(summary, tuple(warnings))
