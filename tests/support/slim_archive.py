"""An archive as DeepLab's releases are: a TF1 checkpoint, of random weights, by TF-Slim's names."""

import pathlib
import tarfile

import numpy as np
import tensorflow as tf

from deeplab_tf.models import build_model
from deeplab_tf.weights.slim import slim_name
from support.slim_networks import slim_networks


def write_slim_archive(folder: pathlib.Path, network: str = "mobilenet_v2 0.5") -> pathlib.Path:
    """Writes `release.tar.gz` with a network of `slim_networks` into `folder`; returns its path."""
    scope, model_config = slim_networks()[network]
    rng = np.random.default_rng(0)
    model = build_model(model_config)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {}
        for number, weight in enumerate(model.weights):
            value = np.abs(rng.normal(0.5, 0.1, weight.shape)).astype(np.float32)
            if "kernel" in weight.path:
                value -= 0.5
            name = slim_name(weight.path, scope)
            variables[name] = tf.compat.v1.Variable(value, name=f"v{number}")
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(variables)
        checkpoint = folder / "release" / "model.ckpt-30000"
        checkpoint.parent.mkdir()
        saver.save(session, str(checkpoint), write_meta_graph=False, write_state=False)
    path = folder / "release.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(checkpoint.parent, "release")
    return path
