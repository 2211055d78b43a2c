"""deeplab-train: trains one row of a config file; goes on by itself where a run was stopped.

    deeplab-train --config=configs/shapes.py:demo --data_dir=data --workdir=runs/demo
    deeplab-train --config=configs/own.py:mobilenet_v2 --source=DIR --data_dir=data \\
        --workdir=runs/own --config.init_from=imagenet-mobilenet-v2
    deeplab-train --config=configs/voc.py:resnet101 --data_dir=data --workdir=runs/voc \\
        --config.train.batch_size=8 --config.init_from=imagenet-resnet101

--source is a folder of one's own, with images and masks or as a labelling tool exported it. It is
checked and written as records into --data_dir first, as deeplab-prepare --dataset=folder does; a
folder without a dataset.json gets one, and what was seen in the masks is printed.

config.init_from is a FILE.keras or a NAME of deeplab-models.

Every field of the experiment can be overridden: --config.SECTION.FIELD=VALUE, with the sections
model, data, train and evaluate. --config.model.like=FILE.keras takes the network of a file, and
other overrides go over it. A row with a previous stage (COCO before VOC) trains that stage first,
in WORKDIR/previous_stage; overrides are for the last stage. --config=WORKDIR/config.json with
another --workdir repeats a run, on a CPU bit for bit, and prints what differs from the run that it
repeats.

Fields that a row leaves open, as those of configs/own.py do, are chosen from the data set and the
machine, and printed with the reason; a run that goes on keeps them.

A run is evaluated every train.evaluate_every steps while it trains; --config.train.keep=best keeps
the best weights, and --config.train.patience=N ends the run after N evaluations without a better.

--config.train.strategy is auto, one, mirrored, tpu, or multi_worker. With multi_worker, each
process of TF_CONFIG is started with this command, on one --workdir.

--data_dir and --workdir may be addresses of a store, s3:// or gs:// (docs/storage.md).

Exit code 0: the run is finished; 143: stopped by SIGTERM, with a checkpoint; 1: bad input; 2: wrong
flag; 75: another worker or a store is gone, and the same command goes on.
"""

import dataclasses
import pathlib

from absl import flags
from ml_collections import config_flags

from deeplab_tf.cli.config_help import list_fields
from deeplab_tf.cli.flag_rules import require
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say
from deeplab_tf.cli.stores import Use
from deeplab_tf.config import DataConfig, Experiment, load_experiment, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import is_address
from deeplab_tf.runs.workdir import CONFIG_FILE, DATA_FILE

_CONFIG = config_flags.DEFINE_config_dataclass(
    "config",
    Experiment(),
    "Train this experiment: FILE.py:ROW, or the config.json of a workdir. FILE.py: without a row "
    "lists the rows.",
    parse_fn=load_experiment,
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Read the records that deeplab-prepare wrote into this folder.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Keep the run in this folder: config, checkpoints, logs, model.keras.",
    required=True,
)
_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "First write the images and masks of this folder as records into --data_dir, unless they are "
    "there, and train on them.",
)
_OVERFIT = flags.DEFINE_bool(
    "overfit_one_batch",
    False,
    "Only see whether the first batch can be learnt by heart, and write nothing. The exit code is "
    "1 if the batch was not learnt.",
)

require(
    {
        "--source writes its records into --data_dir, which must then be a folder of this machine; "
        "write them by deeplab-prepare, and train without --source": (
            lambda source, data_dir: source is None or not is_address(data_dir)
        )
    }
)


def main() -> int:
    """Trains the row; imports TensorFlow late, so that a wrong flag is reported at once."""
    experiment = _CONFIG.value
    if experiment.model.like is None:
        experiment = validate(experiment)
    import_tensorflow(trains=True)
    from deeplab_tf.training.like import resolve_like
    from deeplab_tf.training.overfit import overfit_one_batch
    from deeplab_tf.training.stages import train

    given = config_flags.get_override_values(flags.FLAGS["config"])
    experiment = resolve_like(experiment, given, say)
    data_dir, workdir = pathlib.Path(_DATA_DIR.value), pathlib.Path(_WORKDIR.value)
    if _SOURCE.value:
        experiment.data = _own_data(experiment.data, given)
    if _OVERFIT.value:
        overfit_one_batch(experiment, data_dir, workdir, say)
        return 0
    result = train(experiment, data_dir, workdir, _repeated_workdir(), say)
    return 128 + result.stopped_by if result.stopped_by else 0


def _own_data(data: DataConfig, given: dict[str, object]) -> DataConfig:
    """Returns `data` with the data set that --source holds, whose records are there now.

    Args:
        data: the experiment's.
        given: the fields on the command line, as `data.dataset`.

    Raises:
        DeeplabError: the folder is not understood, --config.data.dataset names another data set, or
            this is one of several workers, which would all prepare.
    """
    from deeplab_tf.data.prepare import prepare
    from deeplab_tf.data.split_names import training_split
    from deeplab_tf.distributed.processes import read_workers

    if read_workers().count > 1:
        raise DeeplabError(
            "--source is for a training of one process; let deeplab-prepare write the records "
            "first, and start the workers without --source"
        )
    records = prepare(_SOURCE.value, _DATA_DIR.value, describe=True, report=say)
    dataset = records.classes.dataset
    if given.get("data.dataset", dataset) != dataset:
        raise DeeplabError(
            f"--config.data.dataset must be {dataset}, which {_SOURCE.value} holds, or left out. "
            f"Received: {given['data.dataset']}"
        )
    split = training_split(records.splits, data.split)
    return dataclasses.replace(data, dataset=dataset, split=split)


def _repeated_workdir() -> pathlib.Path | None:
    """Returns the workdir whose `config.json` is the given config; None for any other config."""
    file = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"]))
    of_a_run = file.name == CONFIG_FILE and (file.parent / DATA_FILE).is_file()
    return file.parent if of_a_run else None


def run() -> None:
    """Runs the console script `deeplab-train`."""
    run_binary(
        "deeplab-train",
        __name__,
        main,
        more_help=lambda: f"\nfields of the experiment:\n{list_fields()}",
        needs_config=True,
        stores={"source": Use.READ, "data_dir": Use.PARTS, "workdir": Use.WRITE},
    )


if __name__ == "__main__":
    run()
