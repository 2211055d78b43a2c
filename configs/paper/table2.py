"""Table 2: ResNet-50 and ResNet-101 by the number of cascaded blocks, output_stride 16.

    deeplab-train --config=configs/paper/table2.py:resnet101_block7 --data_dir=data \\
        --workdir=runs/table2_resnet101_block7 --config.init_from=imagenet-resnet101

block4 is the plain atrous ResNet; block5 to block7 are replicas of block4 after it.
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, Head, ModelConfig

# The paper's mean IoU in %, with block4, block5, block6 and block7 as the last block.
PAPER = {
    Backbone.RESNET50: (64.81, 72.14, 74.29, 73.88),
    Backbone.RESNET101: (68.39, 73.21, 75.34, 75.76),
}

EXPERIMENTS = {
    f"{backbone}_block{block}": Experiment(
        model=ModelConfig(
            backbone=backbone, num_blocks=block, multi_grid=(1, 1, 1), head=Head.NONE
        ),
        data=DataConfig(dataset="voc_aug", split="trainaug", shuffle_buffer=10_582),
        initial_weights="ImageNet",
        paper_miou=miou,
    )
    for backbone, row in PAPER.items()
    for block, miou in enumerate(row, start=4)
}
