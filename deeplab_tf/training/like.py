"""A network that is to be the one of a `.keras` file, so that the file's weights fit it.

Tested in tests/training/test_like.py.
"""

import dataclasses
from collections.abc import Callable, Iterable

from deeplab_tf.artefacts.trained_model import read_model_config
from deeplab_tf.config import Experiment, validate
from deeplab_tf.config.differences import FROM_DATA
from deeplab_tf.errors import DeeplabError
from deeplab_tf.named import model_path


def resolve_like(
    experiment: Experiment, given: Iterable[str] = (), report: Callable[[str], None] = print
) -> Experiment:
    """Returns `experiment` with the network of the file `model.like`, and without `like`.

    `like` may be the name of a published model too. An experiment without `like` is returned as it
    is.

    Args:
        experiment: the experiment; fields that the data set fills in are taken from the data set.
        given: dotted names of the fields, as `model.output_stride`, that go over those of the file.
        report: gets the lines of `model_path`.

    Raises:
        DeeplabError: the file does not exist, was not written by this package, or its network does
            not go with the fields that are `given`.
    """
    like = experiment.model.like
    if like is None:
        return experiment
    file = model_path(like, report)
    if not file.is_file():
        raise DeeplabError(f"config.model.like={like} does not exist; it must be a .keras file")
    theirs = read_model_config(file)
    if theirs is None:
        raise DeeplabError(
            f"config.model.like={like} was not written by deeplab_tf and does not say what its "
            "network is; give the fields of config.model instead"
        )
    kept = {
        name.partition(".")[2] for name in (*FROM_DATA, *given) if name.startswith("model.")
    } - {"like"}
    fields = {name: getattr(experiment.model, name) for name in kept}
    return validate(dataclasses.replace(experiment, model=dataclasses.replace(theirs, **fields)))
