"""How much of a prediction is wanted; the module imports no TensorFlow.

Tested in tests/prediction/test_write_outputs.py, through `run_files`.
"""

import enum


class Wanted(enum.IntEnum):
    """What a model is asked for; each value includes those before it."""

    LABELS = 0
    CONFIDENCE = 1
    PROBABILITIES = 2
