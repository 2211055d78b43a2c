"""deeplab-eval: the figures of a model on a split by class and by image, each at its own size.

    deeplab-eval --model=runs/demo --data_dir=data
    deeplab-eval --model=runs/voc --data_dir=data --output_stride=8 --flip \\
        --scales=0.5,0.75,1,1.25,1.5,1.75
    deeplab-eval --model=model.keras --data_dir=data --out=results
    deeplab-eval --model=anyones.tflite --data_dir=data --dataset=voc --out=results
    deeplab-eval --model=runs/table3_mg121_block7 --data_dir=data --out=runs/table4_os8_ms \\
        --config=configs/paper/table4.py:os8_ms
    deeplab-eval --workdir=runs/new --data_dir=data --compare=runs/old
    deeplab-eval --workdir=runs/new --compare=runs/old

The command prints the table of classes, and writes eval.json, confusion_matrix.csv, images.csv,
images_by_class.csv and report/index.html into the workdir, or into --out. --compare=RUN puts them
beside those in the folder RUN and writes comparison.json and comparison.html; without --data_dir
what is there is compared and nothing is evaluated. Several GPUs of this machine share the images,
and so do the processes of TF_CONFIG, each started with the same command; the result is the same.
With --runner, Apache Beam evaluates (pip install apache-beam) on this machine or a cluster: the
record files are dealt out to its workers, and the figures are the same.

Exit code 0: done; 1: bad input; 2: wrong flag; 75: another process or a store is gone.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from deeplab_tf.cli import beam_flags, inference_flags
from deeplab_tf.cli.flag_rules import require
from deeplab_tf.cli.flag_types import define_two_names
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say
from deeplab_tf.cli.stores import Use
from deeplab_tf.config import Experiment, StrategyName, load_experiment, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.workdir import CONFIG_FILE

_MODEL = define_two_names(
    "model",
    "workdir",
    "WORKDIR of deeplab-train, whose latest checkpoint (with train.keep=best its best weights) is "
    "evaluated, FILE.keras, SAVED_MODEL_DIR, OPENVINO_DIR, FILE.onnx, FILE.tflite (anyone's, as it "
    "is), or a NAME of deeplab-models. --workdir is the same flag.",
    required=True,
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Read the records that deeplab-prepare wrote into this folder; without it, --compare takes the "
    "results that are in the workdir or --out.",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Evaluate on this data set under --data_dir; default: the data set of the experiment.",
)
_SPLIT = flags.DEFINE_string(
    "split",
    None,
    "Evaluate on this split; default: the split of the experiment's evaluate section, or where the "
    "data set has none of this name, the split that is held out from training.",
)
_CONFIG = config_flags.DEFINE_config_dataclass(
    "config",
    Experiment(),
    "FILE.py:ROW or a config.json: evaluate as its evaluate section says, e.g. "
    "configs/paper/table4.py:os8_ms; default: the experiment of the model. Other flags override "
    "the section.",
    parse_fn=load_experiment,
)
_STRATEGY = flags.DEFINE_enum_class(
    "strategy",
    StrategyName.AUTO,
    StrategyName,
    "Choose the devices: auto takes the workers of TF_CONFIG and all GPUs; mirrored takes all "
    "GPUs, or without a GPU all logical CPU devices; one takes one device.",
)
_OUT = flags.DEFINE_string("out", None, "Write the results into this folder; default: the workdir.")
_DETAILS = flags.DEFINE_bool(
    "details",
    True,
    "Measure boundary IoU, calibration and objects by size too; --nodetails leaves them out and "
    "saves their time.",
)
_COMPARE = flags.DEFINE_string(
    "compare",
    None,
    "Put the results beside those in this folder, of another run on the same split: differences by "
    "class and the images that changed most.",
)
require(
    {
        "missing --data_dir; give it, or --compare to compare what is evaluated": (
            lambda data_dir, compare: data_dir is not None or compare is not None
        )
    }
)
flags.adopt_module_key_flags(inference_flags)
flags.adopt_module_key_flags(beam_flags)


def main() -> int:
    """Evaluates the model; imports TensorFlow late, so that a wrong flag is reported at once."""
    from deeplab_tf.named import is_a_name

    source = pathlib.Path(_MODEL.value)
    given = not flags.FLAGS["config"].using_default_value
    evaluate_config = validate(_CONFIG.value).evaluate if given else None
    runner = beam_flags.runner()
    if runner:
        runner.check()
    out = _OUT.value
    if out is None:
        exists = source.exists() or is_a_name(_MODEL.value)
        if exists and not (source / CONFIG_FILE).is_file():
            raise DeeplabError(f"{source} is no workdir; give --out=DIR for the results")
        out = source  # where there is no model, the evaluation says so before it writes
    if _DATA_DIR.value is None:
        from deeplab_tf.evaluation.compare import compare

        compare(pathlib.Path(str(_COMPARE.value)), pathlib.Path(out), say)
        return 0
    import_tensorflow(trains=False)
    from deeplab_tf.evaluation.evaluate import evaluate

    evaluate(
        _MODEL.value,
        pathlib.Path(_DATA_DIR.value),
        out,
        dataset=_DATASET.value,
        evaluate_config=evaluate_config,
        strategy=_STRATEGY.value,
        details=_DETAILS.value,
        compare_with=_COMPARE.value,
        overrides={"split": _SPLIT.value, **inference_flags.overrides()},
        runner=runner,
        report=say,
    )
    return 0


def run() -> None:
    """Runs the console script `deeplab-eval`."""
    run_binary(
        "deeplab-eval",
        __name__,
        main,
        stores={
            "model": Use.WRITE,
            "workdir": Use.WRITE,
            "data_dir": Use.PARTS,
            "out": Use.WRITE,
            "compare": Use.READ,
        },
    )


if __name__ == "__main__":
    run()
