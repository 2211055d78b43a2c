"""The digest of this package's code.

Tested in tests/runs/test_environment.py.
"""

import hashlib
import pathlib


def sources() -> str:
    """Returns a short sha256 of this package's code, since many commits have the same version."""
    package = pathlib.Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
