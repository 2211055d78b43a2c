"""How much of a prediction is wanted; the module imports no TensorFlow.

Tested in tests/prediction/test_write_outputs.py, through `run_files`.
"""

import enum


class Wanted(enum.IntEnum):
    """What a model is asked for; each value includes those before it.

    `CONFIDENCE_IF_ANY` asks a model that gives only labels for no more than these.
    """

    LABELS = 0
    CONFIDENCE_IF_ANY = 1
    CONFIDENCE = 2
    PROBABILITIES = 3
