"""Any prepared data set, by its name: your own folder, COCO, and so on.

    deeplab-prepare --dataset=folder --source=DIR --data_dir=data
    deeplab-train --config=configs/own.py:mobilenet_v2 --config.init_from=imagenet-mobilenet-v2 \\
        --config.data.dataset=NAME --data_dir=data --workdir=runs/NAME

The classes with their names and colours come from the data set. Scales, crop, batch, steps, rate,
class weights and the evaluations of the run are chosen from the data set and the machine, each
unless it is given, and printed with the reason (docs/own_data.md).

`mobilenet_v2` and `mobilenet_v3` train on a laptop, `resnet50` and `resnet101` need a GPU; all four
need weights to begin with (`init_from`). `slim` is trained from scratch on a CPU.
"""

import dataclasses

from deeplab_tf.config import (
    Backbone,
    DataConfig,
    Experiment,
    TrainConfig,
    load_experiment,
)

DATA = DataConfig(
    dataset="own", crop_size=None, min_scale=None, max_scale=None, shuffle_buffer=None
)
TRAIN = TrainConfig(
    steps=None,
    batch_size=None,
    base_learning_rate=None,
    class_weights=None,
    evaluate_every=None,
)


def _own(row: str) -> Experiment:
    """Returns the network of the row of CamVid with all that is to be chosen left open."""
    camvid = load_experiment(f"configs/camvid.py:{row}")
    return Experiment(
        model=camvid.model,
        data=DATA,
        train=TRAIN,
        evaluate=camvid.evaluate,
        initial_weights=None if row == "slim" else "ImageNet",
    )


EXPERIMENTS = {
    "mobilenet_v2": _own("mobilenet_v2"),
    "mobilenet_v3": _own("mobilenet_v3"),
    "resnet50": _own("resnet50"),
    "resnet101": dataclasses.replace(
        _own("resnet50"),
        model=dataclasses.replace(_own("resnet50").model, backbone=Backbone.RESNET101),
    ),
    "slim": _own("slim"),
}
