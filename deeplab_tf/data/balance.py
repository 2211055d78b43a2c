"""Images with rare classes more often: the repeat factors of Gupta et al., arXiv 1908.03195.

Let f(c) be the share of the split's images whose mask has class c. With the threshold t, class c
has the factor max(1, sqrt(t / f(c))), and an image has the largest factor of its classes.
"""

import dataclasses
import itertools
import math

from deeplab_tf.data.mask_counts import presence
from deeplab_tf.data.records import SplitFiles


def with_balance(split: SplitFiles, num_classes: int, threshold: float) -> SplitFiles:
    """Returns `split` with the `repeats` that its images' factors give.

    A record comes `floor(S) - floor(S - r)` times in each epoch, where r is the record's factor and
    S the sum of the factors up to the record. A record thus comes r times, rounded down or up, and
    any run of records as often as its factors' sum, within one. With `threshold` 0 the function
    returns `split` unchanged.

    Raises:
        tf.errors.OpError: a record file cannot be read, of a data set that was prepared before its
            description had the classes of each record.
    """
    if not threshold:
        return split
    present = presence(split, num_classes)
    factors = image_factors([bits for file in present for bits in file], num_classes, threshold)
    # A sum that rounding left just below a whole number counts as that number.
    sums = [math.floor(total + 1e-9) for total in itertools.accumulate(factors, initial=0.0)]
    repeats = iter([after - before for before, after in itertools.pairwise(sums)])
    by_file = tuple(tuple(itertools.islice(repeats, len(file))) for file in present)
    return dataclasses.replace(split, num_examples=sums[-1], repeats=by_file)


def image_factors(present: list[int], num_classes: int, threshold: float) -> list[float]:
    """Returns the factor of each image, 1 or more.

    Args:
        present: for each image, a number whose bit c says whether class c is in the mask.
        num_classes: the number of classes.
        threshold: t, from above 0 to 1.
    """
    images_with = [sum(bits >> label & 1 for bits in present) for label in range(num_classes)]
    factors = [
        max(1.0, math.sqrt(threshold * len(present) / count)) if count else 1.0
        for count in images_with
    ]
    return [
        max((factors[label] for label in range(num_classes) if bits >> label & 1), default=1.0)
        for bits in present
    ]
