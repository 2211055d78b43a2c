"""Table 5: ASPP with multi-grid, a fourth rate, image-level features; ResNet-101, output_stride 16.

    deeplab-train --config=configs/paper/table5.py:mg124_aspp_pool --data_dir=data \\
        --workdir=runs/table5_mg124_aspp_pool --config.init_from=imagenet-resnet101

The row names say the network: `aspp` has the rates (6, 12, 18), `aspp4` the rates (6, 12, 18, 24),
and `pool` adds image-level features. The last row is the paper's best network.
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, Head, ModelConfig

# multi_grid, rates at output_stride 16, image pooling, the paper's mean IoU in %.
PAPER = {
    "mg111_aspp": ((1, 1, 1), (6, 12, 18), False, 75.36),
    "mg121_aspp": ((1, 2, 1), (6, 12, 18), False, 75.93),
    "mg124_aspp": ((1, 2, 4), (6, 12, 18), False, 76.58),
    "mg124_aspp4": ((1, 2, 4), (6, 12, 18, 24), False, 76.46),
    "mg124_aspp_pool": ((1, 2, 4), (6, 12, 18), True, 77.21),
}

EXPERIMENTS = {
    name: Experiment(
        model=ModelConfig(
            backbone=Backbone.RESNET101,
            multi_grid=multi_grid,
            head=Head.ASPP,
            aspp_rates=rates,
            image_pooling=image_pooling,
        ),
        data=DataConfig(dataset="voc_aug", split="trainaug", shuffle_buffer=10_582),
        initial_weights="ImageNet",
        paper_miou=miou,
    )
    for name, (multi_grid, rates, image_pooling, miou) in PAPER.items()
}
