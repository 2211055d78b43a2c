"""The objects that a training works on: model, optimiser, loss and batches, on every device.

Tested in tests/training/test_loop.py and tests/training/test_memory_options.py, through `train`.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import Precision
from deeplab_tf.config.gaps import known
from deeplab_tf.data.balance import with_balance
from deeplab_tf.data.copy_paste import Donors, describe_donors, find_donors
from deeplab_tf.data.duplicates import with_duplicates
from deeplab_tf.data.mixture import MixedSplit
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import SplitFiles, naming_corrupt_file
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import auxiliary_weights, with_auxiliary
from deeplab_tf.models.conv import set_batch_norm_mode
from deeplab_tf.models.parts import freeze_through
from deeplab_tf.models.precision import computing_in
from deeplab_tf.runs.average import averages, evaluated_weights
from deeplab_tf.training.few_samples import hold_single_samples
from deeplab_tf.training.loss import DataLoss, make_data_loss
from deeplab_tf.training.optimizer import make_optimizer, rate_note
from deeplab_tf.training.resolve import Run
from deeplab_tf.training.step import make_train_step


@dataclasses.dataclass
class Training:
    """What a run works on: a training that can begin, with random weights.

    Attributes:
        run: the resolved run.
        split: the files of the split that is trained on, with the examples of one epoch.
        mixed_in: the splits of other data sets, with their shares of the examples.
        model: the network, on all devices, that is evaluated and exported.
        network: what is trained: `model`, or a network that shares all layers of `model` and has
            the auxiliary head besides.
        optimizer: the optimizer of `network`.
        data_loss: the loss that the experiment names.
        notes: lines on the training that the user should see.
        donors: the images to copy pixels of rare classes from; None where none are copied.
    """

    run: Run
    split: SplitFiles
    mixed_in: tuple[MixedSplit, ...]
    model: keras.Model
    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    data_loss: DataLoss
    notes: list[str]
    donors: Donors | None = None
    _evaluated: keras.Model | None = dataclasses.field(default=None, init=False)

    @property
    def auxiliary(self) -> list[keras.Variable]:
        """The weights of the auxiliary head; none without the head."""
        return auxiliary_weights(self.network)

    @property
    def splits(self) -> tuple[SplitFiles, ...]:
        """All record files that the training reads."""
        return (self.split, *(part.split for part in self.mixed_in))

    def batches(self, start: int):
        """Returns the global batches from step `start` on, dealt out over the replicas in order."""
        experiment = self.run.experiment

        def worker_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return training_batches(
                self.split,
                experiment.data,
                batch_size=known(experiment.train.batch_size),
                seed=experiment.train.seed,
                start_step=start,
                mean_pixel=experiment.model.input_format.mean,
                shard_index=context.input_pipeline_id,
                num_shards=context.num_input_pipelines,
                parts=context.num_replicas_in_sync // context.num_input_pipelines,
                mixed_in=self.mixed_in,
                donors=self.donors,
            )

        return self.run.strategy.distribute_datasets_from_function(worker_batches)

    def make_step(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the compiled step of one global batch; see `make_train_step`."""
        return make_train_step(
            self.network,
            self.optimizer,
            self.run.strategy,
            self.run.experiment.train,
            self.data_loss,
        )

    def evaluated_model(self) -> keras.Model:
        """Returns the model to evaluate and export, with the present weights.

        The model is in float32 and has the averaged weights where the training keeps an average.
        Where it is not the trained model itself, it is one model on the host, whose weights each
        call replaces.
        """
        in_float32 = self.run.experiment.train.precision is Precision.FLOAT32
        if in_float32 and not averages(self.optimizer):
            return self.model
        model = self._evaluated
        if model is None:
            with tf.device("CPU:0"):
                self._evaluated = model = build_model(self.run.experiment.model)
        weights = evaluated_weights(self.model.weights, self.optimizer)
        model.set_weights([weight.numpy() for weight in weights])
        return model

    def auxiliary_weights(self) -> dict[str, np.ndarray]:
        """Returns the weights of the auxiliary head by name, averaged where the model's are."""
        found = evaluated_weights(self.auxiliary, self.optimizer)
        pairs = zip(self.auxiliary, found, strict=True)
        return {weight.path: value.numpy() for weight, value in pairs}

    def on_host(self, batch) -> tuple[np.ndarray, np.ndarray]:
        """Returns images [B, H, W, bands] and masks [B, H, W] of a batch as arrays.

        B counts the examples of this process' replicas.
        """
        images, masks = (
            np.concatenate(
                [part.numpy() for part in self.run.strategy.experimental_local_results(x)]
            )
            for x in batch
        )
        return images, masks


def build_training(run: Run) -> Training:
    """Builds the network, its optimizer and its loss on the devices of `run`.

    Raises:
        DeeplabError: a record file is corrupt.
    """
    experiment, train = run.experiment, run.experiment.train
    split, mixed_in = run.records.split(experiment.data.split), run.mixed_in
    with naming_corrupt_file(split, *(part.split for part in mixed_in)):
        donors = find_donors(run.records, experiment.data)
        split = _with_repeats(split, run)
        mixed_in = tuple(
            dataclasses.replace(part, split=_with_repeats(part.split, run)) for part in mixed_in
        )
    keras.utils.set_random_seed(train.seed)
    with run.strategy.scope():
        with computing_in(train.precision):
            model = network = build_model(experiment.model)
            if train.auxiliary_loss:
                network = with_auxiliary(model, experiment.model)
        set_batch_norm_mode(network, train.batch_norm, run.strategy.num_replicas_in_sync)
        if train.freeze_through is not None:
            freeze_through(network, train.freeze_through)
        notes = [
            *rate_note(train),
            *hold_single_samples(network, experiment, run.strategy.num_replicas_in_sync),
        ]
        if donors is not None:
            notes.append(describe_donors(donors, run.records.classes))
        optimizer = make_optimizer(train, network)
    weights = list(run.class_weights.values()) if run.class_weights else None
    data_loss = make_data_loss(train, weights)
    return Training(run, split, mixed_in, model, network, optimizer, data_loss, notes, donors)


def _with_repeats(split: SplitFiles, run: Run) -> SplitFiles:
    """Returns `split` with the repeats of its records that the experiment asks for."""
    classes, data = run.records.classes, run.experiment.data
    split = with_balance(split, classes.num_classes, data.balance)
    return with_duplicates(split, classes, data.duplicate_classes)
