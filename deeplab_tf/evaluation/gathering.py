"""What the workers of an evaluation have of their own images, brought together on each of them.

Tested in tests/evaluation/test_several_devices.py, through `evaluate_split`.
"""

import base64
import json
from collections.abc import Iterable

import numpy as np

from deeplab_tf.distributed.processes import Workers
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.tally import Tally
from deeplab_tf.evaluation.worst import Kept

LINES = 1000
"""The images whose counts a worker sends at a time, so that no message is large."""


def sum_tallies(tally: Tally, workers: Workers) -> None:
    """Makes the sums of `tally` those over all workers, its `worst` apart; all must call this."""
    parts = (tally.matrix, tally.calibration, tally.sizes)
    flat = workers.sum(np.concatenate([[tally.images], *(part.reshape(-1) for part in parts)]))
    tally.images, rest = int(flat[0]), flat[1:]
    for part in parts:
        part[...] = rest[: part.size].reshape(part.shape)
        rest = rest[part.size :]


def gather_images(images: list[ImageCounts], workers: Workers) -> list[ImageCounts]:
    """Returns the counts of all workers' images, on each worker; all must call this."""
    if workers.count == 1:
        return images
    most = max(workers.gather_flag(len(images)))
    gathered = []
    for start in range(0, most, LINES):
        lines = [image.to_json() + "\n" for image in images[start : start + LINES]]
        for text in workers.gather_text("".join(lines) or "\n"):
            gathered += [ImageCounts.from_json(line) for line in text.splitlines() if line]
    return gathered


def gather_pictures(
    kept: dict[str, Kept], names: Iterable[str], workers: Workers
) -> dict[str, Kept]:
    """Returns the pictures of the images `names`, on each worker; all must call this.

    Args:
        kept: the pictures that this worker has.
        names: the images that are wanted, the same on all workers.
        workers: the workers.
    """
    wanted = sorted(names)
    if workers.count == 1:
        return {name: kept[name] for name in wanted}
    gathered = {}
    for name in wanted:
        own = kept.get(name)
        parts = [own.picture, own.mask, own.labels] if own else []
        text = json.dumps([base64.b64encode(part).decode() for part in parts])
        for answer in map(json.loads, workers.gather_text(text)):
            if answer:
                gathered[name] = Kept(*map(base64.b64decode, answer))
    return gathered
