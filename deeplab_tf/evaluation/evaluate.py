"""The whole of `deeplab-eval`: load, evaluate, write results and report, print the table."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

from deeplab_tf import config as config_lib
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import EvaluateConfig, StrategyName
from deeplab_tf.data.records import Records, open_records
from deeplab_tf.data.split_names import held_out_split
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.distributed.connection import connect
from deeplab_tf.distributed.devices import devices_of
from deeplab_tf.distributed.processes import Workers, workers_of
from deeplab_tf.distributed.watch import naming_lost_worker
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.compare import check_comparison_replaceable, compare_evaluated
from deeplab_tf.evaluation.evaluate_split import check_data, evaluate_split
from deeplab_tf.evaluation.evaluated import check_comparable, read_other
from deeplab_tf.evaluation.evaluation import Evaluation
from deeplab_tf.evaluation.report import REPORT_DIR, is_report, write_report
from deeplab_tf.evaluation.write_results import check_results_replaceable, write_results
from deeplab_tf.files import check_file, check_folder, containing, write_text
from deeplab_tf.images.confusion import format_table
from deeplab_tf.images.coverage import coverage
from deeplab_tf.inference.devices import on_devices
from deeplab_tf.inference.predictor import (
    Predictor,
    is_exported,
    load_predictor,
    trained_predictor,
    with_classes_of,
)
from deeplab_tf.inference.strategies import resolve_evaluate_config
from deeplab_tf.inference.working_size import once
from deeplab_tf.named import model_path
from deeplab_tf.runs.workdir import EVAL_FILE, METRICS_FILE, MODEL_FILE

TABLE_FILE = "eval.txt"
is_table = containing(b"\nfigures  ", b"\nreport   ")
"""Recognises a `TABLE_FILE`."""


def evaluate(
    model: str | os.PathLike,
    data_dir: str | os.PathLike,
    out: str | os.PathLike,
    *,
    dataset: str | None = None,
    evaluate_config: EvaluateConfig | None = None,
    overrides: dict | None = None,
    runner: BeamRunner | None = None,
    strategy: StrategyName = StrategyName.AUTO,
    details: bool = True,
    compare_with: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
) -> Evaluation:
    """Evaluates `model`, writes the results into `out` and reports the table.

    Args:
        model: a workdir, whose latest checkpoint or kept best weights are taken, a `.keras` file,
            a SavedModel, an OpenVINO model, an `.onnx` file, or anyone's `.tflite` file, which is
            evaluated as it is.
        data_dir: the folder into which `deeplab-prepare` wrote the records.
        out: the folder that gets `eval.json`, `eval.txt` (the reported text),
            `confusion_matrix.csv`, `images.csv`, `images_by_class.csv` and `report/`.
        dataset: the name of the data set; None takes the experiment's.
        evaluate_config: the inference strategy and the split; None takes the experiment's. Where
            the data set has no such split, its only split for validation is taken, or else its only
            one for tests.
        overrides: fields of `evaluate_config` to replace, where they are not None; a `split` among
            them is taken as it is.
        runner: the runner of Apache Beam that evaluates; None evaluates in this process.
        strategy: the devices, with a copy of the model on each. With several workers in TF_CONFIG,
            each worker calls this function and does its share of the images; worker 0 writes and
            reports.
        details: whether to measure boundary IoU, calibration and objects by size too.
        compare_with: the folder of another evaluation, of a run or of `out`, on the same split;
            `comparison.json` and `comparison.html` are written too, and reported.
        report: gets the table of classes, the names of the files, a line for each checkpoint that
            is broken and passed over, and one where images are larger than the training's.

    Raises:
        DeeplabError: `out` is a file, or has other files under the names of the results; model,
            data, `evaluate_config` and devices do not fit; or another worker is gone.
    """
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise DeeplabError(f"{out} is a file; give a folder for the results")
    _check_replaceable(out)
    source = model_path(model, report)
    other = None
    if compare_with is not None:
        check_comparison_replaceable(out)
        other = read_other(pathlib.Path(compare_with), out)
    workers = Workers() if runner else workers_of(strategy)
    if workers.count > 1:
        connect(workers)
    devices = devices_of(strategy)
    predictor, evaluate_config, facts = _open(
        source, evaluate_config, overrides or {}, devices, report
    )
    dataset = dataset or (predictor.experiment and predictor.experiment.data.dataset)
    if dataset is None:
        raise DeeplabError(f"{source} does not say its data set; give --dataset")
    data_dir = pathlib.Path(data_dir)
    # The workers of a runner have working folders of their own.
    records = open_records(data_dir.absolute() if runner else data_dir, dataset)
    if not (overrides or {}).get("split"):
        split = held_out_split(records.splits, evaluate_config.split)
        evaluate_config = dataclasses.replace(evaluate_config, split=split)
        facts["split"] = split
    facts["details"] = details
    if predictor.experiment is None:
        predictor = with_classes_of(predictor, records.classes)
    if other is not None:
        where = f"{records.classes.dataset}/{evaluate_config.split}"
        check_comparable(other, source, predictor.classes.names, where)
    if runner:
        # The workers of Beam report nothing.
        note = predictor.working.note_on(records.longest_side or 0, 0)
        if note:
            report(note)
        evaluation = _evaluate_by_beam(
            runner, source, predictor, evaluate_config, records, out, details
        )
    else:
        with naming_lost_worker(workers, lambda: ""):
            _check_same(workers, facts, records)
            evaluation = evaluate_split(predictor, records, evaluate_config.split, workers, details)
    if not workers.is_chief:
        report(f"worker {workers.index} of {workers.count}; worker 0 has the results")
        return evaluation
    facts = {
        "dataset": records.classes.dataset,
        "fingerprint": records.fingerprint,
        "model": str(source.resolve()),
        **facts,
    }
    truth = coverage(
        evaluation.scores, records.pixels[evaluate_config.split][-1], predictor.classes.names
    )
    page = write_report(
        f"DeepLabv3 on {records.classes.dataset}, {evaluate_config.split}",
        evaluation,
        truth,
        predictor.classes,
        _format_results(predictor, evaluation, evaluate_config, facts),
        config_lib.to_json(predictor.experiment) if predictor.experiment else None,
        out,
        source / METRICS_FILE,
    )
    more = evaluation.boundary_iou, evaluation.more_figures
    text = (
        f"{format_table(evaluation.scores, predictor.classes.names, *more)}\n\n"
        f"{evaluation.images} images of {records.classes.dataset}/{evaluate_config.split}; "
        f"{truth}\n"
        f"figures  {out / EVAL_FILE}\n"
        f"report   {page}\n"
    )
    write_text(out / TABLE_FILE, text, is_table)
    # eval.json is written last, so whoever finds it finds the rest as well.
    write_results(evaluation, records.classes, facts, out)
    report(text.rstrip())
    if other is not None:
        compare_evaluated(other, out, report)
    return evaluation


def _check_replaceable(out: pathlib.Path) -> None:
    """Raises `DeeplabError` where a result would replace what no evaluation wrote."""
    check_folder(out / REPORT_DIR, is_report)
    check_file(out / TABLE_FILE, is_table)
    check_results_replaceable(out)


def _check_same(workers: Workers, facts: dict, records: Records) -> None:
    if len(set(workers.gather_text(json.dumps([facts, records.fingerprint])))) > 1:
        raise DeeplabError(
            "all workers must have the same model, checkpoint, data set and settings; start all "
            "workers with the same command, on a model that is not being trained"
        )


def _open(
    source: pathlib.Path,
    evaluate_config: EvaluateConfig | None,
    overrides: dict,
    devices: list[str],
    report: Callable[[str], None],
) -> tuple[Predictor, EvaluateConfig, dict]:
    """Returns the predictor, its `EvaluateConfig`, and the entries of `eval.json` about both."""
    note = once(report)  # for the copies on all devices together
    split = overrides.get("split")
    overrides = {name: value for name, value in overrides.items() if name != "split"}
    if is_exported(source):
        if evaluate_config is not None:
            raise DeeplabError(
                f"{source} is an exported model, whose inference is fixed; leave --config out"
            )
        predictor = on_devices(lambda: load_predictor(source, note, **overrides), devices)
        experiment = predictor.experiment
        evaluate_config = experiment.evaluate if experiment else EvaluateConfig()
        evaluate_config = EvaluateConfig(split=split or evaluate_config.split)
        facts: dict = {"step": None, "split": evaluate_config.split, "exported": True}
    else:
        trained = load_model(source, report)
        experiment = trained.experiment
        if evaluate_config is not None:
            experiment = dataclasses.replace(experiment, evaluate=evaluate_config)
        evaluate_config = resolve_evaluate_config(experiment, split=split, **overrides)
        evaluate_config.output_stride = (
            evaluate_config.output_stride or experiment.model.output_stride
        )
        # Each device gets a network of its own, with the batch norms folded into its weights.
        predictor = on_devices(lambda: trained_predictor(trained, evaluate_config, note), devices)
        facts = {"step": trained.step, **dataclasses.asdict(evaluate_config)}
        if trained.step is not None:
            # A run that ends early, or keeps its best weights, has finished before its last step.
            facts["finished"] = (source / MODEL_FILE).is_file()
    facts["working_size"] = predictor.working.longest
    if predictor.experiment is not None:
        facts["experiment"] = json.loads(config_lib.to_json(predictor.experiment))
    return predictor, evaluate_config, facts


def _evaluate_by_beam(
    runner: BeamRunner,
    source: pathlib.Path,
    predictor: Predictor,
    evaluate_config: EvaluateConfig,
    records: Records,
    out: pathlib.Path,
    details: bool,
) -> Evaluation:
    runner.check()
    # apache_beam is an extra and may be absent, so its users are imported only here.
    from deeplab_tf.evaluation.beam_evaluate import evaluate_by_beam
    from deeplab_tf.inference.model_handler import Model

    split = check_data(predictor, records, evaluate_config.split)
    strategy = None if is_exported(source) else evaluate_config
    model = Model(source.absolute(), evaluate_config=strategy)
    return evaluate_by_beam(runner, model, records, split, out.absolute(), details)


def _format_results(
    predictor: Predictor, evaluation: Evaluation, evaluate_config: EvaluateConfig, facts: dict
) -> dict[str, str]:
    words = {"images": f"{evaluation.images:,}"}
    if predictor.experiment is not None:
        words["backbone"] = str(predictor.experiment.model.backbone)
    if "exported" in facts:
        words["inference"] = "as exported"
    else:
        words |= {
            "output_stride": str(evaluate_config.output_stride),
            "scales": ", ".join(f"{scale:g}" for scale in evaluate_config.scales),
            "flip": "yes" if evaluate_config.flip else "no",
            "padded to": f"{evaluate_config.pad_to} pixels" if evaluate_config.pad_to else "-",
            "windows": f"{evaluate_config.window} pixels" if evaluate_config.window else "none",
            "CRF": "yes" if evaluate_config.crf else "no",
        }
    seen = predictor.working.longest
    words["working size"] = f"{seen} pixels" if seen else "every image as it is"
    words["model"] = facts["model"]
    if facts["step"] is not None:
        words["step"] = f"{facts['step']:,}"
    return words
