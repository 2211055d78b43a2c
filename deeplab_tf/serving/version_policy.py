"""The versions of a model that are served at a time, of those that its folder has.

Tested in tests/serving/test_model_folder.py.
"""

import dataclasses
import re
from collections.abc import Iterable

from deeplab_tf.errors import DeeplabError


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """A choice of versions.

    Attributes:
        newest: so many versions of the highest numbers; None: all.
        only: these numbers alone; empty: any.
    """

    newest: int | None = 1
    only: frozenset[int] = frozenset()

    def wanted(self, versions: Iterable[int]) -> set[int]:
        """Returns those of `versions` that are to be served."""
        allowed = sorted(v for v in versions if not self.only or v in self.only)
        return set(allowed if self.newest is None else allowed[-self.newest :])


def parse_policy(text: str) -> VersionPolicy:
    """Returns the policy that `latest`, `latest:N`, `all` or `N,N,...` says.

    Raises:
        DeeplabError: `text` has another form.
    """
    if text == "all":
        return VersionPolicy(None)
    if found := re.fullmatch(r"latest(?::([1-9]\d{0,8}))?", text):
        return VersionPolicy(int(found[1] or 1))
    if re.fullmatch(r"\d{1,18}(,\d{1,18})*", text):
        return VersionPolicy(None, frozenset(map(int, text.split(","))))
    raise DeeplabError(
        f"versions must be latest, latest:N with N of 1 or more, all, or numbers as 1,3; received "
        f"{text!r}"
    )
