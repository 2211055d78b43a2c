"""DeepLabv2's network (arXiv 1606.00915) in this project's protocol, to compare with.

    deeplab-train --config=configs/paper/deeplabv2.py:resnet101 --data_dir=data \\
        --workdir=runs/deeplabv2 --config.init_from=imagenet-resnet101
    deeplab-eval --workdir=runs/deeplabv2 --config=configs/paper/deeplabv2.py:resnet101_crf \\
        --data_dir=data --out=runs/deeplabv2_crf

The network is an atrous ResNet-101 at output_stride 8 with DeepLabv2's ASPP: four 3x3 convolutions
straight to class scores, at rates (6, 12, 18, 24). `resnet101_crf` evaluates the same checkpoint
with the fully connected CRF after the network (`pip install pydensecrf2`). DeepLabv2 itself was
pretrained on COCO and trained at three scales at once, so the 79.7 that Table 7 prints for
DeepLabv2-CRF is not this row's number.
"""

import dataclasses

from deeplab_tf.config import DataConfig, Experiment, Head, ModelConfig

DEEPLABV2 = Experiment(
    model=ModelConfig(
        output_stride=8,
        multi_grid=(1, 1, 1),
        head=Head.ASPP_V2,
        # Rates are given for output_stride 16; at 8 these are (6, 12, 18, 24).
        aspp_rates=(3, 6, 9, 12),
        image_pooling=False,
    ),
    data=DataConfig(dataset="voc_aug", split="trainaug", shuffle_buffer=10_582),
    initial_weights="ImageNet",
)

EXPERIMENTS = {
    "resnet101": DEEPLABV2,
    "resnet101_crf": dataclasses.replace(
        DEEPLABV2,
        evaluate=dataclasses.replace(DEEPLABV2.evaluate, crf=True),
        checkpoint_of="configs/paper/deeplabv2.py:resnet101",
    ),
}
