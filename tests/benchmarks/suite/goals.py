"""What the figures should reach, and whether they do."""

from collections.abc import Iterator

OURS = "deeplab_tf"
KERAS = "Keras' own dilated convolution"
PADDED = "TensorFlow's own, padding multiplied"
SAVED_MODEL = "SavedModel"


def check_goals(parts: dict[str, list[dict]]) -> Iterator[str]:
    """A line a goal and group that was measured."""
    for group in _networks(parts):
        ways = group["ways"]
        yield from _against_padding(group)
        theirs = {name: way for name, way in ways.items() if name.startswith("torchvision")}
        if not theirs:
            continue
        fastest = max(theirs, key=lambda name: theirs[name]["ratio"])
        ratio = 1 / theirs[fastest]["ratio"]
        yield _line(f"{group['name']}: at least 1.00 of {fastest}", ratio, 1.0)
        yield _line(f"{group['name']}: at least 1.9 of {KERAS}", 1 / ways[KERAS]["ratio"], 1.9)
    for group in parts.get("pipeline", ()):
        yield from _against_usual_pipeline(group)
    for group in parts.get("exported", ()):
        share = group["ways"][SAVED_MODEL]["of_peak"]
        yield _line(f"{group['name']}: {SAVED_MODEL} at 0.90 of the peak", share, 0.9)


def _networks(parts: dict[str, list[dict]]) -> Iterator[dict]:
    """The groups of forward passes and training steps, those without oneDNN named so."""
    for part, groups in parts.items():
        where = "without oneDNN, " if part.endswith("onednn") else ""
        if part.startswith(("forward", "training")):
            yield from ({**group, "name": where + group["name"]} for group in groups)


def _against_usual_pipeline(group: dict) -> Iterator[str]:
    """The input pipeline against torchvision's usual one, a new batch each time."""
    usual = group["ways"].get("torchvision")
    if usual:
        yield _line(f"{group['name']}: at least 1.20 of torchvision", 1 / usual["ratio"], 1.2)


def _against_padding(group: dict) -> Iterator[str]:
    """Leaving padding out, against what the network was before."""
    ways, name = group["ways"], group["name"]
    before = next((way for way in (PADDED, KERAS) if way in ways), None)
    if before is None:
        return
    ratio = 1 / ways[before]["ratio"]
    if "block7" in name:
        yield _line(f"{name}: at least 1.5 of {before}", ratio, 1.5)
    elif "training" in name:
        yield _line(f"{name}: at least 1.15 of {before}", ratio, 1.15)


def _line(goal: str, value: float, wanted: float) -> str:
    return f"{'reached' if value >= wanted else 'MISSED'}: {value:.2f}. {OURS}, {goal}"
