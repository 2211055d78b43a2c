"""Pretraining on COCO with VOC's classes, the stage before Table 6's last row (section 4.3).

    deeplab-train --config=configs/paper/coco.py:pretraining --data_dir=data --workdir=runs/coco \\
        --config.init_from=imagenet-resnet101

The images, about 60,000, are those of train and val, less minival, with annotated regions of more
than 1,000 pixels of VOC's classes; COCO's other classes are background. The paper gives no schedule
for this stage, so the schedule for VOC is taken. The paper prints no result of this stage.
"""

import dataclasses

from deeplab_tf.config import DataConfig, load_experiment

EXPERIMENTS = {
    "pretraining": dataclasses.replace(
        load_experiment("configs/paper/table5.py:mg124_aspp_pool"),
        data=DataConfig(dataset="coco_voc", shuffle_buffer=16_384),
        paper_miou=None,
    )
}
