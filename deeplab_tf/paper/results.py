"""Our own results: found in folders of runs, and compared with the rows that they belong to."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence

from deeplab_tf.config import (
    EvaluateConfig,
    Experiment,
    Keep,
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
        evaluate_config: how the model was evaluated.
        model: the absolute path of the workdir or file that was evaluated.
        dataset: the data set of the evaluation.
        images: how many images were evaluated.
        step: the step of the checkpoint; None for a `.keras` file.
        miou: the mean IoU in %; None where no class was present.
        finished: whether the training in the workdir had written its `model.keras`.
    """

    path: pathlib.Path
    experiment: Experiment
    evaluate_config: EvaluateConfig
    model: str
    dataset: str
    images: int
    step: int | None
    miou: float | None
    finished: bool = False

    @property
    def unfinished(self) -> bool:
        """Returns whether the weights are of a training that had not come to its end.

        The weights at the end are those of the last step, unless the training keeps the best or has
        a patience.
        """
        train = self.experiment.train
        if self.step is None or self.step >= train.steps:
            return False
        return not (self.finished and (train.keep is Keep.BEST or train.patience is not None))


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
        evaluate_config = EvaluateConfig(**{name: fields[name] for name in names & fields.keys()})
        evaluate_config.scales = tuple(evaluate_config.scales)
        return Result(
            path=path,
            experiment=from_json(json.dumps(fields["experiment"])),
            evaluate_config=evaluate_config,
            model=fields["model"],
            dataset=fields["dataset"],
            images=fields["images"],
            step=fields["step"],
            miou=None if fields["mean_iou"] is None else 100 * fields["mean_iou"],
            finished=fields.get("finished", False),
        )
    except (OSError, ValueError, KeyError, TypeError, DeeplabError) as error:
        raise DeeplabError(
            f"{path} is damaged or of an earlier version ({one_line(str(error))}); run "
            "deeplab-eval again"
        ) from error


def trained_row(experiment: Experiment) -> Experiment:
    """Returns the row whose training `experiment` evaluates, which may be `experiment` itself."""
    return load_experiment(experiment.checkpoint_of) if experiment.checkpoint_of else experiment


def strategy(evaluate_config: EvaluateConfig, trained: Experiment) -> tuple:
    """Returns the inference strategy for `trained`: (output_stride, scales, flip, CRF)."""
    stride = evaluate_config.output_stride or trained.model.output_stride
    return stride, evaluate_config.scales, evaluate_config.flip, evaluate_config.crf


def deviations(experiment: Experiment, result: Result) -> list[str] | None:
    """Returns, in words, how `result` deviates from `experiment`; None for a result of another row.

    A result belongs to a row if the model was trained under the name of the trained row or by an
    equal experiment (of any seed and initial weights), and was evaluated at the row's
    output_stride, scales, flip and CRF.
    """
    trained, ours = trained_row(experiment), result.experiment
    if strategy(result.evaluate_config, trained) != strategy(experiment.evaluate, trained):
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
    return differences + _evaluation_deviations(experiment, result)


def _evaluation_deviations(experiment: Experiment, result: Result) -> list[str]:
    found = []
    dataset, split = experiment.data.dataset, experiment.evaluate.split
    if result.dataset not in (dataset, dataset.removesuffix("_aug")):
        found.append(f"evaluated on {result.dataset}")
    if result.evaluate_config.split != split:
        found.append(f"evaluated on split {result.evaluate_config.split} (the row: {split})")
    elif result.dataset.startswith("voc") and result.images != VOC_VAL_IMAGES:
        found.append(f"evaluated on {result.images} images (VOC val: {VOC_VAL_IMAGES})")
    if result.evaluate_config.window:
        found.append(f"evaluated in windows of {result.evaluate_config.window} pixels")
    seen, longest = result.evaluate_config.working_size, result.experiment.data.longest_side
    if seen and (longest is None or seen < longest):
        found.append(f"evaluated with images shrunk to {seen} pixels")
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


def ours_of(experiment: Experiment, results: Sequence[Result]) -> list[Ours]:
    """Returns our results of the row `experiment`, grouped by how they deviate from it.

    Where some results do not deviate, only those are returned. A model that was evaluated several
    times in one way counts once.
    """
    groups: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in results:
        found = deviations(experiment, result)
        if found is not None and result.miou is not None:
            groups.setdefault(tuple(found), {})[result.model] = result
    if () in groups:
        groups = {(): groups[()]}
    return [Ours(tuple(by_model.values()), found) for found, by_model in groups.items()]
