"""The evaluations of a run while it trains: when they are due, what they keep, what they end.

An evaluation follows the checkpoint of its step. The order after that is: the figures, the best
weights, the history in `VALIDATION_FILE`, the line of the log. A run that was killed in between
goes on from that checkpoint, whose step is not in the history, with the evaluation.
"""

import math
import shutil
import time
from collections.abc import Callable

from deeplab_tf.artefacts.best import BEST, Best, read_best
from deeplab_tf.artefacts.description import is_described_zip
from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.config import Experiment, Keep, TrainConfig
from deeplab_tf.distributed.strategy import own_devices
from deeplab_tf.files import whole_file
from deeplab_tf.runs.run_log import RunLog
from deeplab_tf.runs.validations import (
    Validation,
    best_of,
    history_from_json,
    history_to_json,
    read_validations,
    since_best,
    write_validations,
)
from deeplab_tf.runs.workdir import (
    BEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    VALIDATION_FILE,
    read_metrics,
)
from deeplab_tf.training.build import Training
from deeplab_tf.training.curve_notes import never_found_note, overfitting_note, training_losses
from deeplab_tf.training.held_out import HeldOut, Measured
from deeplab_tf.training.held_out_split import HeldOutSplit
from deeplab_tf.training.validation_cost import ValidationCost


class Validator:
    """The evaluations of one run.

    Args:
        training: the training, whose run has a split that is held out.
        split: that split.
        experiment: the experiment as it is written into the best weights.
        report: gets each line that the user should see.

    Attributes:
        history: the evaluations so far, by step.
    """

    def __init__(
        self,
        training: Training,
        split: HeldOutSplit,
        experiment: Experiment,
        report: Callable[[str], None],
    ):
        self.history: list[Validation] = []
        self._training, self._split, self._report = training, split, report
        self._trained = TrainedModel(
            training.evaluated_model(), experiment, training.run.records.classes
        )
        run = training.run
        devices = own_devices(run.strategy)
        self._held_out = HeldOut(self._trained, split, devices, run.workers, report)
        self._start, self._begun, self._cost = 0, time.monotonic(), ValidationCost()
        self._evaluated = {
            "split": split.name,
            "images": split.num_images,
            **{k: v for k, v in vars(experiment.evaluate).items() if k != "split"},
        }
        self._unrecorded: list[Validation] = []

    @property
    def _train(self) -> TrainConfig:
        return self._training.run.experiment.train

    def begin(self, start: int) -> None:
        """Reads the history of a run that goes on from step `start`; all workers must call this.

        A history of evaluations on another split, or in another way, is left out.

        Raises:
            DeeplabError: the history or the file of the best weights is damaged.
        """
        run = self._training.run
        # Other workers may see an older state of a shared folder than worker 0.
        history = self._read_history(start) if run.workers.is_chief else []
        texts = run.workers.gather_text(history_to_json(self._evaluated, history))
        self.history = history_from_json(texts[0])
        self._start, self._begun = start, time.monotonic()

    def _read_history(self, start: int) -> list[Validation]:
        """Returns the evaluations up to step `start` that may stand beside new ones.

        The best weights may be of an evaluation that is in no file any more; it is remembered in
        `_unrecorded`, so that only a higher mean IoU replaces the weights.
        """
        workdir = self._training.run.workdir
        history, changes = read_validations(workdir, self._evaluated, start)
        if changes:
            self._report(
                f"note: the run is evaluated otherwise from here on ({'; '.join(changes)}), so the "
                "earlier figures do not compare and the history begins anew"
            )
            history = []
        file = workdir / BEST_FILE
        if self._train.keep is not Keep.BEST or not file.is_file():
            return history
        best = read_best(file)
        # The weights of `start` itself are evaluated again where their figures were lost.
        if best.step < start and all(each.step != best.step for each in history):
            self._unrecorded = [Validation(best.step, best.mean_iou, math.nan, {})]
            self._report(
                f"note: {VALIDATION_FILE} lacks the evaluation of the best weights ({best}), which "
                "stay until there are better ones"
            )
        return history

    def due(self, step: int) -> bool:
        """Returns whether the weights of `step` are to be evaluated."""
        return step % self._train.evaluate_every == 0 or step == self._train.steps

    def is_missing(self, step: int) -> bool:
        """Returns whether the weights of `step` are to be evaluated and have not been yet."""
        return step > 0 and self.due(step) and not any(v.step == step for v in self.history)

    @property
    def is_exhausted(self) -> bool:
        """Returns whether the run has no patience left for a higher mean IoU."""
        patience = self._train.patience
        return patience is not None and since_best(self.history) >= patience

    def validate(self, step: int, stopped: Callable[[], int], log: RunLog | None) -> int:
        """Evaluates the present weights, those of `step`; all workers must call this method.

        Args:
            step: the step, whose checkpoint is written.
            stopped: see `HeldOut.measure`.
            log: the log of the run, on worker 0.

        Returns:
            The number of the signal that stopped the evaluation, which then leaves nothing; or 0.
        """
        begun = time.monotonic()
        self._training.evaluated_model()  # reads the present weights
        measured, stop = self._held_out.measure(stopped)
        seconds = time.monotonic() - begun
        if measured is not None:
            self._add(step, measured, seconds, log)
            self._cost.add(time.monotonic() - begun)
        return stop

    def _add(self, step: int, measured: Measured, seconds: float, log: RunLog | None) -> None:
        classes = self._trained.classes
        scores = measured.scores
        assert scores.mean_iou is not None  # the truth has a pixel
        iou = {name: score.iou for name, score in zip(classes.names, scores.classes, strict=True)}
        self.history.append(Validation(step, scores.mean_iou, measured.loss, iou))
        if log is None:
            return
        workdir, split = self._training.run.workdir, self._split
        is_best = best_of([*self._unrecorded, *self.history]) is self.history[-1]
        if self._train.keep is Keep.BEST and is_best:
            best = Best(step, scores.mean_iou, split.name)
            self._trained.auxiliary = self._training.auxiliary_weights()
            save_model(self._trained, workdir / BEST_FILE, {BEST: best.to_json()})
        write_validations(workdir, self._evaluated, self.history)
        log.write_validation(split.name, split.num_images, seconds, self.history, self._unrecorded)
        for note in self._notes(step, measured):
            self._report(note)

    def _notes(self, step: int, measured: Measured) -> list[str]:
        """Returns a line for each thing that is wrong with the curves."""
        split, steps, experiment = self._split.name, self._train.steps, self._trained.experiment
        rows = read_metrics(self._training.run.workdir / METRICS_FILE)
        losses = training_losses(self.history, rows)
        notes = [overfitting_note(self.history, losses, split, experiment)]
        before = self.history[-2].step if len(self.history) > 1 else 0
        halfway = before < steps / 2 <= step
        if halfway or step == steps or self.is_exhausted:
            names = self._trained.classes.names
            notes.append(never_found_note(measured.scores, names, step, split, experiment))
        return [note for note in notes if note]

    def cost(self, step: int) -> str | None:
        """Returns a line on the share of the time since `begin` that evaluations took.

        `step` is the last step. None where there was no evaluation.
        """
        if not self._cost.evaluations:
            return None
        seconds = time.monotonic() - self._begun
        return self._cost.line(self._train, self._split, self._start, step, seconds)

    def best_kept(self) -> Best | None:
        """Returns what the best weights in the workdir are the best of; all workers must call this.

        None where the run does not keep the best, or the file of the best weights is gone.
        """
        if self._train.keep is not Keep.BEST:
            return None
        run, text = self._training.run, ""
        file = run.workdir / BEST_FILE
        if run.workers.is_chief and file.is_file():
            text = read_best(file).to_json()
        if text := run.workers.gather_text(text)[0]:
            return Best.from_json(text)
        self._report(f"note: {file} is gone, so the weights of the last step are taken")
        return None

    def write_best(self) -> None:
        """Makes the best weights in the workdir the run's `model.keras`."""
        workdir = self._training.run.workdir
        with whole_file(workdir / MODEL_FILE, is_described_zip) as temporary:
            shutil.copyfile(workdir / BEST_FILE, temporary)

    def why_exhausted(self) -> str:
        """Returns why a run whose patience is exhausted has ended."""
        best = best_of(self.history)
        assert best is not None
        return (
            f"{since_best(self.history)} evaluations without a higher mean IoU than "
            f"{100 * best.mean_iou:.2f} at step {best.step} (train.patience)"
        )

    def describe_end(self, step: int, kept: Best | None) -> str:
        """Returns what the line about the finished `model.keras` says of its weights.

        Args:
            step: the last step.
            kept: what the weights are the best of, where `model.keras` has the best.
        """
        best = best_of(self.history)
        assert best is not None  # the last step was evaluated
        if kept or best.step == step:
            best = kept or Best(best.step, best.mean_iou, self._split.name)
            return f" (best: {best})"
        last = Best(step, self.history[-1].mean_iou, self._split.name)
        return f" ({last}; best: {100 * best.mean_iou:.2f} at step {best.step}, not kept)"
