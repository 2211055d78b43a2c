"""The log of a run: progress lines, `metrics.jsonl`, and TensorBoard events."""

import pathlib
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.files import json_text, write_text
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.runs.validations import LOSS, MEAN_IOU, Validation, best_of
from deeplab_tf.runs.workdir import METRICS_FILE, WORKDIR_FILES, read_metrics

TENSORBOARD_DIR = "tensorboard"


class RunLog:
    """The log of the run in `workdir`, which goes on from `start_step`.

    Args:
        workdir: the folder that gets `metrics.jsonl` (one JSON object a line) and `tensorboard/`.
        start_step: the step that the run goes on from. Lines of later steps, from a run that was
            killed after its last checkpoint, are dropped, since those steps are done again.
        total_steps: the steps of the whole run, from which the time left is computed.
        classes, image_format: the data set's classes and image format, which the panels are drawn
            by.
        report: the function that takes each progress line, `print` by default.
        history: the evaluations of the run so far, of which each gets a line in `metrics.jsonl`
            that a kill may have left out; None leaves the lines of evaluations as they are.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        start_step: int,
        total_steps: int,
        classes: Classes,
        image_format: ImageFormat = RGB,
        report: Callable[[str], None] = print,
        history: Sequence[Validation] | None = None,
    ):
        self._report = report
        self._metrics = workdir / METRICS_FILE
        self._total = total_steps
        self._image_format = image_format
        self._colors = np.asarray(classes.flat_palette(), np.uint8).reshape(VOID + 1, 3)
        self._writer = tf.summary.create_file_writer(str(workdir / TENSORBOARD_DIR))
        self._since = (start_step, time.monotonic())
        kept = [row for row in read_metrics(self._metrics) if row["step"] <= start_step]
        if history is not None:
            kept = [row for row in kept if MEAN_IOU not in row] + list(map(_row, history))
            kept.sort(key=lambda row: row["step"])  # an evaluation stays after its step's losses
        text = "".join(json_text(row, None) for row in kept)
        write_text(self._metrics, text, WORKDIR_FILES[METRICS_FILE])

    def restart_clock(self, step: int) -> None:
        """Restarts the measurement of images/s, after something that is not training."""
        self._since = (step, time.monotonic())

    def write(self, step: int, batch_size: int, values: dict[str, float]) -> None:
        """Records `values` and the images/s since the last call, and reports a progress line.

        Args:
            step: the step that has been done.
            batch_size: examples in the global batch.
            values: the mean losses since the last call and the `learning_rate`; with float16 also
                `loss_scale` and `skipped`, how many steps were skipped. A loss is NaN, and null in
                `metrics.jsonl`, where every step was skipped.
        """
        last_step, last_time = self._since
        steps_per_second = (step - last_step) / max(time.monotonic() - last_time, 1e-9)
        values = {**values, "images_per_second": steps_per_second * batch_size}
        with self._metrics.open("a") as file:
            file.write(json_text({"step": step, **values}, None))
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        left = (self._total - step) / max(steps_per_second, 1e-9)
        self._report(
            f"{self._place(step)}"
            f"  loss {values['loss']:.4f}  rate {values['learning_rate']:.6f}"
            f"{_loss_scale(values)}"
            f"  {values['images_per_second']:.1f} images/s  {format_duration(left)} left"
        )
        self.restart_clock(step)

    def write_validation(
        self,
        split: str,
        images: int,
        seconds: float,
        history: Sequence[Validation],
        unrecorded: Sequence[Validation] = (),
    ) -> None:
        """Records the last evaluation of `history`, and reports a line.

        Args:
            split: the split that was evaluated.
            images, seconds: how many images were evaluated, and how long that took.
            history: the evaluations of the run, the present one last.
            unrecorded: earlier ones, which are not in the history.
        """
        validation = history[-1]
        row = _row(validation)
        with self._metrics.open("a") as file:
            file.write(json_text(row, None))
        with self._writer.as_default(validation.step):
            for name in (MEAN_IOU, LOSS):
                tf.summary.scalar(name, row[name])
        best = best_of([*unrecorded, *history])
        assert best is not None
        standing = (
            "the best so far"
            if best is validation
            else f"best {100 * best.mean_iou:.2f} at step {best.step}"
        )
        self._report(
            f"{self._place(validation.step)}  mean IoU {100 * validation.mean_iou:.2f} on {split}"
            f"  loss {validation.loss:.4f}  {images} images in {format_duration(seconds)}"
            f"  ({standing})"
        )

    def _place(self, step: int) -> str:
        """Returns `step  20/2000`."""
        return f"step {step:>{len(str(self._total))}}/{self._total}"

    def write_panels(self, step: int, images, masks, labels) -> None:
        """Writes images, masks and predictions side by side as TensorBoard images.

        Args:
            step: the step that has been done.
            images: [N, H, W, bands].
            masks, labels: the ground truth and the predictions, [N, H, W] integer, class ids or
                void.
        """
        pictures = [
            view_rgb(np.asarray(images), self._image_format),
            self._colors[np.asarray(masks)],
            self._colors[np.asarray(labels)],
        ]
        with self._writer.as_default(step):
            tf.summary.image("input, truth, prediction", np.concatenate(pictures, axis=2))

    def close(self) -> None:
        """Writes the events that are still held, and closes their file."""
        self._writer.close()


def _row(validation: Validation) -> dict[str, float]:
    """Returns the line of an evaluation in `metrics.jsonl`."""
    return {"step": validation.step, MEAN_IOU: validation.mean_iou, LOSS: validation.loss}


def _loss_scale(values: dict[str, float]) -> str:
    """Returns `  loss scale 16384 (1 skipped)`; empty where the training has no loss scale."""
    if "loss_scale" not in values:
        return ""
    skipped = f" ({values['skipped']:.0f} skipped)" if values["skipped"] else ""
    return f"  loss scale {values['loss_scale']:g}{skipped}"


def format_duration(seconds: float) -> str:
    """Returns `seconds` as text: `42 s`, `3 min 20 s` or `5 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
