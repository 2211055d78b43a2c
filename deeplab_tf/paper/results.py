"""Our own results: found in folders of runs, and compared with the rows that they belong to."""

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
    """The result in one `eval.json`.

    Attributes:
        path: the file.
        experiment: the experiment that was trained.
        settings: the settings of the evaluation.
        model: the absolute path of the workdir or file that was evaluated.
        dataset: the data set of the evaluation.
        images: how many images were evaluated.
        step: the step of the checkpoint; None for a `.keras` file.
        miou: the mean IoU in %; None where no class was present.
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
        """Returns whether the checkpoint is from before the last step of its training."""
        return self.step is not None and self.step < self.experiment.train.steps


def find_results(folder: pathlib.Path) -> list[Result]:
    """Returns the result of every `eval.json` under `folder`, by path.

    Raises:
        DeeplabError: there is no such folder, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise DeeplabError(f"--runs={folder} is not a folder")
    return [read_result(path) for path in sorted(folder.rglob(EVAL_FILE))]


def read_result(path: pathlib.Path) -> Result:
    """Reads one `eval.json`.

    Raises:
        DeeplabError: the file is damaged or of an earlier version; the message names the file.
    """
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
    """Returns the row whose training `row` evaluates: that of `checkpoint_of`, or `row` itself."""
    return load_experiment(row.checkpoint_of) if row.checkpoint_of else row


def strategy(settings: EvaluateConfig, trained: Experiment) -> tuple:
    """Returns the inference strategy for `trained`: (output_stride, scales, flip, CRF)."""
    stride = settings.output_stride or trained.model.output_stride
    return stride, settings.scales, settings.flip, settings.crf


def deviations(row: Experiment, result: Result) -> list[str] | None:
    """Returns, in words, how `result` deviates from `row`; None if it is no result of `row`.

    A result belongs to `row` if the model was trained under the name of the trained row or by an
    equal config (of any seed and initial weights), and was evaluated at the row's output_stride,
    scales, flip and CRF.
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
    """Our results of one row that deviate from the row in the same way.

    Attributes:
        results: the results, one for each model.
        deviations: the deviations from the row, in words.
    """

    results: tuple[Result, ...]
    deviations: tuple[str, ...]

    @property
    def mious(self) -> list[float]:
        """The mean IoU of each result, in %."""
        return [result.miou for result in self.results if result.miou is not None]

    @property
    def mean(self) -> float:
        """The mean of `mious`, in %."""
        return statistics.fmean(self.mious)


def ours_of(row: Experiment, results: Sequence[Result]) -> list[Ours]:
    """Returns our results of `row`, grouped by how they deviate from `row`.

    Where some results do not deviate, only those are returned. A model that was evaluated several
    times in one way counts once.
    """
    groups: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in results:
        found = deviations(row, result)
        if found is not None and result.miou is not None:
            groups.setdefault(tuple(found), {})[result.model] = result
    if () in groups:
        groups = {(): groups[()]}
    return [Ours(tuple(by_model.values()), found) for found, by_model in groups.items()]
