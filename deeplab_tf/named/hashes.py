"""Whether a file is the one that the table means.

Tested in tests/named/test_hashes.py.
"""

import pathlib

import pooch

from deeplab_tf.errors import DeeplabError

PREFIX = "sha256-prefix"


def check_hash(path: pathlib.Path, expected: str | None) -> str:
    """Checks a file against a hash of the table, and says in words what that shows.

    Args:
        path: the file.
        expected: `sha256:HEX`, `md5:HEX`, `sha256-prefix:HEX`, or None where no hash is known.

    Returns:
        What was checked, or the file's sha256 where there was nothing to check.

    Raises:
        DeeplabError: the file has another hash; the message names the file and both hashes.
    """
    if expected is None:
        found = pooch.file_hash(str(path), "sha256")
        return f"no hash is known, so the file is not checked; its sha256 is {found}"
    kind, _, wanted = expected.partition(":")
    found = pooch.file_hash(str(path), "sha256" if kind == PREFIX else kind)
    if found == wanted:
        return f"{kind} checked"
    if kind == PREFIX and found.startswith(wanted):
        return f"only the first {len(wanted)} digits of the sha256 are known, and they are right"
    begins = " beginning with" if kind == PREFIX else ""
    raise DeeplabError(
        f"{path} must have {kind.removesuffix('-prefix')}{begins} {wanted}. Received: {found}; the "
        "file is damaged or another one; replace it"
    )


def describe_hash(expected: str | None) -> str:
    """Returns in a few words how well a file can be checked."""
    if expected is None:
        return "none: no hash is known, and the file is not checked"
    kind, _, wanted = expected.partition(":")
    if kind == PREFIX:
        return f"{len(wanted)} digits: of the sha256 only the first are known, {wanted}"
    return f"{kind}: {wanted}"
