"""The objects that a training works on: model, optimiser, loss and batches, on every device."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import Experiment, Precision, pixel_statistics
from deeplab_tf.data.duplicates import with_duplicates
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.records import Records, SplitFiles, naming_corrupt_file
from deeplab_tf.distributed.processes import Workers, workers_of
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.models import build_model
from deeplab_tf.models.conv import set_batch_norm_mode
from deeplab_tf.models.parts import freeze_through
from deeplab_tf.models.precision import computing_in
from deeplab_tf.runs.average import averages, evaluated_weights
from deeplab_tf.training.accumulate import check_parts
from deeplab_tf.training.class_weights import find_class_weights
from deeplab_tf.training.loss import DataLoss, make_data_loss
from deeplab_tf.training.step import make_optimizer, make_train_step


@dataclasses.dataclass
class Training:
    """A training that can begin, with random weights.

    Attributes:
        experiment: the experiment, with the data's number of classes.
        records: the data set.
        split: the record files of the training split, with the examples of an epoch.
        class_weights: weights by class name; None where the loss has none.
        strategy: the devices.
        workers: the worker processes.
        model, optimizer: the network and its optimiser, made on all devices.
        data_loss: the loss that the experiment names.
    """

    experiment: Experiment
    records: Records
    split: SplitFiles
    class_weights: dict[str, float] | None
    strategy: tf.distribute.Strategy
    workers: Workers
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    data_loss: DataLoss

    def batches(self, start: int):
        """Returns the global batches from step `start` on, dealt out over the replicas in order."""
        config = self.experiment

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return training_batches(
                self.split,
                config.data,
                batch_size=config.train.batch_size,
                seed=config.train.seed,
                start_step=start,
                mean_pixel=pixel_statistics(config.model).mean,
                shard_index=context.input_pipeline_id,
                num_shards=context.num_input_pipelines,
                parts=context.num_replicas_in_sync // context.num_input_pipelines,
            )

        return self.strategy.distribute_datasets_from_function(of_worker)

    def make_step(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the compiled step of one global batch; see `make_train_step`."""
        config = self.experiment.train
        return make_train_step(
            self.model,
            self.optimizer,
            self.strategy,
            config.weight_decay,
            self.data_loss,
            (config.backbone_rate, config.head_rate),
            accumulate_steps=config.accumulate_steps,
            rematerialize=config.rematerialize,
        )

    def evaluated_model(self) -> keras.Model:
        """Returns the model to evaluate and export.

        The model is in float32 and has the averaged weights where the training keeps an average.
        """
        in_float32 = self.experiment.train.precision is Precision.FLOAT32
        if in_float32 and not averages(self.optimizer):
            return self.model
        model = build_model(self.experiment.model)
        weights = evaluated_weights(self.model, self.optimizer)
        model.set_weights([weight.numpy() for weight in weights])
        return model

    def on_host(self, batch) -> tuple[np.ndarray, np.ndarray]:
        """Returns images [B, H, W, bands] and masks [B, H, W] of a batch as arrays.

        B counts the examples of this process' replicas.
        """
        image, labels = (
            np.concatenate([part.numpy() for part in self.strategy.experimental_local_results(x)])
            for x in batch
        )
        return image, labels


def build_training(experiment: Experiment, records: Records) -> Training:
    """Builds the training that `experiment` describes; `experiment` must fit `records`.

    Raises:
        DeeplabError: a record file is corrupt, or the class weights or devices do not fit.
    """
    config = experiment.train
    split = records.split(experiment.data.split)
    with naming_corrupt_file(split):
        split = with_duplicates(split, records.classes, experiment.data.duplicate_classes)
    class_weights = find_class_weights(experiment, records)
    strategy = make_strategy(config.strategy, config.batch_size)
    check_parts(config, strategy)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        with computing_in(config.precision):
            model = build_model(experiment.model)
        set_batch_norm_mode(model, config.batch_norm, strategy.num_replicas_in_sync)
        if config.freeze_through is not None:
            freeze_through(model, config.freeze_through)
        optimizer = make_optimizer(config)
        optimizer.build(model.trainable_variables)
    data_loss = make_data_loss(config, list(class_weights.values()) if class_weights else None)
    return Training(
        experiment,
        records,
        split,
        class_weights,
        strategy,
        workers_of(config.strategy),
        model,
        optimizer,
        data_loss,
    )
