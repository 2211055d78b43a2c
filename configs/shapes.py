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
            # The rates double at output_stride 8. A crop's map is 15x15, and the paper's rates
            # would leave the map.
            aspp_rates=(2, 4, 6),
            # The run takes minutes, so the moving statistics must follow within tens of steps.
            batch_norm_momentum=0.95,
        ),
        data=DataConfig(dataset="shapes", crop_size=113, min_scale=0.75, max_scale=1.25),
        train=TrainConfig(steps=300, batch_size=8, base_learning_rate=0.1, checkpoint_every=100),
        evaluate=EvaluateConfig(split="val"),
    ),
}
