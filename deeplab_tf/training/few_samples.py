"""Batch norms that see too few samples in a step to have statistics.

The image-level features are one pixel an image. With one image, a batch norm over them has no
variance: its output is constant in training, its moving variance falls to 0, and the evaluation
divides by the root of epsilon.

Tested in tests/training/test_few_samples.py.
"""

import keras

from deeplab_tf.config import BatchNormMode, Experiment
from deeplab_tf.models.conv import FusedBatchNormalization

ENOUGH = 4
"""Samples from which on a batch norm gets no note."""
MORE = "a larger train.batch_size, fewer accumulate_steps or batch_norm=sync (on devices) help"


def hold_single_samples(model: keras.Model, experiment: Experiment, replicas: int) -> list[str]:
    """Makes the batch norms of `model` that see one sample a step keep their moving statistics.

    Returns:
        A note on these norms, and a note on those that see fewer than `ENOUGH` samples; none where
        no norm does.
    """
    found: dict[int, list[str]] = {}
    for norm, samples in _samples(model, experiment, replicas):
        norm.holds_statistics = samples == 1
        if samples < ENOUGH:
            found.setdefault(samples, []).append(norm.name)
    return [_note(samples, names) for samples, names in sorted(found.items())]


def _samples(
    model: keras.Model, experiment: Experiment, replicas: int
) -> list[tuple[FusedBatchNormalization, int]]:
    """Returns each batch norm that trains, and how many samples of a channel it sees at once."""
    train = experiment.train
    norms = [x for x in model.layers if isinstance(x, FusedBatchNormalization) and x.trainable]
    if not norms:
        return []
    images = train.batch_size // train.accumulate_steps
    if train.batch_norm is not BatchNormMode.SYNC:
        images //= replicas
    (image,) = model.inputs
    maps = keras.Function([image], [norm.output for norm in norms]).compute_output_spec(
        [keras.KerasTensor((images, *experiment.data.crop, image.shape[-1]), image.dtype)]
    )
    sizes = [map.shape[1] * map.shape[2] for map in maps]  # pyright: ignore[reportOptionalIterable]
    return [(norm, images * size) for norm, size in zip(norms, sizes, strict=True)]


def _note(samples: int, names: list[str]) -> str:
    norms = names[0] if len(names) == 1 else f"{len(names)} batch norms to {names[-1]}"
    if samples == 1:
        what = "one sample a step, without a variance: statistics stay, gamma and beta learn"
    else:
        what = f"{samples} samples a step, which make rough statistics"
    return f"note: {norms}: {what}; {MORE}"
