"""A trained network with its experiment and its classes, and the files that hold it.

A `.keras` file of this package is Keras' own zip archive with one more member, `DESCRIPTION`, which
every other artefact (SavedModel, LiteRT file) carries too.

Tested in tests/inference/test_predictor.py and tests/runs/test_checkpoints.py.
"""

import contextlib
import dataclasses
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.artefacts.auxiliary import auxiliary_members
from deeplab_tf.artefacts.best import has_best, read_best
from deeplab_tf.artefacts.dates import remove_dates
from deeplab_tf.artefacts.description import (
    DESCRIPTION,
    describe,
    has_classes,
    is_described_zip,
    parse_description,
    parse_experiment,
)
from deeplab_tf.config import Experiment, Keep, ModelConfig, validate
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import whole_file
from deeplab_tf.images.classes import Classes
from deeplab_tf.models import build_model, with_output_stride
from deeplab_tf.runs.checkpoints import (
    AVERAGED,
    checkpoint_steps,
    describe_broken,
    restore_last,
)
from deeplab_tf.runs.workdir import BEST_FILE, CONFIG_FILE, read_data, read_experiment


@dataclasses.dataclass
class TrainedModel:
    """A network with its experiment and its classes.

    Attributes:
        model: the network from pixels to logits that `build_model` describes.
        experiment: the experiment that the network was trained by.
        classes: the classes, which are the channels of the logits.
        step: the step of the weights in the workdir that the network was read from; None if from
            elsewhere.
        auxiliary: the weights of the auxiliary head by name, which `save_model` writes beside the
            network. `load_model` leaves them in the file, since only a training needs them.
    """

    model: keras.Model
    experiment: Experiment
    classes: Classes
    step: int | None = None
    auxiliary: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def image_format(self) -> ImageFormat:
        """Returns the format of the images that the model takes."""
        return self.experiment.model.input_format


def at_output_stride(trained: TrainedModel, output_stride: int) -> TrainedModel:
    """Returns the same weights in a network and an experiment of another `output_stride`.

    Raises:
        DeeplabError: the experiment does not allow that output_stride.
    """
    model_config = trained.experiment.model
    changed = dataclasses.replace(model_config, output_stride=output_stride)
    experiment = validate(dataclasses.replace(trained.experiment, model=changed))
    network = with_output_stride(trained.model, model_config, output_stride)
    return TrainedModel(network, experiment, trained.classes)


def save_model(
    trained: TrainedModel,
    path: str | os.PathLike,
    members: Mapping[str, str] | None = None,
    *,
    dated: bool = True,
) -> None:
    """Writes a `.keras` file with the description inside; either the whole file or none appears.

    Args:
        trained: the network.
        path: the file.
        members: the texts of further members of the zip archive, by name.
        dated: whether the file says when it was written. Without a date, the same network gives
            the same bytes.
    """
    description = {DESCRIPTION: describe(trained.experiment, trained.classes)}
    _save(
        trained.model,
        {**auxiliary_members(trained.auxiliary), **description, **(members or {})},
        path,
        dated,
    )


def save_backbone(
    model: keras.Model, model_config: ModelConfig, path: str | os.PathLike, *, dated: bool = True
) -> None:
    """Writes a `.keras` file of a backbone without a head, with its config, for `init_from`.

    `dated` is that of `save_model`.
    """
    _save(model, {DESCRIPTION: describe(Experiment(model=model_config), None)}, path, dated)


def _save(
    model: keras.Model, members: Mapping[str, str | bytes], path: str | os.PathLike, dated: bool
) -> None:
    with whole_file(pathlib.Path(path), is_described_zip) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        if not dated:
            remove_dates(temporary)


def load_model(path: str | os.PathLike, report: Callable[[str], None] = print) -> TrainedModel:
    """Loads a `.keras` file of this package, or the weights of a training workdir.

    The weights of a workdir are the best so far where the training keeps the best and has found
    some, else those of the last whole checkpoint. The network computes in float32, whatever
    precision it was trained in. Where the training keeps an average of the weights, a checkpoint's
    network has the average, and so have the best weights.

    Args:
        path: the file or the workdir.
        report: gets a line for each checkpoint that is broken and passed over, and one that says
            which weights are taken where the training keeps the best.

    Raises:
        DeeplabError: `path` is neither, or does not fit its own description.
    """
    path = pathlib.Path(path)
    if (path / CONFIG_FILE).is_file():
        return _load_workdir(path, report)
    if path.is_file() and path.suffix == ".keras":
        return _load_keras_file(path)
    if not path.exists():
        raise DeeplabError(f"model {path} does not exist")
    raise DeeplabError(
        f"model {path} must be a .keras file or a workdir of deeplab-train (with {CONFIG_FILE})"
    )


def _load_keras_file(path: pathlib.Path) -> TrainedModel:
    experiment, classes = read_description(path)
    return TrainedModel(read_keras_file(path), experiment, classes)


def read_description(path: pathlib.Path) -> tuple[Experiment, Classes]:
    """Reads the experiment and the classes in a `.keras` file of this package.

    Raises:
        DeeplabError: the file is another's, is damaged, or is a backbone without classes.
    """
    text = _read_member(path)
    if text is None:
        raise DeeplabError(
            f"model {path} has no {DESCRIPTION} inside: it was not written by deeplab_tf"
        )
    return parse_description(text, f"model {path}")


def read_model_config(path: pathlib.Path) -> ModelConfig | None:
    """Reads the network's config in a `.keras` file, which may be a backbone without a head.

    Returns None where the file was not written by this package.

    Raises:
        DeeplabError: the file is damaged, or its config is wrong.
    """
    text = _read_member(path)
    return None if text is None else parse_experiment(text, f"model {path}").model


def segments(path: pathlib.Path) -> bool:
    """Returns whether a `.keras` file of this package holds a network with classes.

    False for a backbone without a head, and for a file that this package did not write.

    Raises:
        DeeplabError: the file is damaged, or its description is wrong.
    """
    text = _read_member(path)
    return text is not None and has_classes(text, f"model {path}")


def _read_member(path: pathlib.Path) -> bytes | None:
    """Returns the description in a `.keras` file, None where there is none."""
    with _zip_members(path) as archive:
        if DESCRIPTION not in archive.namelist():
            return None
        return archive.read(DESCRIPTION)


def read_keras_file(path: pathlib.Path) -> keras.Model:
    """Loads the model of any `.keras` file.

    Raises:
        DeeplabError: the file is damaged or holds no model; the message names the file.
    """
    with _zip_members(path) as archive:
        # Keras does not check the checksums, so a flipped bit would become a weight.
        damaged = archive.testzip()
    if damaged:
        raise DeeplabError(f"model {path} is damaged: its {damaged} fails the checksum")
    try:
        model = keras.saving.load_model(path, compile=False)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise DeeplabError(
            f"model {path} is not a .keras file that loads: {one_line(str(error))[:200]}"
        ) from error
    if not isinstance(model, keras.Model):
        raise DeeplabError(f"model {path} holds a {type(model).__name__}, not a keras.Model")
    return model


@contextlib.contextmanager
def _zip_members(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Opens a `.keras` file for reading as the zip archive that it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        raise DeeplabError(
            f"model {path} is not a whole .keras file: {one_line(str(error))}"
        ) from error


def _load_workdir(workdir: pathlib.Path, report: Callable[[str], None]) -> TrainedModel:
    experiment = read_experiment(workdir)
    classes, _ = read_data(workdir)
    best_file = workdir / BEST_FILE
    if has_best(workdir, experiment):
        best = read_best(best_file)
        report(f"the best weights of {workdir}: {best}")
        return TrainedModel(read_keras_file(best_file), experiment, classes, best.step)
    if not checkpoint_steps(workdir):
        raise _no_checkpoint(workdir)
    model = build_model(experiment.model)
    state: dict = {"model": model}
    if experiment.train.ema_momentum is not None:
        state = {AVERAGED: model.weights}
    step, broken = restore_last(tf.train.Checkpoint(**state), workdir)
    if step is None:
        raise _no_checkpoint(workdir)
    for line in describe_broken(workdir, broken):
        report(f"{line}; the checkpoint of step {step} is used")
    if experiment.train.keep is Keep.BEST:
        report(f"the last checkpoint of {workdir}, step {step}: there is no {BEST_FILE}")
    return TrainedModel(model, experiment, classes, step)


def _no_checkpoint(workdir: pathlib.Path) -> DeeplabError:
    return DeeplabError(f"workdir {workdir} has no checkpoint yet; train it with deeplab-train")
