"""ADE20K (SceneParsing, 150 classes) in the protocol of DeepLab's authors.

    deeplab-prepare --dataset=ade20k --source=ADEChallengeData2016 --data_dir=data
    deeplab-train --config=configs/ade20k.py:resnet101 --data_dir=data --workdir=runs/ade20k \\
        --config.init_from=imagenet-resnet101

Crop 513, output_stride 16, rates 6, 12 and 18, and 150,000 steps are in the authors' guide
(github.com/tensorflow/models, research/deeplab/g3doc/ade20k.md). The guide also resizes each image
so that its longer side is at most 513 (`min_resize_value` and `max_resize_value`), which is left
out here: images keep their size in training and evaluation, and the random scale is the paper's 0.5
to 2.0. The guide asks for a batch above 12 to train batch norms and names no learning rate; batch
size 16 and all other values are the paper's for VOC.

`slim` is a small network for a quick look on a CPU, and no one's protocol.
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, ModelConfig, TrainConfig

EXPERIMENTS = {
    "resnet101": Experiment(
        data=DataConfig(dataset="ade20k"),
        train=TrainConfig(steps=150_000, evaluate_every=5000),
    ),
    "slim": Experiment(
        model=ModelConfig(backbone=Backbone.RESNET_SLIM, batch_norm_momentum=0.95),
        data=DataConfig(dataset="ade20k", crop_size=257),
        train=TrainConfig(
            steps=2000,
            batch_size=8,
            base_learning_rate=0.05,
            evaluate_every=1000,
            evaluate_images=200,
        ),
    ),
}
