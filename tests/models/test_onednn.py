"""What TensorFlow says of oneDNN is what its kernels show."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import tensorflow as tf
from deeplab_tf.models.kernels import onednn_in_use

try:  # only oneDNN has this kernel
    tf.raw_ops.Conv2DBackpropFilter(
        input=tf.ones((1, 5, 5, 1)),
        filter_sizes=(3, 3, 1, 1),
        out_backprop=tf.ones((1, 5, 5, 1)),
        strides=(1, 1, 1, 1),
        padding="SAME",
        dilations=(1, 2, 2, 1),
    )
    ran = True
except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
    ran = False
print(onednn_in_use(), ran)
"""


@pytest.mark.parametrize(("variable", "expected"), [(None, None), ("0", "False"), ("1", "True")])
def test_the_answer_is_what_the_kernels_show(variable, expected):
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": variable or ""}
    if variable is None:
        del env["TF_ENABLE_ONEDNN_OPTS"]  # the processor decides
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    told, ran = done.stdout.split()
    assert told == ran == (expected or ran)
