"""The digests of code.

Tested in tests/runs/test_environment.py.
"""

import hashlib
import pathlib


def sources() -> str:
    """Returns a short sha256 of this package's code, since many commits have the same version."""
    return code_digest(pathlib.Path(__file__).parents[1], "**/*.py")[:12]


def code_digest(folder: pathlib.Path, pattern: str = "*.py") -> str:
    """Returns a sha256 in hex over the names and the content of the files of `pattern`."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
