"""What is wrong with the curves of a run, in one line each: overfitting, classes never found."""

from collections.abc import Sequence

from deeplab_tf.config import Experiment, Keep
from deeplab_tf.images.confusion import Scores
from deeplab_tf.runs.validations import Validation, best_of

FALLING = 3
"""The number of evaluations in a row that must lie below the best, so that noise is no note."""
FALL = 0.01
"""How far below the best mean IoU, 0..1, they must lie."""
MOST_NAMES = 5
"""The most classes that a line names."""


def training_losses(history: Sequence[Validation], rows: Sequence[dict]) -> list[float]:
    """Returns the training's mean cross entropy, in nats, from each evaluation to the next.

    Args:
        history: the evaluations, by step.
        rows: the lines of `metrics.jsonl`. Lines whose loss is null do not count.

    Returns:
        A number for each evaluation, of the steps since the one before; NaN without a line there.
    """
    found, before = [], 0
    for each in history:
        losses = [
            row["cross_entropy"]
            for row in rows
            if before < row["step"] <= each.step and row.get("cross_entropy") is not None
        ]
        found.append(sum(losses) / len(losses) if losses else float("nan"))
        before = each.step
    return found


def overfitting_note(
    history: Sequence[Validation], losses: Sequence[float], split: str, experiment: Experiment
) -> str | None:
    """Returns a line where the last evaluation shows overfitting and the one before did not yet.

    A run overfits where its last `FALLING` evaluations lie `FALL` or more below its best, while its
    training loss is lower than at the best. `losses` are those of `training_losses`. The line
    advises what `experiment` does not do already.
    """
    if not _overfits(history, losses) or _overfits(history[:-1], losses[:-1]):
        return None
    best = best_of(history)
    assert best is not None
    train = experiment.train
    advice = [] if train.keep is Keep.BEST else ["train.keep=best keeps the best weights"]
    advice += ["train.patience stops earlier"] if train.patience is None else []
    return (
        f"note: the network overfits: mean IoU on {split} fell from {100 * best.mean_iou:.2f} at "
        f"step {best.step} to {100 * history[-1].mean_iou:.2f}, while the training's cross entropy "
        f"fell from {losses[history.index(best)]:.4f} to {losses[-1]:.4f}; "
        f"{''.join(f'{each}, ' for each in advice)}{'and ' if advice else ''}"
        "more images or augmentation help"
    )


def _overfits(history: Sequence[Validation], losses: Sequence[float]) -> bool:
    best = best_of(history)
    if best is None or len(history) - 1 - history.index(best) < FALLING:
        return False
    fell = all(best.mean_iou - each.mean_iou >= FALL for each in history[-FALLING:])
    return fell and losses[-1] < losses[history.index(best)]


def never_found_note(
    scores: Scores, names: Sequence[str], step: int, split: str, experiment: Experiment
) -> str | None:
    """Returns a line with the classes that the truth of the split has and whose IoU is 0.

    Args:
        scores: the figures of the evaluation.
        names: the names of the classes.
        step: the step of the evaluation.
        split: the name of the split.
        experiment: the training, of which nothing is advised that it does already.

    Returns:
        The line; None where there is no such class.
    """
    pairs = list(zip(names, scores.classes, strict=True))
    true = [name for name, score in pairs if score.truth_pixels]
    missed = [name for name, score in pairs if score.truth_pixels and not score.iou]
    if not missed:
        return None
    more = f" and {len(missed) - MOST_NAMES} more" if len(missed) > MOST_NAMES else ""
    train, data = experiment.train, experiment.data
    advice = ["train.class_weights=auto"] if train.class_weights == "none" else []
    # The two fields exclude each other.
    advice += ["data.balance=0.1"] if not (data.balance or data.duplicate_classes) else []
    return (
        f"note: IoU 0 on {split} at step {step} for {len(missed)} of the {len(true)} classes of "
        f"its truth: {', '.join(missed[:MOST_NAMES])}{more}; if that stays so, "
        f"{', '.join(advice)}{' or ' if advice else ''}more images of them may help"
    )
