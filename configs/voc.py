"""PASCAL VOC 2012 in the paper's protocol (section 4.1).

    deeplab-prepare --dataset=voc --source=VOCdevkit --data_dir=data
    deeplab-train --config=configs/voc.py:resnet101 --data_dir=data --workdir=runs/voc \\
        --config.init_from=imagenet-resnet101

The paper starts from ImageNet weights; without `init_from` the network is trained from scratch and
stays far below the paper's figures. `deeplabv3_plus` has the decoder of DeepLabv3+ (arXiv
1802.02611) on the same schedule. `resnet101_frozen` is the second stage: frozen batch norm,
output_stride 8, trainval, a lower rate, from the first stage's `model.keras`. It is not evaluated
while it trains, since trainval has the images of val, and the masks of test are not public. `slim`
is a small network for a quick look on a CPU.
"""

from deeplab_tf.config import (
    Backbone,
    BatchNormMode,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    TrainConfig,
)

EXPERIMENTS = {
    "resnet50": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET50), train=TrainConfig(evaluate_every=2000)
    ),
    "resnet101": Experiment(
        train=TrainConfig(evaluate_every=2000), evaluate=EvaluateConfig(output_stride=8)
    ),
    "deeplabv3_plus": Experiment(
        model=ModelConfig(decoder_kernels=(3, 3)),
        train=TrainConfig(evaluate_every=2000),
        evaluate=EvaluateConfig(output_stride=8),
    ),
    "resnet101_frozen": Experiment(
        model=ModelConfig(output_stride=8),
        data=DataConfig(split="trainval"),
        train=TrainConfig(base_learning_rate=0.001, batch_norm=BatchNormMode.FROZEN),
    ),
    "slim": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, batch_norm_momentum=0.95),
        data=DataConfig(crop_size=257),
        train=TrainConfig(
            steps=2000,
            batch_size=8,
            base_learning_rate=0.05,
            evaluate_every=500,
            evaluate_images=200,
        ),
    ),
}
