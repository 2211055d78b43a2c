"""The embedded `shapes` data set: a small network from scratch, for `make demo`.

deeplab-prepare --dataset=shapes --data_dir=data
deeplab-train --config=configs/shapes.py:demo --data_dir=data --workdir=runs/demo
"""

from deeplab_tf.config import (
    Backbone,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    TrainConfig,
)

EXPERIMENTS = {
    "demo": Experiment(
        model=ModelConfig(
            backbone=Backbone.RESNET_SLIM,
            output_stride=8,
            # A run of minutes: the moving statistics must follow within tens of steps.
            batch_norm_momentum=0.95,
        ),
        data=DataConfig(dataset="shapes", crop_size=129),
        train=TrainConfig(steps=1500, batch_size=8, base_learning_rate=0.05, checkpoint_every=500),
        evaluate=EvaluateConfig(split="val"),
    ),
}
