"""A training and the stages before it, such as COCO, then VOC, then VOC with frozen batch norm."""

import dataclasses
import pathlib

from deeplab_tf.config import Experiment, load_experiment
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.training.loop import train
from deeplab_tf.workdir import MODEL_FILE, PREVIOUS_STAGE_DIR


def train_stages(experiment: Experiment, data_dir: pathlib.Path, workdir: pathlib.Path) -> int:
    """Trains what `experiment.previous_stage` names, and what comes before that, then itself.

    The stage before the one in a folder is in `previous_stage` inside it. One whose `model.keras`
    is there is taken as it is, so that an earlier stage can also be trained by itself, with other
    settings, and put there.

    Returns:
        As `train`; a stage that a signal stopped ends it all.

    Raises:
        DeeplabError: as `train`; the data of every stage is looked for before the first begins.
    """
    stages = _stages(experiment, workdir)
    for stage, _ in stages:
        open_records(data_dir, stage.data.dataset).split(stage.data.split)
    for number, (stage, folder) in enumerate(stages, start=1):
        last = number == len(stages)
        if len(stages) > 1:
            print(f"stage {number} of {len(stages)}: {stage.row or 'this config'} in {folder}")
        if not last and (folder / MODEL_FILE).is_file():
            print(f"done already: {folder / MODEL_FILE}")
            continue
        code = train(stage, data_dir, folder)
        if code:
            return code
    return 0


def _stages(experiment: Experiment, workdir: pathlib.Path) -> list[tuple[Experiment, pathlib.Path]]:
    """The stages in their order, each with its folder."""
    stages = [(experiment, workdir)]
    rows = {experiment.row}
    while experiment.previous_stage:
        before = load_experiment(experiment.previous_stage)
        if before.row in rows:
            raise DeeplabError(f"config.previous_stage goes in a circle: {before.row} comes twice")
        rows.add(before.row)
        experiment = dataclasses.replace(before, init_from=experiment.init_from)
        workdir = workdir / PREVIOUS_STAGE_DIR
        stages.insert(0, (experiment, workdir))
    return stages
