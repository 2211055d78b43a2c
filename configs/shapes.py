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
            multi_grid=(1, 1, 1),
            # At output_stride 8 they double. A crop's map is 15x15: the paper's would leave it.
            aspp_rates=(2, 4, 6),
            # A run of minutes: the moving statistics must follow within tens of steps.
            batch_norm_momentum=0.95,
        ),
        data=DataConfig(dataset="shapes", crop_size=113, min_scale=0.75, max_scale=1.25),
        train=TrainConfig(steps=300, batch_size=8, base_learning_rate=0.1, checkpoint_every=100),
        evaluate=EvaluateConfig(split="val"),
    ),
}
