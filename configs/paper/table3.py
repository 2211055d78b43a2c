"""Table 3: multi-grid, by the number of cascaded blocks; ResNet-101, output_stride 16.

    deeplab-train --config=configs/paper/table3.py:mg121_block7 --data_dir=data \\
        --workdir=runs/table3_mg121_block7 --config.init_from=imagenet-resnet101

The unit rates hold in block4 and every block after it, each times the block's own rate. The rows of
(1, 1, 1) are those of ResNet-101 in Table 2.
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, Head, ModelConfig

# The paper's mean IoU in %, with block4, block5, block6 and block7 as the last block.
PAPER = {
    (1, 1, 1): (68.39, 73.21, 75.34, 75.76),
    (1, 2, 1): (70.23, 75.67, 76.09, 76.66),
    (1, 2, 3): (73.14, 75.78, 75.96, 76.11),
    (1, 2, 4): (73.45, 75.74, 75.85, 76.02),
    (2, 2, 2): (71.45, 74.30, 74.70, 74.62),
}

EXPERIMENTS = {
    f"mg{''.join(map(str, multi_grid))}_block{block}": Experiment(
        model=ModelConfig(
            backbone=Backbone.RESNET101, num_blocks=block, multi_grid=multi_grid, head=Head.NONE
        ),
        data=DataConfig(dataset="voc_aug", split="trainaug", shuffle_buffer=10_582),
        initial_weights="ImageNet",
        paper_miou=miou,
    )
    for multi_grid, row in PAPER.items()
    for block, miou in enumerate(row, start=4)
}
