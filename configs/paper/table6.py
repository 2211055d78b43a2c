"""Table 6: inference strategies on the best network of Table 5, and pretraining on COCO.

    deeplab-train --config=configs/paper/table5.py:mg124_aspp_pool --data_dir=data \\
        --workdir=runs/table5_mg124_aspp_pool --config.init_from=imagenet-resnet101
    deeplab-eval --workdir=runs/table5_mg124_aspp_pool --config=configs/paper/table6.py:os8_ms \\
        --data_dir=data --out=runs/table6_os8_ms
    deeplab-train --config=configs/paper/table6.py:os8_ms_flip_coco --data_dir=data \\
        --workdir=runs/table6_os8_ms_flip_coco --config.init_from=imagenet-resnet101
    deeplab-eval --workdir=runs/table6_os8_ms_flip_coco --data_dir=data

The first four rows evaluate Table 5's `mg124_aspp_pool`. The COCO row is a training of its own:
`coco.py:pretraining` first, then VOC from those weights at the base rate 0.0001.
"""

import dataclasses

from deeplab_tf.config import TrainConfig, load_experiment

TRAINED = "configs/paper/table5.py:mg124_aspp_pool"
# The paper's mean IoU in %, by the inference strategies of Table 4.
PAPER = {"os16": 77.21, "os8": 78.51, "os8_ms": 79.45, "os8_ms_flip": 79.77}

EXPERIMENTS = {
    name: dataclasses.replace(
        load_experiment(TRAINED),
        evaluate=load_experiment(f"configs/paper/table4.py:{name}").evaluate,
        checkpoint_of=TRAINED,
        paper_miou=miou,
    )
    for name, miou in PAPER.items()
}
EXPERIMENTS["os8_ms_flip_coco"] = dataclasses.replace(
    EXPERIMENTS["os8_ms_flip"],
    checkpoint_of=None,
    previous_stage="configs/paper/coco.py:pretraining",
    train=TrainConfig(base_learning_rate=0.0001),
    paper_miou=82.70,
)
