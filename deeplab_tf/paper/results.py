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
    training_differences,
)
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.runs.workdir import EVAL_FILE

VOC_VAL_IMAGES = 1449


@dataclasses.dataclass(frozen=True)
class Result:
    """One `eval.json`.

    Attributes:
        path: the file.
        experiment: what was trained.
        settings: how it was evaluated.
        model: the absolute path of the workdir or file that was evaluated.
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

    @property
    def unfinished(self) -> bool:
        """Whether the training went on after this evaluation, or was to."""
        return self.step is not None and self.step < self.experiment.train.steps


def find_results(folder: pathlib.Path) -> list[Result]:
    """Every `eval.json` under `folder`, by path.

    Raises:
        DeeplabError: there is no such folder, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise DeeplabError(f"--runs={folder} is not a folder")
    return [read_result(path) for path in sorted(folder.rglob(EVAL_FILE))]


def read_result(path: pathlib.Path) -> Result:
    """Reads one `eval.json`; raises `DeeplabError` naming it if it is damaged."""
    try:
        fields = json.loads(path.read_text())
        names = {field.name for field in dataclasses.fields(EvaluateConfig)}
        settings = EvaluateConfig(**{name: fields[name] for name in names & fields.keys()})
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


def strategy(settings: EvaluateConfig, trained: Experiment) -> tuple:
    """Inference strategy of an evaluation of `trained`: output_stride, scales, flip, CRF."""
    stride = settings.output_stride or trained.model.output_stride
    return stride, settings.scales, settings.flip, settings.crf


def deviations(row: Experiment, result: Result) -> list[str] | None:
    """In what `result` is not as `row` says, in words; None if it is no result of `row` at all.

    It is one if it was trained under that row's name or by an equal config (of any seed and initial
    weights), and is evaluated at the row's output_stride, scales, flip and CRF.
    """
    trained, ours = trained_row(row), result.experiment
    if strategy(result.settings, trained) != strategy(row.evaluate, trained):
        return None
    differences = [
        f"{name}={_text(found)} (the row: {_text(wanted)})"
        for name, wanted, found in training_differences(trained, ours)
        if name not in ("train.seed", "init_from")
    ]
    if differences and ours.row != trained.row:
        return None
    if trained.initial_weights and not ours.init_from:
        differences.append(f"random initial weights (the row: {trained.initial_weights})")
    if ours.init_from and not trained.initial_weights:
        differences.append(f"initial weights {ours.init_from} (the row: random)")
    return differences + _evaluation_deviations(row, result)


def _evaluation_deviations(row: Experiment, result: Result) -> list[str]:
    found = []
    if result.dataset not in (row.data.dataset, row.data.dataset.removesuffix("_aug")):
        found.append(f"evaluated on {result.dataset}")
    if result.settings.split != row.evaluate.split:
        found.append(f"evaluated on split {result.settings.split} (the row: {row.evaluate.split})")
    elif result.dataset.startswith("voc") and result.images != VOC_VAL_IMAGES:
        found.append(f"evaluated on {result.images} images (VOC val: {VOC_VAL_IMAGES})")
    if result.settings.window:
        found.append(f"evaluated in windows of {result.settings.window} pixels")
    if result.unfinished:
        found.append(f"at step {result.step} of {result.experiment.train.steps}")
    return found


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclasses.dataclass(frozen=True)
class Ours:
    """Results of one row that deviate from it in the same way.

    Attributes:
        results: one a model.
        deviations: from the row, in words.
    """

    results: tuple[Result, ...]
    deviations: tuple[str, ...]

    @property
    def mious(self) -> list[float]:
        """Mean IoU in %, one a result."""
        return [result.miou for result in self.results if result.miou is not None]

    @property
    def mean(self) -> float:
        """Of `mious`."""
        return statistics.fmean(self.mious)


def ours_of(row: Experiment, results: Sequence[Result]) -> list[Ours]:
    """What there is of `row`: the results as the row says; if there are none, all others.

    A model that was evaluated several times in one way counts once.
    """
    groups: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in results:
        found = deviations(row, result)
        if found is not None and result.miou is not None:
            groups.setdefault(tuple(found), {})[result.model] = result
    if () in groups:
        groups = {(): groups[()]}
    return [Ours(tuple(by_model.values()), found) for found, by_model in groups.items()]
