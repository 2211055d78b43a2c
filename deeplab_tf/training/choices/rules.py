"""Every rule in its order: an experiment with open fields becomes one without, with the reasons."""

from deeplab_tf.config import Experiment, validate
from deeplab_tf.config.gaps import check_filled
from deeplab_tf.training.choices.choice import Begin, Choice, chosen
from deeplab_tf.training.choices.evaluation_rule import choose_evaluations
from deeplab_tf.training.choices.facts import DataFacts, Machine
from deeplab_tf.training.choices.image_rules import (
    choose_crop_and_batch,
    choose_scales,
    choose_shuffling,
    note_mixed_sizes,
)
from deeplab_tf.training.choices.step_rules import choose_class_weights, choose_rate, choose_steps


def fill(
    experiment: Experiment, facts: DataFacts, machine: Machine, begin: Begin
) -> tuple[Experiment, list[Choice], list[str]]:
    """Chooses every open field; a field that is given stays and counts for the others.

    A pure function: equal arguments give equal results on every worker.

    Returns:
        The experiment without open fields, the choices in order, and lines that the user should
        see.

    Raises:
        DeeplabError: a value that is given does not go with one that was chosen.
    """
    experiment, made = choose_scales(experiment, facts, machine)
    experiment, more = chosen(experiment, choose_shuffling(experiment, facts, machine))
    made += more
    experiment, more, notes = choose_crop_and_batch(experiment, facts, machine)
    made += more
    experiment, more = chosen(experiment, choose_steps(experiment, facts, machine, begin))
    made += more
    at_once = [*choose_rate(experiment, begin), *choose_class_weights(facts)]
    experiment, more = chosen(experiment, [*at_once, *choose_evaluations(experiment, facts)])
    made += more
    experiment = validate(experiment)
    check_filled(experiment)
    return experiment, made, notes + note_mixed_sizes(experiment, facts)
