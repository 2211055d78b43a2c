"""A training on several data sets of the same classes, each with its share of the examples.

Example i of a run comes from the source `pattern[i % len(pattern)]`. The pattern has each source as
often as its share says, spread evenly, so that example i depends on nothing but i.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from deeplab_tf.config import DataConfig
from deeplab_tf.config.mixing import parse_mixed_in
from deeplab_tf.data.records import Records, SplitFiles, open_records
from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class MixedSplit:
    """A split of another data set that a training mixes in.

    Attributes:
        records: the data set.
        name: the name of the split.
        split: the record files of the split, with the repeats of its records.
        share: the share of all training examples.
    """

    records: Records
    name: str
    split: SplitFiles
    share: Fraction

    def __str__(self) -> str:
        return f"{float(self.share):.1%} of {self.records.classes.dataset}/{self.name}"


def open_mixed_in(data_dir: Path, data: DataConfig, records: Records) -> tuple[MixedSplit, ...]:
    """Opens the splits that `data.mixed_in` names.

    Raises:
        DeeplabError: a data set or split does not exist, has other classes or other bands than
            `records`, or is named twice.
    """
    mixed, seen = [], {(data.dataset, data.split)}
    for entry in parse_mixed_in(data.mixed_in):
        split = entry.split or data.split
        if (entry.dataset, split) in seen:
            raise DeeplabError(
                f"config.data.mixed_in names {entry.dataset}/{split}, which the training has "
                "already; name each split once"
            )
        seen.add((entry.dataset, split))
        other = open_records(data_dir, entry.dataset)
        _check_fits(other, records)
        mixed.append(MixedSplit(other, split, other.labelled_split(split), entry.share))
    return tuple(mixed)


def _check_fits(other: Records, records: Records) -> None:
    if other.classes.names != records.classes.names:
        raise DeeplabError(
            f"config.data.mixed_in names {other.classes.dataset}, whose classes are not those of "
            f"{records.classes.dataset}: {', '.join(other.classes.names)[:200]}; prepare the data "
            "set with the same names in the same order"
        )
    theirs, ours = other.image_format, records.image_format
    if (theirs.bands, theirs.bits) != (ours.bands, ours.bits):
        raise DeeplabError(
            f"config.data.mixed_in names {other.classes.dataset}, whose images have {theirs.bands} "
            f"bands of {theirs.bits} bits instead of {ours.bands} of {ours.bits}"
        )


def mixed_fingerprint(records: Records, mixed: Sequence[MixedSplit]) -> str:
    """Returns a sha256 in hex over the fingerprints of all data sets of a training.

    Without `mixed` it is the fingerprint of `records`.
    """
    if not mixed:
        return records.fingerprint
    parts = [records.fingerprint, *(part.records.fingerprint for part in mixed)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def mixed_longest_side(records: Records, mixed: Sequence[MixedSplit]) -> int | None:
    """Returns the longest side, in pixels, of the images of all data sets of a training.

    It is 0, as for tiles, where one of the data sets is tiles, whose pixels have one scale. It is
    None where one was written before its longest side was recorded.
    """
    sides = [data.longest_side for data in (records, *(part.records for part in mixed))]
    known = [side for side in sides if side is not None]
    if 0 in known:
        return 0
    return max(known) if len(known) == len(sides) else None


def shown_pixels(records: Records, split: str, mixed: Sequence[MixedSplit]) -> list[float]:
    """Returns the number of pixels of each class, then of void, that the training shows.

    The numbers are relative: each data set's pixels an image, times the data set's share.
    """
    if not mixed:
        return [*records.pixels[split]]
    rest = 1 - sum(part.share for part in mixed)
    parts = [(records, split, rest), *((part.records, part.name, part.share) for part in mixed)]
    weighted = [
        np.array(data.pixels[name]) * float(share) / data.split(name).num_examples
        for data, name, share in parts
    ]
    return np.sum(weighted, axis=0).tolist()


def make_pattern(shares: Sequence[Fraction]) -> np.ndarray:
    """Returns the sources of the examples of one period: int64 [period], with numbers from 0 on.

    Of the sources that are behind, the one whose next example is due first comes next (Tijdeman,
    1980). After any number n of examples, each source has had its share of n within one.

    Args:
        shares: the share of each source; they add up to 1.
    """
    period = math.lcm(*(share.denominator for share in shares))
    counts, pattern = [0] * len(shares), np.zeros(period, np.int64)
    for index in range(period):
        behind = [k for k, share in enumerate(shares) if counts[k] < share * (index + 1)]
        source = min(behind, key=lambda k: (Fraction(counts[k] + 1) / shares[k], k))
        pattern[index] = source
        counts[source] += 1
    return pattern


def examples_before(pattern: np.ndarray, source: int, index: int) -> int:
    """Returns how many of the examples 0 to `index` - 1 of a run come from `source`."""
    periods, place = divmod(index, len(pattern))
    mine = pattern == source
    return periods * int(mine.sum()) + int(mine[:place].sum())
