"""The entries of `data.mixed_in`: other data sets of the same classes, and their shares.

Tested in tests/data/test_mixture.py.
"""

import dataclasses
import re
from fractions import Fraction

ENTRY = re.compile(r"(?P<dataset>\w+)(/(?P<split>\w+))?:(?P<share>0?\.\d{1,3})")
RULE = "entries NAME:SHARE or NAME/SPLIT:SHARE, each share from 0.001 on and all below 1 together"


@dataclasses.dataclass(frozen=True)
class MixedIn:
    """One entry of `data.mixed_in`.

    Attributes:
        dataset: the name that `deeplab-prepare` gave the data set.
        split: the split to train on; None: the split of `data.split`.
        share: the share of all training examples, a multiple of 1/1000.
    """

    dataset: str
    split: str | None
    share: Fraction


def parse_mixed_in(entries: tuple[str, ...]) -> list[MixedIn]:
    """Reads the entries of `data.mixed_in`.

    Raises:
        ValueError: an entry breaks `RULE`.
    """
    found = []
    for entry in entries:
        match = ENTRY.fullmatch(entry)
        if not match:
            raise ValueError(f"{entry!r} is no entry NAME:SHARE or NAME/SPLIT:SHARE")
        found.append(MixedIn(match["dataset"], match["split"], Fraction(match["share"])))
    if any(not entry.share for entry in found) or sum(entry.share for entry in found) >= 1:
        raise ValueError(RULE)
    return found


def mixing_rule(entries: tuple[str, ...]) -> tuple[bool, str]:
    """Returns whether `entries` can be read, and the rule."""
    try:
        parse_mixed_in(entries)
    except ValueError:
        return False, RULE
    return True, RULE
