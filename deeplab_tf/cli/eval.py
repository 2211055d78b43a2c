"""deeplab-eval: mean IoU and per-class IoU of a model on a split, each image at its own size.

    deeplab-eval --workdir=runs/demo --data_dir=data
    deeplab-eval --workdir=runs/voc --data_dir=data --output_stride=8 --flip \\
        --scales=0.5,0.75,1,1.25,1.5,1.75
    deeplab-eval --model=model.keras --data_dir=data --out=results
    deeplab-eval --model=anyones.tflite --data_dir=data --dataset=voc --out=results
    deeplab-eval --workdir=runs/table3_mg121_block7 --data_dir=data --out=runs/table4_os8_ms \\
        --config=configs/paper/table4.py:os8_ms

The command prints the table of classes, and writes eval.json, confusion_matrix.csv and
report/index.html into the workdir, or into --out. Several GPUs of this machine share the images,
and so do the processes of TF_CONFIG, each started with the same command; the result is the same.
With --runner, Apache Beam evaluates (pip install apache-beam) on this machine or a cluster: the
record files are dealt out to its workers, and the figures are the same.

Exit code 0: done; 1: bad input, or another process is gone; 2: wrong flag.
"""

import pathlib

from absl import flags

from deeplab_tf.cli import beam_flags, inference_flags
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say
from deeplab_tf.config import StrategyName, load_experiment

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "A workdir of deeplab-train: its latest checkpoint is evaluated."
)
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "FILE.keras, SAVED_MODEL_DIR, FILE.onnx, or FILE.tflite (anyone's, as it is), instead of "
    "--workdir.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where deeplab-prepare wrote the records.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "The data set under --data_dir; default: the one of the experiment."
)
_SPLIT = flags.DEFINE_string(
    "split", None, "The split; default: as the experiment's evaluate section."
)
_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "FILE.py:ROW: evaluate as this row says, e.g. configs/paper/table4.py:os8_ms; default: the "
    "experiment of the model. Other flags override it.",
)
_STRATEGY = flags.DEFINE_enum_class(
    "strategy",
    StrategyName.AUTO,
    StrategyName,
    "On which devices: auto takes the workers of TF_CONFIG and all GPUs; mirrored all GPUs, or "
    "without one all logical CPU devices; one, one.",
)
_OUT = flags.DEFINE_string("out", None, "Where the results go; default: the workdir.")
flags.adopt_module_key_flags(inference_flags)
flags.adopt_module_key_flags(beam_flags)
flags.register_multi_flags_validator(
    ["workdir", "model"],
    lambda values: (values["workdir"] is None) != (values["model"] is None),
    "give one of --workdir=DIR and --model=FILE",
)
flags.register_multi_flags_validator(
    ["model", "out"],
    lambda values: values["model"] is None or values["out"] is not None,
    "--model needs --out=DIR, where the results go",
)


def main() -> int:
    """Evaluates the model; imports TensorFlow late, so that a wrong flag is reported at once."""
    source = pathlib.Path(str(_WORKDIR.value or _MODEL.value))
    row = load_experiment(_CONFIG.value).evaluate if _CONFIG.value else None
    runner = beam_flags.runner()
    if runner:
        runner.check()
    import_tensorflow(trains=False)
    from deeplab_tf.evaluation.evaluate import evaluate

    evaluate(
        source,
        pathlib.Path(str(_DATA_DIR.value)),
        pathlib.Path(str(_OUT.value or _WORKDIR.value)),
        dataset=_DATASET.value,
        settings=row,
        strategy=_STRATEGY.value,
        overrides={"split": _SPLIT.value, **inference_flags.overrides()},
        runner=runner,
        report=say,
    )
    return 0


def run() -> None:
    """Runs the console script `deeplab-eval`."""
    run_binary("deeplab-eval", __name__, main)


if __name__ == "__main__":
    run()
