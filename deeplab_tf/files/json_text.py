"""The JSON that is written to files: what every reader of JSON takes.

Tested in tests/runs/test_run_log.py.
"""

import json
import math
from typing import Any


def json_text(content: Any, indent: int | None = 2) -> str:
    """Returns `content` as JSON with a line end; `indent` None gives one line.

    A number that is not finite becomes null, since JSON has neither NaN nor Infinity.
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
