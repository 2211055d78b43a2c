"""A workdir with checkpoints, without a training."""

import functools
import pathlib
import shutil
import tempfile

from deeplab_tf.config import Backbone, Experiment, Head, ModelConfig, validate
from deeplab_tf.data.records import Records
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import build_model
from deeplab_tf.runs.checkpoints import Checkpoints
from deeplab_tf.training.continuation import describe_workdir
from deeplab_tf.training.optimizer import make_optimizer

MODEL_CONFIG = ModelConfig(
    backbone=Backbone.RESNET_TINY, num_classes=6, multi_grid=(1,), head=Head.NONE
)
EXPERIMENT = validate(Experiment(model=MODEL_CONFIG))
RECORDS = Records(pathlib.Path("data/shapes"), SHAPES, {}, {}, fingerprint="a" * 64)


def make(workdir, experiment=EXPERIMENT, keep=2):
    model = build_model(experiment.model)
    optimizer = make_optimizer(experiment.train, model)
    return model, optimizer, Checkpoints(workdir, model, optimizer, keep)


def begin(workdir, steps=(10, 20)):
    """A described workdir with checkpoints of an optimiser that counts `steps`."""
    shutil.copytree(_begun(steps).name, workdir, dirs_exist_ok=True)


@functools.cache
def _begun(steps) -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory()
    workdir = pathlib.Path(folder.name)
    describe_workdir(workdir, EXPERIMENT, RECORDS)
    _, optimizer, checkpoints = make(workdir)
    for step in steps:
        optimizer.iterations.assign(step)
        checkpoints.save()
    return folder
