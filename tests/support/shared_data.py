"""Real data next to the project, for the tests that can use it."""

import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path(
    os.environ.get("DEEPLAB_SHARED_DATA", REPOSITORY.parent / "shared" / "data")
).resolve()
needs_shared_data = pytest.mark.skipif(
    not (SHARED / "VOCdevkit").is_dir(),
    reason=f"real data sets are not in {SHARED} (set DEEPLAB_SHARED_DATA)",
)
