"""The rule for the evaluations of a run.

Tested in tests/training/choices/test_rules.py.
"""

from deeplab_tf.config import EvaluateConfig, Experiment
from deeplab_tf.config.gaps import known
from deeplab_tf.config.schema import MOBILENETS
from deeplab_tf.training.choices.choice import Choice
from deeplab_tf.training.choices.facts import DataFacts
from deeplab_tf.training.choices.memory import crop_of
from deeplab_tf.training.validation_cost import MOST_SHARE

COUNTS = (10, 5, 3, 2, 1)
"""How many evaluations a run has at most: ten show a curve."""
ENOUGH = 50
"""The images that a mean IoU is worth looking at; fewer evaluations go before fewer images."""
DENSER, DENSER_MOBILENET = 3.0, 1.5
"""How much longer an image takes at half the output_stride: a ResNet does most of its work in the
blocks that get denser. The share that a MobileNetV2's evaluation was measured to take is below what
1.5 gives (docs/training.md)."""


def choose_evaluations(experiment: Experiment, facts: DataFacts) -> list[Choice]:
    """Evaluates ten times, less often or on fewer images where that costs a tenth of the run.

    One evaluation of `ENOUGH` images, or of all where there are fewer, is made whatever it costs.

    The cost is counted in pixels, as docs/training.md has it: a step costs three times its crops,
    an evaluation its images, `DENSER` times for each halving of the output_stride.
    """
    train, images = experiment.train, facts.held_out
    steps = known(train.steps)
    if not images:
        every = -(-steps // COUNTS[0])
        reason = "without effect: the data set has no split to evaluate on"
        return [Choice("train.evaluate_every", every, reason)]
    most = min(images, train.evaluate_images or images)
    enough = min(most, ENOUGH)
    an_image = image_cost(experiment, facts)
    height, width = crop_of(experiment)
    a_step = 3 * height * width * known(train.batch_size)
    every, affordable = steps, 0
    for count in COUNTS:
        every = -(-steps // count)
        affordable = int(MOST_SHARE / (1 - MOST_SHARE) * every * a_step / an_image)
        if affordable >= enough:
            break
    # An evaluation takes every n-th image of the split, so the number is one that this gives.
    apart = -(-images // max(enough, min(most, affordable)))
    if affordable < enough and train.evaluate_images is None:
        apart = images // enough
    taken = -(-images // apart)
    times = "evaluation" if count == 1 else "evaluations"
    reason = f"{count} {times} of {taken} images take less than a tenth of the run"
    if taken > affordable:
        reason = f"one evaluation of {taken} images, after the last step, takes more than a tenth "
        reason += "of the run; fewer images say little of a mean IoU"
    choices = [Choice("train.evaluate_every", every, reason)]
    if taken < images:
        choices.append(Choice("train.evaluate_images", taken, f"of {images:,} images of the split"))
    return choices


def image_cost(experiment: Experiment, facts: DataFacts) -> float:
    """Returns the cost of an evaluated image, in pixels of a forward pass of the training."""
    evaluate_config: EvaluateConfig = experiment.evaluate
    height, width = facts.size
    pixels = height * width
    if evaluate_config.working_size:
        pixels *= min(1.0, evaluate_config.working_size / max(height, width)) ** 2
    strided = experiment.model.output_stride
    at = evaluate_config.output_stride or strided
    denser = DENSER_MOBILENET if experiment.model.backbone in MOBILENETS else DENSER
    while at < strided:
        pixels, at = denser * pixels, 2 * at
    views = sum(scale**2 for scale in evaluate_config.scales)
    return pixels * views * (2 if evaluate_config.flip else 1)
