"""Everything that a run has at its last checkpoint, to be compared bit for bit."""

import pathlib

import numpy as np
import tensorflow as tf

from deeplab_tf.runs.checkpoints import checkpoint_prefix, checkpoint_steps

LEFT_OUT = {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
"""What is no number of the training: how often it was saved may differ."""


def checkpoint_arrays(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """The last checkpoint's weights and optimiser by name."""
    reader = tf.train.load_checkpoint(checkpoint_prefix(workdir, checkpoint_steps(workdir)[-1]))
    names = reader.get_variable_to_shape_map().keys() - LEFT_OUT
    return {name: np.asarray(reader.get_tensor(name)) for name in names}
