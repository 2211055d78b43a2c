"""Our own results: found in folders of runs, and held against the rows that they claim to be."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence

from deeplab_tf.config import (
    EvaluateConfig,
    Experiment,
    from_json,
    load_experiment,
    training_fields,
)
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.workdir import EVAL_FILE

VOC_VAL_IMAGES = 1449
# What a second run of the same row may differ in.
_FREE = {"train.seed", "init_from"}


@dataclasses.dataclass(frozen=True)
class Result:
    """One `eval.json`.

    Attributes:
        path: the file.
        experiment: what was trained.
        settings: how it was evaluated.
        model: the workdir or file that was evaluated.
        dataset: what it was evaluated on.
        images: how many.
        step: of the checkpoint; None for a `.keras` file.
        miou: in %; None where no class was present.
    """

    path: pathlib.Path
    experiment: Experiment
    settings: EvaluateConfig
    model: str
    dataset: str
    images: int
    step: int | None
    miou: float | None


def find_results(folder: pathlib.Path) -> list[Result]:
    """Every `eval.json` under `folder`, by path.

    Raises:
        DeeplabError: there is no such folder, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise DeeplabError(f"--runs={folder} is not a folder")
    return [_read_result(path) for path in sorted(folder.rglob(EVAL_FILE))]


def _read_result(path: pathlib.Path) -> Result:
    try:
        fields = json.loads(path.read_text())
        names = [field.name for field in dataclasses.fields(EvaluateConfig)]
        settings = EvaluateConfig(**{name: fields[name] for name in names})
        settings.scales = tuple(settings.scales)
        return Result(
            path=path,
            experiment=from_json(json.dumps(fields["experiment"])),
            settings=settings,
            model=fields["model"],
            dataset=fields["dataset"],
            images=fields["images"],
            step=fields["step"],
            miou=None if fields["mean_iou"] is None else 100 * fields["mean_iou"],
        )
    except (OSError, ValueError, KeyError, TypeError, DeeplabError) as error:
        raise DeeplabError(
            f"{path} is damaged or of an earlier version ({one_line(str(error))}); run "
            "deeplab-eval again"
        ) from error


def trained_row(row: Experiment) -> Experiment:
    """The row whose training `row` evaluates: itself, or what `checkpoint_of` names."""
    return load_experiment(row.checkpoint_of) if row.checkpoint_of else row


def results_of(
    row: Experiment, results: Sequence[Result], pretrained: bool
) -> list[tuple[Result, list[str]]]:
    """Those of `results` that are of `row`, each with its deviations from it in words.

    A result is of a row if it was trained under that row's name or by an equal config, and is
    evaluated at the row's output_stride, scales, flip and CRF.

    Args:
        row: the row.
        results: what there is.
        pretrained: whether the row begins with the initial weights of `init_from`, as the paper's
            do with ImageNet's, whatever their file is called; otherwise from random weights.
    """
    trained = trained_row(row)
    found = []
    for result in results:
        if _strategy(result.settings, trained) != _strategy(row.evaluate, trained):
            continue
        differences = _training_differences(trained, result.experiment)
        if result.experiment.row == trained.row or not differences:
            if pretrained and not result.experiment.init_from:
                differences.append("random initial weights (the paper: ImageNet)")
            if not pretrained and result.experiment.init_from:
                differences.append(f"initial weights {result.experiment.init_from}")
            found.append((result, differences + _evaluation_differences(row, result)))
    return found


def same_evaluation(row: Experiment) -> bool:
    """Whether `row` is evaluated as the row that it was trained by."""
    trained = trained_row(row)
    ours, its = (
        dataclasses.replace(e, output_stride=e.output_stride or trained.model.output_stride)
        for e in (row.evaluate, trained.evaluate)
    )
    return ours == its


def _strategy(settings: EvaluateConfig, trained: Experiment) -> tuple:
    stride = settings.output_stride or trained.model.output_stride
    return stride, settings.scales, settings.flip, settings.crf


def _training_differences(row: Experiment, ours: Experiment) -> list[str]:
    wanted, found = training_fields(row), training_fields(ours)
    return [
        f"{name}={_text(found[name])} (the row: {_text(wanted[name])})"
        for name in wanted
        if name not in _FREE
        and wanted[name] != found[name]
        # The number of classes comes from the data set.
        and not (name == "model.num_classes" and wanted[name] is None)
    ]


def _evaluation_differences(row: Experiment, result: Result) -> list[str]:
    differences = []
    if result.dataset not in (row.data.dataset, row.data.dataset.removesuffix("_aug")):
        differences.append(f"evaluated on {result.dataset}")
    if result.settings.split != row.evaluate.split:
        differences.append(
            f"evaluated on split {result.settings.split} (the row: {row.evaluate.split})"
        )
    elif result.dataset.startswith("voc") and result.images != VOC_VAL_IMAGES:
        differences.append(f"evaluated on {result.images} images (VOC val: {VOC_VAL_IMAGES})")
    if result.settings.window:
        differences.append(f"evaluated in windows of {result.settings.window} pixels")
    if result.step is not None and result.step < result.experiment.train.steps:
        differences.append(f"at step {result.step} of {result.experiment.train.steps}")
    return differences


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclasses.dataclass(frozen=True)
class Ours:
    """Our figure for a row: its results' mean and their spread.

    Attributes:
        mious: in %, one a result with the fewest deviations.
        deviations: from the row, of those results.
        paths: their `eval.json`.
    """

    mious: tuple[float, ...]
    deviations: tuple[str, ...]
    paths: tuple[pathlib.Path, ...]

    @property
    def mean(self) -> float:
        """Mean IoU in %, over the results."""
        return statistics.fmean(self.mious)

    @property
    def spread(self) -> float:
        """Largest less smallest, in points."""
        return max(self.mious) - min(self.mious)


def ours_of(row: Experiment, results: Sequence[Result], pretrained: bool) -> Ours | None:
    """The results of `row` that deviate least from it, of every seed; None if it was not run."""
    found = [match for match in results_of(row, results, pretrained) if match[0].miou is not None]
    if not found:
        return None
    least = min((differences for _, differences in found), key=len)
    # One evaluation a model, however often it was made.
    by_model = {result.model: result for result, differences in found if differences == least}
    chosen = list(by_model.values())
    return Ours(
        tuple(float(result.miou or 0.0) for result in chosen),
        tuple(least),
        tuple(result.path for result in chosen),
    )
