"""PASCAL Context, 59 classes, in the paper's protocol for VOC (section 4.1).

    deeplab-prepare --dataset=pascal_context --source=VOCdevkit --data_dir=data
    deeplab-train --config=configs/pascal_context.py:resnet101 --data_dir=data \\
        --workdir=runs/context --config.init_from=imagenet-resnet101

DeepLabv3's authors publish no protocol for PASCAL Context; the images are VOC's, so the schedule
for VOC is taken. `slim` is a small network for a quick look on a CPU.
"""

import dataclasses

from deeplab_tf.config import load_experiment

# The split val has 5,105 images, more than three times as many as VOC's.
EVALUATE_EVERY = {"resnet101": 10_000, "slim": 500}

EXPERIMENTS = {
    row: dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, dataset="pascal_context"),
        train=dataclasses.replace(experiment.train, evaluate_every=evaluate_every),
        row=None,
    )
    for row, evaluate_every in EVALUATE_EVERY.items()
    for experiment in [load_experiment(f"configs/voc.py:{row}")]
}
