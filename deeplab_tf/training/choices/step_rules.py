"""The rules for steps, rate and class weights.

Tested in tests/training/choices/test_rules.py, through `fill`.
"""

import statistics

from deeplab_tf.config import Backbone, Experiment, OptimizerName
from deeplab_tf.config.gaps import known
from deeplab_tf.config.schema import MOBILENETS
from deeplab_tf.training.choices.choice import Begin, Choice
from deeplab_tf.training.choices.facts import DataFacts, Machine

EPOCHS = {Begin.RANDOM: 45, Begin.CLASSIFIER: 33, Begin.SEGMENTER: 33}
"""How often each image is shown: 45 times in the paper (30,000 steps of 16 on 10,582 images) and in
CamVid's row from scratch, 33 times in its row from a classifier."""
LEAST_EXAMPLES = {Begin.RANDOM: 16_000, Begin.CLASSIFIER: 4_000, Begin.SEGMENTER: 4_000}
"""The least examples of a run: 16,000 are CamVid's row from scratch, and a head that begins at
random needs some hundred steps however few the images are."""
MOST_EXAMPLES = {"CPU": 48_000}
"""The most examples of a run: four times CamVid's row on a CPU, some hours, ..."""
PAPER_EXAMPLES = 480_000
"""... and the paper's 30,000 steps of 16 elsewhere."""

FINE_TUNED = {Backbone.RESNET50: (0.007, 16), Backbone.RESNET101: (0.007, 16)}
FINE_TUNED |= dict.fromkeys(MOBILENETS, (0.03, 8))
"""The rate of the hand-made row, with its batch: the paper's, and CamVid's of MobileNets."""
FROM_SCRATCH = (0.05, 8)
"""The same of CamVid's row of a small network from scratch."""
ADAMW_RATE = 3e-4
SEGMENTER_SHARE = 1 / 3
"""The part of the rate for a network that segments already and has only its last layer to learn."""

RARE = 1 / 20
"""The share of the median class's pixels below which the rarest class gets more weight. CamVid's
rarest class has 1/16, and its hand-made rows need no weights."""


def choose_steps(
    experiment: Experiment, facts: DataFacts, machine: Machine, begin: Begin
) -> list[Choice]:
    """Shows each image so many times, within the least and the most examples of a run."""
    batch, most = (
        known(experiment.train.batch_size),
        MOST_EXAMPLES.get(machine.device, PAPER_EXAMPLES),
    )
    wanted = EPOCHS[begin] * facts.images
    examples = max(LEAST_EXAMPLES[begin], min(most, wanted))
    steps = max(-(-examples // batch), 2 * experiment.train.warmup_steps)
    each = examples / facts.images
    times = f"{each:.0f}" if each >= 10 else f"{each:.1f}"
    reason = f"each of {facts.images:,} images comes {times} times in batches of {batch}"
    if examples > wanted:
        reason += f"; with {begin.value} a run has {examples:,} examples or more"
    elif examples < wanted:
        where = "on a CPU" if machine.device in MOST_EXAMPLES else "as in the paper"
        reason += f"; a run has {examples:,} examples at most {where}"
    return [Choice("train.steps", steps, reason)]


def choose_rate(experiment: Experiment, begin: Begin) -> list[Choice]:
    """Takes the hand-made row's rate in proportion to the batch (arXiv 1706.02677, section 2.1)."""
    train = experiment.train
    if train.optimizer is OptimizerName.ADAMW:
        reason = "AdamW's steps are as long as the rate, whatever the batch"
        return [Choice("train.base_learning_rate", ADAMW_RATE, reason)]
    rate, batch = FINE_TUNED.get(experiment.model.backbone, FROM_SCRATCH)
    reason = f"{rate:g} at a batch of {batch} is what {experiment.model.backbone} has by hand"
    rate *= known(train.batch_size) / batch
    if begin is Begin.SEGMENTER:
        rate *= SEGMENTER_SHARE
        reason += ", and a third of it for a network that segments already"
    return [Choice("train.base_learning_rate", float(f"{rate:.3g}"), reason)]


def choose_class_weights(facts: DataFacts) -> list[Choice]:
    """Weighs the classes where the rarest has less than `RARE` of the median class's pixels."""
    rarest = min(facts.shares, key=facts.shares.__getitem__)
    share, median = facts.shares[rarest], statistics.median(facts.shares.values())
    rare = share < RARE * median
    relation = "less" if rare else "not less"
    reason = (
        f"the rarest class, {rarest}, has {share:.2%} of the pixels, {relation} than a twentieth "
        f"of the median class's {median:.2%}"
    )
    return [Choice("train.class_weights", "auto" if rare else "none", reason)]
