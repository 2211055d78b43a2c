"""What a training is, found once before it begins: data, classes, weights, devices, workdir.

Tested in tests/training/test_loop.py, through `train`.
"""

import dataclasses
import pathlib

import tensorflow as tf

from deeplab_tf.config import Experiment, validate
from deeplab_tf.config.gaps import check_filled
from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.config.schema import NORMALIZATION
from deeplab_tf.data.copy_paste import check_rare_classes
from deeplab_tf.data.duplicates import class_ids
from deeplab_tf.data.mixture import (
    MixedSplit,
    mixed_fingerprint,
    mixed_longest_side,
    open_mixed_in,
)
from deeplab_tf.data.records import Records, open_records
from deeplab_tf.distributed.processes import Workers, workers_of
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.same_run import check_same_run
from deeplab_tf.training.accumulate import check_parts
from deeplab_tf.training.choices.choose import choose_open_fields
from deeplab_tf.training.class_weights import check_recorded, find_class_weights
from deeplab_tf.training.continuation import check_workdir
from deeplab_tf.training.held_out_split import HeldOutSplit, find_held_out


@dataclasses.dataclass(frozen=True)
class Run:
    """A training whose parts fit each other.

    Attributes:
        experiment: the experiment with the data's number of classes and bands, and without open
            fields.
        records: the data set; its fingerprint and its longest side stand for all data sets of the
            training.
        mixed_in: the splits of other data sets that the training mixes in.
        held_out: the split that the training is evaluated on; None where it is not.
        held_out_notes: lines on that split, or on why there is none, that the user should see.
        class_weights: the loss weight of each class by name; None where the loss has no weights.
        strategy: the devices.
        workers: the processes.
        workdir: the folder that the run lives in.
        choices: lines that say which fields of the experiment were chosen, and why.

    Raises:
        DeeplabError: a field of the experiment is still to be chosen.
    """

    experiment: Experiment
    records: Records
    class_weights: dict[str, float] | None
    strategy: tf.distribute.Strategy
    workers: Workers
    workdir: pathlib.Path
    mixed_in: tuple[MixedSplit, ...] = ()
    held_out: HeldOutSplit | None = None
    held_out_notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def __post_init__(self):
        check_filled(self.experiment)


def resolve_run(
    experiment: Experiment, data_dir: pathlib.Path, workdir: pathlib.Path, evaluated: bool = True
) -> Run:
    """Finds everything that `experiment` names, and checks that the parts fit each other.

    All workers must call this function. Where `evaluated` is false, the training is not evaluated
    while it trains, whatever the experiment says, and needs no split for that.

    Raises:
        DeeplabError: data, classes, class weights, devices or workdir do not fit the experiment,
            the split of its evaluation cannot be evaluated, or another worker was given another
            training.
    """
    records = open_records(data_dir, experiment.data.dataset)
    records.labelled_split(experiment.data.split)
    class_ids(records.classes, experiment.data.duplicate_classes)
    mixed_in = open_mixed_in(data_dir, experiment.data, records)
    records = dataclasses.replace(
        records,
        fingerprint=mixed_fingerprint(records, mixed_in),
        longest_side=mixed_longest_side(records, mixed_in),
    )
    experiment = _with_data(experiment, records)
    check_rare_classes(records, experiment.data)
    strategy = make_strategy(experiment.train.strategy)
    workers = workers_of(experiment.train.strategy)
    experiment, choices = choose_open_fields(
        experiment, records, mixed_in, strategy, workers, workdir
    )
    held_out, notes = None, []
    if evaluated:
        # May read records, which starts TensorFlow: workers must be connected before.
        held_out, notes = find_held_out(experiment, records, mixed_in)
    check_parts(experiment.train, strategy)
    class_weights = find_class_weights(experiment, records, mixed_in)
    check_same_run(workers, experiment, records, class_weights)
    check_workdir(workdir, experiment, records)
    check_recorded(workdir, class_weights)
    return Run(
        *(experiment, records, class_weights, strategy, workers, workdir, mixed_in),
        *(held_out, tuple(notes), tuple(choices)),
    )


def _image_format(experiment: Experiment, records: Records) -> ImageFormat | None:
    """Returns the `image_format` of a network of the data set; None for RGB with data everywhere.

    RGB is normalised by the experiment's convention.
    """
    image_format = records.image_format
    if not image_format.is_rgb:
        return image_format
    if image_format.nodata is None:
        return None
    convention = NORMALIZATION[experiment.model.normalization]
    return dataclasses.replace(convention, nodata=image_format.nodata)


def _with_data(experiment: Experiment, records: Records) -> Experiment:
    """Returns `experiment` with the data set's number of classes, bands and longest side.

    Raises:
        DeeplabError: the experiment asks for another number of classes or other bands, or the data
            set has no statistics of its bands.
    """
    image_format = _image_format(experiment, records)
    found = {"num_classes": records.classes.num_classes, "image_format": image_format}
    for name, value in found.items():
        wanted = getattr(experiment.model, name)
        if wanted not in (None, value):
            raise DeeplabError(
                f"config.model.{name} is {wanted!r}, but {records.classes.dataset} has "
                f"{value or RGB!r}; leave config.model.{name} out to take the value of the data set"
            )
    model_config = dataclasses.replace(experiment.model, **found)
    data = experiment.data
    if data.longest_side is None:
        data = dataclasses.replace(data, longest_side=records.longest_side)
    return validate(dataclasses.replace(experiment, model=model_config, data=data))
