"""The embedded `shapes` data set: a small network from scratch.

    deeplab-prepare --dataset=shapes --data_dir=data
    deeplab-train --config=configs/shapes.py:demo --data_dir=data --workdir=runs/demo

`demo` is the training of `make demo`. `smoke` goes through all that a training does in a few
seconds, on any machine and any number of devices, and learns next to nothing.
"""

import dataclasses

from deeplab_tf.config import (
    Backbone,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    TrainConfig,
)

DEMO = Experiment(
    model=ModelConfig(
        backbone=Backbone.RESNET_SLIM,
        output_stride=8,
        multi_grid=(1, 1, 1),
        # The rates double at output_stride 8. A crop's map is 15x15, and the paper's rates
        # would leave the map.
        aspp_rates=(2, 4, 6),
        # The run takes minutes, so the moving statistics must follow within tens of steps.
        batch_norm_momentum=0.95,
    ),
    data=DataConfig(dataset="shapes", crop_size=113, min_scale=0.75, max_scale=1.25),
    train=TrainConfig(
        steps=300,
        batch_size=8,
        base_learning_rate=0.1,
        checkpoint_every=100,
        evaluate_every=150,
    ),
    evaluate=EvaluateConfig(split="val"),
)

EXPERIMENTS = {
    "demo": DEMO,
    "smoke": Experiment(
        model=dataclasses.replace(DEMO.model, backbone=Backbone.RESNET_TINY, multi_grid=(1,)),
        data=dataclasses.replace(DEMO.data, crop_size=33),
        train=TrainConfig(
            steps=12,
            batch_size=4,
            base_learning_rate=0.1,
            log_every=2,
            checkpoint_every=4,
            panels_every=6,
            evaluate_every=6,
            evaluate_images=4,
        ),
        evaluate=DEMO.evaluate,
    ),
}
