"""Table 7: the networks whose predictions go to VOC's test server (section 4.3).

    deeplab-train --config=configs/paper/test_server.py:deeplabv3 --data_dir=data \\
        --workdir=runs/deeplabv3 --config.init_from=imagenet-resnet101
    deeplab-predict --model=runs/deeplabv3 --images=VOC2012/JPEGImages \\
        --list=VOC2012/ImageSets/Segmentation/test.txt --out=runs/deeplabv3/test \\
        --submission=runs/deeplabv3/results.tar.gz

One command does three trainings in a row: COCO, VOC trainaug at output_stride 16 (Table 6's COCO
row), and this stage: batch norm frozen, output_stride 8, the official trainval, base rate 0.001,
the images with bicycles, chairs, tables, potted plants or sofas twice. The predictions are made
with six scales and flip.

`deeplabv3_jft` is the same from a ResNet-101 trained on ImageNet and JFT-300M, whose weights were
never published: give others by `--config.init_from`.
"""

import dataclasses

from deeplab_tf.config import BatchNormMode, DataConfig, TrainConfig, load_experiment

STAGE1 = "configs/paper/table6.py:os8_ms_flip_coco"
# Initial weights, and the paper's mean IoU in %. Only the server has the test set's masks.
PAPER = {"deeplabv3": ("ImageNet", 85.7), "deeplabv3_jft": ("ImageNet and JFT-300M", 86.9)}


def _experiment(initial_weights: str, paper_miou: float):
    stage1 = load_experiment(STAGE1)
    return dataclasses.replace(
        stage1,
        initial_weights=initial_weights,
        previous_stage=STAGE1,
        model=dataclasses.replace(stage1.model, output_stride=8),
        data=DataConfig(
            dataset="voc_aug",
            split="trainval",
            duplicate_classes=("bicycle", "chair", "diningtable", "pottedplant", "sofa"),
            # The buffer exceeds the number of records, so that an image's copies are spread too.
            shuffle_buffer=8192,
        ),
        train=TrainConfig(base_learning_rate=0.001, batch_norm=BatchNormMode.FROZEN),
        evaluate=dataclasses.replace(stage1.evaluate, split="test"),
        paper_miou=paper_miou,
    )


EXPERIMENTS = {name: _experiment(*row) for name, row in PAPER.items()}
