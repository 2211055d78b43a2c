"""The names of splits: which is for training, and which is held out from it."""

from collections.abc import Iterable

HELD_OUT = ("validation", "valid", "val", "testing", "test")


def held_out_from(split: str, other: str) -> bool:
    """Returns whether no image of `split` may be in `other`, judged by the names of the splits.

    The split `val` is held out from `train`, `trainaug` and similar names, but not from `trainval`.
    The split `test` is held out from all of these. A common beginning or end of the names is
    allowed: `dev_val` is held out from `dev_train`.
    """
    word = next((word for word in HELD_OUT if word in split.lower()), None)
    if word is None or "train" in split.lower():
        return False
    start, _, end = split.lower().partition(word)
    if not other.lower().startswith(f"{start}train") or not other.lower().endswith(end):
        return False
    # The name trainval says that the split has the images of val, so val is not held out from it.
    return "test" in word or not other.lower().removeprefix(f"{start}train").startswith("val")


def may_share_images(split: str, other: str) -> bool:
    """Returns whether the names say that images of `split` are in `other`, as `val` in `trainval`.

    `train` is in `trainaug` and `trainval`.
    """
    speaks = any(word in split.lower() for word in ("train", *HELD_OUT))
    return speaks and split.lower() in other.lower() and not held_out_from(split, other)


def held_out_split(names: Iterable[str], wanted: str) -> str:
    """Returns the split to evaluate on: `wanted`, or where there is none, the one held out.

    A split for validation comes before one for tests. Where none or several are held out, the
    result is `wanted`.
    """
    names = list(names)
    if wanted in names:
        return wanted
    held_out = [name for name in names if "train" not in name.lower()]
    for words in (HELD_OUT[:3], HELD_OUT[3:]):
        found = [name for name in held_out if any(word in name.lower() for word in words)]
        if found:
            return found[0] if len(found) == 1 else wanted
    return wanted


def training_split(names: Iterable[str], wanted: str) -> str:
    """Returns the split to train on: `wanted`, or where there is none, the only one for training.

    Where no name or several speak of training, the result is `wanted`.
    """
    names = list(names)
    found = [name for name in names if "train" in name.lower()]
    return found[0] if wanted not in names and len(found) == 1 else wanted
