"""Table 1: going deeper with atrous convolution, ResNet-50 with block7, by output_stride.

    deeplab-prepare --dataset=voc_aug --source=DIR --data_dir=data
    deeplab-train --config=configs/paper/table1.py:os8 --data_dir=data --workdir=runs/table1_os8 \\
        --config.init_from=imagenet-resnet50
    deeplab-eval --workdir=runs/table1_os8 --data_dir=data

No stride is dropped and no convolution is atrous at output_stride 256 (figure 3a); each halving
adds a stride that became a rate (figure 3b).
"""

from deeplab_tf.config import Backbone, DataConfig, Experiment, Head, ModelConfig

# The paper's mean IoU in %, by output_stride.
PAPER = {8: 75.18, 16: 73.88, 32: 70.06, 64: 59.99, 128: 42.34, 256: 20.29}

EXPERIMENTS = {
    f"os{output_stride}": Experiment(
        model=ModelConfig(
            backbone=Backbone.RESNET50,
            num_blocks=7,
            output_stride=output_stride,
            multi_grid=(1, 1, 1),
            head=Head.NONE,
        ),
        data=DataConfig(dataset="voc_aug", split="trainaug", shuffle_buffer=10_582),
        initial_weights="ImageNet",
        paper_miou=miou,
    )
    for output_stride, miou in PAPER.items()
}
