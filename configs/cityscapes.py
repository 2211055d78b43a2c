"""Cityscapes in the protocol of DeepLab's authors: 19 classes, 2048x1024.

    deeplab-prepare --dataset=cityscapes --source=cityscapes --data_dir=data
    deeplab-train --config=configs/cityscapes.py:resnet101 --data_dir=data \\
        --workdir=runs/cityscapes --config.init_from=imagenet-resnet101

Crop 769, output_stride 16, rates 6, 12 and 18, and 90,000 steps on the finely annotated training
images are in the authors' guide (github.com/tensorflow/models, research/deeplab/g3doc/
cityscapes.md). The guide asks for a batch above 8 to train batch norms, evaluates whole images, and
names no learning rate; batch size 16 and all other values are the paper's for VOC. `resnet101`
is evaluated at output_stride 8, as the paper's VOC row. The coarse images can be mixed in:
`--config.data.mixed_in=cityscapes_coarse/train_extra:0.5`.

`mobilenet_v2` is the light network of the released mobile models, with the same schedule. `slim`
is a small network for a quick look on a CPU, and no one's protocol.
"""

from deeplab_tf.config import (
    Backbone,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    Normalization,
    TrainConfig,
)

DATA = DataConfig(dataset="cityscapes", crop_size=769)
TRAIN = TrainConfig(steps=90_000, evaluate_every=5000)

EXPERIMENTS = {
    "resnet101": Experiment(
        data=DATA,
        train=TRAIN,
        evaluate=EvaluateConfig(output_stride=8),
    ),
    "mobilenet_v2": Experiment(
        model=ModelConfig(
            backbone=Backbone.MOBILENET_V2,
            multi_grid=(1, 1, 1),
            aspp_rates=(),
            normalization=Normalization.SYMMETRIC,
        ),
        data=DATA,
        train=TRAIN,
    ),
    "slim": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, batch_norm_momentum=0.95),
        data=DataConfig(dataset="cityscapes", crop_size=385),
        train=TrainConfig(
            steps=2000,
            batch_size=8,
            base_learning_rate=0.05,
            evaluate_every=1000,
            evaluate_images=100,
        ),
    ),
}
