"""The images that int8 is calibrated on, apart from those by which it is judged."""

from collections.abc import Iterable

from .images import ComparedImage


def held_apart(
    judged: Iterable[ComparedImage], candidates: Iterable[ComparedImage], count: int
) -> tuple[list[ComparedImage], list[ComparedImage]]:
    """Returns the images to judge an int8 artefact by, and others to calibrate it on.

    No image is in both, so that the figures hold for images which the calibration did not see.
    Where both come from one source that has too few, each gets half of it. A single image must
    serve for both.

    Args:
        judged: the images to judge by.
        candidates: the images to calibrate on, the `judged` among them where the source is the
            same, and enough besides.
        count: how many images to calibrate on, at most.
    """
    judged, candidates = list(judged), list(candidates)
    names = {picture.name for picture in judged}
    others = [picture for picture in candidates if picture.name not in names][:count]
    if len(others) < count and any(picture.name in names for picture in candidates):
        half = min(count, (len(judged) + len(others)) // 2)
        kept = len(judged) - max(0, half - len(others))
        judged, others = judged[:kept], judged[kept:] + others
    return judged, others or judged
