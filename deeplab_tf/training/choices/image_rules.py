"""The rules for scales, working size, shuffling, crop and batch: what a step has in memory.

Tested in tests/training/choices/test_rules.py, through `fill`.
"""

import math

from deeplab_tf.config import Experiment, Fit
from deeplab_tf.config.gaps import known, open_fields
from deeplab_tf.training.choices.choice import Choice, chosen, gigabytes
from deeplab_tf.training.choices.facts import DataFacts, Machine
from deeplab_tf.training.choices.memory import crop_of, evaluation_bytes, step_bytes

PAPER_CROP = 513
"""The paper's crop (section 4.1) is the largest: memory and time grow with its square."""
LARGE = 2 * PAPER_CROP
"""The longer side above which images are shrunk: a crop of the paper's size shows too little of a
larger one to know an object by, and its evaluation takes minutes."""
LEAST_CROP = 193
"""The crop below which no memory is worth a smaller one: a map of 13 at output_stride 16."""
PAPER_BATCH = 16
CPU_BATCH = 8
"""A CPU takes as long for one image of a batch of 16 as for one of 8, the batch of the hand-made
rows for CPUs: so many images give twice the steps."""
LEAST_BATCH = 4
"""A batch norm of fewer images has statistics that are mostly noise: the crop is lowered first."""
PLANNED = 0.7
"""The share of the free memory that is planned with; the rest is for what was not measured."""
SHUFFLED = 2048
SHUFFLED_SHARE = 0.1
"""The share of the host's free memory that the encoded images held for shuffling may take."""


def choose_scales(
    experiment: Experiment, facts: DataFacts, machine: Machine
) -> tuple[Experiment, list[Choice]]:
    """Shows large images shrunk, in training and evaluation alike; others as the paper does.

    The longer side of a large image is `LARGE`, or less where an evaluated image of that size does
    not fit into the memory. Where only some images are large, training shows all at their own size,
    and evaluation shrinks those. Tiles keep the scale of their pixels. The random scale goes from
    half to twice that, as in the paper (section 4.1), and a scale that is given decides the other.
    """
    data, given = experiment.data, experiment.evaluate.working_size
    low, high = data.min_scale, data.max_scale
    if "evaluate.working_size" not in open_fields(experiment):
        if low is not None or high is not None:
            low, high = low or known(high) / 4, high or known(low) * 4
            reason = "a quarter of the largest to four times the smallest, as in the paper"
        else:
            factor = min(1.0, given / facts.longer) if given else 1.0
            low, high = _scales(factor)
            reason = "half to twice the size at which the run is evaluated"
        scales = [Choice("data.min_scale", low, reason), Choice("data.max_scale", high, reason)]
        return chosen(experiment, scales)
    shown, limit, why = _shown(experiment, facts, machine)
    low, high = _scales(shown / facts.longer)
    height, width = facts.size
    reason = half = "half to twice the image's size, as in the paper"
    if shown < facts.longer:
        half = f"half of {shown / facts.longer:.2g}: images of {width}x{height} are shown {shown} "
        half += f"pixels long, {why}"
        reason = "twice that, as in the paper"
    choices = [Choice("data.min_scale", low, half), Choice("data.max_scale", high, reason)]
    if limit is not None:
        what = "larger images are shrunk to it in evaluations and predictions"
        choices.append(Choice("evaluate.working_size", limit, what))
    return chosen(experiment, choices)


def _scales(factor: float) -> tuple[float, float]:
    return round(factor / 2, 4), round(factor * 2, 4)


def _shown(
    experiment: Experiment, facts: DataFacts, machine: Machine
) -> tuple[int, int | None, str]:
    """Returns the longer side of the median image as shown, the longest (or None), and why."""
    longest = max(facts.longer, facts.longest)
    if facts.tiles or experiment.data.fit is Fit.LETTERBOX:
        return facts.longer, None, ""
    limit, why = min(longest, LARGE), "so that a crop shows enough of one"
    if machine.memory is not None:
        ratio = min(facts.size) / facts.longer
        room = PLANNED * machine.memory - step_bytes(experiment, 0, (0, 0))
        while limit > PAPER_CROP and evaluation_bytes(experiment, ratio * limit**2) > room:
            limit, why = max(PAPER_CROP, limit * 7 // 8), "so that one fits into the memory"
    return min(facts.longer, limit), limit if limit < longest else None, why


def choose_shuffling(experiment: Experiment, facts: DataFacts, machine: Machine) -> list[Choice]:
    """Holds 2048 encoded images for shuffling, or as many as a tenth of the memory holds."""
    room = SHUFFLED_SHARE * machine.host if machine.host else float("inf")
    most = int(min(SHUFFLED, max(64, room // max(1, facts.record_bytes))))
    each = f"{facts.record_bytes / 1e6:.1f} MB"
    reason = f"as everywhere; an encoded image has {each}"
    if most < SHUFFLED:
        reason = f"images of {each}, {most} or a tenth of the memory"
    return [Choice("data.shuffle_buffer", most, reason)]


def choose_crop_and_batch(
    experiment: Experiment, facts: DataFacts, machine: Machine
) -> tuple[Experiment, list[Choice], list[str]]:
    """Takes the largest crop that most images fill, and the largest batch that fits with it.

    The crop is k * output_stride + 1, so that the first and the last sample of the map lie on its
    borders. It is lowered where fewer than `LEAST_BATCH` images (or than the batch that is given)
    fit into the memory. The batch is a power of two on each device, `PAPER_BATCH` at most in all,
    `CPU_BATCH` on a CPU.

    Returns:
        The experiment, the choices, and a line where what is given does not fit into the memory.
    """
    wanted, crop_reason = _wanted_crop(experiment, facts)
    stride, train = experiment.model.output_stride, experiment.train
    unit = machine.replicas * train.accumulate_steps
    most = CPU_BATCH if machine.device == "CPU" else PAPER_BATCH
    batches = [unit << power for power in range(8) if unit << power <= max(most, unit)][::-1]
    enough = min(max(LEAST_BATCH, unit), batches[0])
    if train.batch_size is not None:
        batches, enough = [train.batch_size], train.batch_size
    crops = [wanted]
    if experiment.data.crop_size is None:
        least = min(wanted, LEAST_CROP // stride * stride + 1)
        crops = list(range(wanted, least - 1, -stride)) or [wanted]
    # On a CPU the images held for shuffling lie in the memory that the step has.
    held, a_step = 0, "a step"
    if machine.device == "CPU":
        held, a_step = _held(experiment, facts), "a step with the images held for shuffling"
    room = None if machine.memory is None else PLANNED * machine.memory - held
    crop, batch, fits = crops[-1], batches[-1], False
    for crop in crops:
        fitting = [size for size in batches if _fits(experiment, size / unit, crop, room)]
        batch, fits = (fitting or batches[-1:])[0], bool(fitting)
        if fits and batch >= enough:
            break
    if crop != wanted:
        crop_reason = f"{wanted} would be best, but fewer images of that size fit into the memory"
    need = held + step_bytes(experiment, batch / unit, (crop, experiment.data.crop_width or crop))
    free = machine.memory and gigabytes(machine.memory)
    if batch == batches[0] and (fits or room is None):
        batch_reason = "as in the paper" if most == PAPER_BATCH else "a CPU gains nothing from more"
        if machine.replicas > 1:
            batch_reason += f", on {machine.replicas} devices"
        batch_reason += f"; {a_step} needs {gigabytes(need)} of {free}" if free else ""
    else:
        batch_reason = f"{a_step} needs about {gigabytes(need)}, and {free} are free: more do not "
        batch_reason += "fit"
    filled, made = chosen(
        experiment,
        [
            Choice("data.crop_size", crop, crop_reason),
            Choice("train.batch_size", batch, batch_reason),
        ],
    )
    notes = []
    if not fits:
        height, width = crop_of(filled)
        fewer = "train.batch_size"
        if held:
            fewer = "train.batch_size or data.shuffle_buffer"
        notes.append(
            f"note: {a_step}, of {batch} crops of {width}x{height}, needs about {gigabytes(need)}, "
            f"and {free} are free: a smaller data.crop_size, {fewer}, or train.rematerialize=True, "
            "needs less"
        )
    return filled, made, notes


def _wanted_crop(experiment: Experiment, facts: DataFacts) -> tuple[int, str]:
    """Returns the crop that the images' sizes give, and why."""
    data, stride = experiment.data, experiment.model.output_stride
    if data.crop_size is not None:
        return data.crop_size, "as given"
    if data.fit is Fit.LETTERBOX:
        side, what = facts.longer, "the image's longer side"
    else:
        side = round(facts.shorter * _mean_scale(experiment))
        what = f"three quarters of the images are {side} pixels or more on the shorter side"
        if side != facts.shorter:
            what += " as they are shown"
    # An image of 512 pixels fills a crop of 513 but for one row and column.
    crop = max(2 * stride, min(side, PAPER_CROP - 1) // stride * stride) + 1
    if side + 1 > PAPER_CROP:
        return crop, f"as in the paper; {what}"
    return crop, f"{what}; it is k * {stride} + 1"


def _mean_scale(experiment: Experiment) -> float:
    """Returns the geometric mean of the scales that training shows images at."""
    return math.sqrt(known(experiment.data.min_scale) * known(experiment.data.max_scale))


def note_mixed_sizes(experiment: Experiment, facts: DataFacts) -> list[str]:
    """Returns a line where a tenth of the images are evaluated at a scale that training lacks.

    Training shows all images at one range of scales, that of the median image; an evaluation
    shrinks each image by itself. A scale up to twice off the middle of the range is not told.
    """
    data, limit = experiment.data, experiment.evaluate.working_size
    if not limit or facts.tenths is None or data.fit is Fit.LETTERBOX:
        return []
    low, high = known(data.min_scale), known(data.max_scale)
    middle = _mean_scale(experiment)
    told, scales = [], [low, high]
    for side, most in zip(facts.tenths, ("at most", "at least"), strict=True):
        scale = min(1.0, limit / side)
        if not min(low, middle / 2) <= scale <= max(high, middle * 2):
            scales.append(scale)
            told.append(f"a tenth of the images are {most} {side} pixels long, evaluated at ")
            told[-1] += f"{scale:.2g} of that size"
    if not told:
        return []
    return [
        f"note: {' and '.join(told)}, and training shows all images at {low:.2g} to {high:.2g}: "
        f"--config.data.min_scale={min(scales):.2g} --config.data.max_scale={max(scales):.2g} "
        f"--config.evaluate.working_size={limit} has both, as images prepared at like sizes have"
    ]


def _held(experiment: Experiment, facts: DataFacts) -> int:
    """Returns the bytes of the encoded images that are held for shuffling."""
    return min(known(experiment.data.shuffle_buffer), facts.images) * facts.record_bytes


def _fits(experiment: Experiment, examples: float, crop: int, room: float | None) -> bool:
    size = (crop, experiment.data.crop_width or crop)
    return room is None or step_bytes(experiment, examples, size) <= room
