"""The whole of `deeplab-eval`: load, evaluate, write results and report, print the table."""

import dataclasses
import json
import pathlib

from deeplab_tf import config as config_lib
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.confusion import format_table
from deeplab_tf.evaluation.evaluate import Evaluation, evaluate, write_results
from deeplab_tf.evaluation.inference import settings_of
from deeplab_tf.evaluation.report import write_report
from deeplab_tf.files import write_text
from deeplab_tf.trained_model import TrainedModel, load_model
from deeplab_tf.workdir import EVAL_FILE, METRICS_FILE, checkpoint_steps

TABLE_FILE = "eval.txt"


def run_evaluation(
    source: pathlib.Path,
    data_dir: pathlib.Path,
    out: pathlib.Path,
    *,
    dataset: str | None = None,
    settings: EvaluateConfig | None = None,
    overrides: dict | None = None,
) -> Evaluation:
    """Evaluates the model of `source`, writes the results into `out` and prints the table.

    Args:
        source: a workdir, whose latest checkpoint is taken, or a `.keras` file.
        data_dir: where `deeplab-prepare` wrote the records.
        out: gets `eval.json`, `eval.txt` (what is printed), `confusion_matrix.csv` and `report/`.
        dataset: the data set; None takes the experiment's.
        settings: how to evaluate; None takes the experiment's.
        overrides: fields of `settings` to replace, where they are not None.

    Raises:
        DeeplabError: `out` is a file, or model, data and settings do not fit.
    """
    if out.exists() and not out.is_dir():
        raise DeeplabError(f"{out} is a file; give a folder for the results")
    trained = load_model(source)
    experiment = trained.experiment
    if settings is not None:
        experiment = dataclasses.replace(experiment, evaluate=settings)
    settings = settings_of(experiment, **(overrides or {}))
    settings.output_stride = settings.output_stride or trained.experiment.model.output_stride
    records = open_records(data_dir, dataset or trained.experiment.data.dataset)
    evaluation = evaluate(trained, records, settings)
    facts = {
        "dataset": records.labels.dataset,
        "fingerprint": records.fingerprint,
        "model": str(source.resolve()),
        "step": max(checkpoint_steps(source), default=None),
        **dataclasses.asdict(settings),
        "experiment": json.loads(config_lib.to_json(trained.experiment)),
    }
    page = write_report(
        f"DeepLabv3 on {records.labels.dataset}, {settings.split}",
        evaluation,
        trained.labels,
        _in_words(trained, evaluation, settings, source, facts["step"]),
        config_lib.to_json(trained.experiment),
        out,
        source / METRICS_FILE,
    )
    text = (
        f"{format_table(evaluation.scores, trained.labels.names)}\n\n"
        f"{evaluation.images} images of {records.labels.dataset}/{settings.split}\n"
        f"figures  {out / EVAL_FILE}\n"
        f"report   {page}\n"
    )
    write_text(out / TABLE_FILE, text)
    # Last: who finds eval.json finds the rest as well.
    write_results(evaluation, records.labels, facts, out)
    print(text, end="")
    return evaluation


def _in_words(
    trained: TrainedModel,
    evaluation: Evaluation,
    settings: EvaluateConfig,
    source: pathlib.Path,
    step: int | None,
) -> dict[str, str]:
    words = {
        "images": f"{evaluation.images:,}",
        "backbone": str(trained.experiment.model.backbone),
        "output_stride": str(settings.output_stride),
        "scales": ", ".join(f"{scale:g}" for scale in settings.scales),
        "flip": "yes" if settings.flip else "no",
        "windows": f"{settings.window} pixels" if settings.window else "none",
        "CRF": "yes" if settings.crf else "no",
        "model": str(source),
    }
    if step is not None:
        words["step"] = f"{step:,}"
    return words
