"""Two trainings that must have ended in the same numbers, bit for bit."""

import pathlib

import numpy as np

from support.train_processes import all_metrics, metrics


def compare(expected: pathlib.Path, found: pathlib.Path, steps: int) -> int:
    """How many arrays `model.keras` and the last checkpoint have; all must be equal."""
    import tensorflow as tf

    from deeplab_tf.artefacts.trained_model import load_model
    from deeplab_tf.runs.checkpoints import checkpoint_prefix
    from deeplab_tf.runs.workdir import MODEL_FILE

    models = [load_model(folder / MODEL_FILE).model for folder in (expected, found)]
    for a, b in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    readers = [
        tf.train.load_checkpoint(checkpoint_prefix(folder, steps)) for folder in (expected, found)
    ]
    # How often it was saved is another.
    left_out = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    names = readers[0].get_variable_to_shape_map().keys() - left_out
    assert names == readers[1].get_variable_to_shape_map().keys() - left_out
    assert sum(name.startswith("optimizer/") for name in names) > 100
    for name in names:
        a, b = (reader.get_tensor(name) for reader in readers)
        np.testing.assert_array_equal(a, b, err_msg=name)
    losses = [[m["loss"] for m in metrics(folder)] for folder in (expected, found)]
    assert losses[0] == losses[1] and len(losses[0]) == steps
    if not (expected / "validation.json").exists():
        return len(models[0].weights) + len(names)
    histories = [(folder / "validation.json").read_text() for folder in (expected, found)]
    assert histories[0] == histories[1]
    logs = [[m for m in all_metrics(folder) if "loss" not in m] for folder in (expected, found)]
    assert logs[0] == logs[1] and logs[0][-1]["step"] == steps
    return len(models[0].weights) + len(names)
