"""What the tests of broken input share: cases in a fixed order, bytes and JSON with a fault in."""

import copy
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def cases(count):
    """Settings of `count` cases; the environment variable DEEPLAB_FUZZ_CASES asks for more."""
    return settings(
        max_examples=int(os.environ.get("DEEPLAB_FUZZ_CASES", count)),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@st.composite
def broken(draw, data: bytes, header: int | None = None) -> bytes:
    """Draws `data` cut, with bytes changed, taken out or put in.

    With `header`, half of the changes fall into so many bytes at the beginning.
    """
    mutable = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        end = max(len(mutable) - 1, 0)
        anywhere = st.integers(0, end)
        places = anywhere if header is None else st.integers(0, min(end, header)) | anywhere
        place = draw(places)
        match draw(st.sampled_from(["change", "cut", "remove", "insert"])):
            case "change" if mutable:
                mutable[place] = draw(st.integers(0, 255))
            case "cut":
                del mutable[place:]
            case "remove":
                del mutable[place : place + draw(st.integers(1, 9))]
            case "insert":
                mutable[place:place] = draw(st.binary(min_size=1, max_size=9))
    return bytes(mutable)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def places(value, path=()):
    """The paths of everything inside a JSON value."""
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield (*path, key)
            yield from places(value[key], (*path, key))


def with_change(content, where, value, remove):
    """A copy of `content` with another value at the path `where`, or without it."""
    changed = copy.deepcopy(content)
    inside = changed
    for key in where[:-1]:
        inside = inside[key]
    if remove:
        del inside[where[-1]]
    else:
        inside[where[-1]] = value
    return changed
