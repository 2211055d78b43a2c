"""Table 4: inference strategies on block7 with multi-grid (1, 2, 1); ResNet-101.

    deeplab-train --config=configs/paper/table3.py:mg121_block7 --data_dir=data \\
        --workdir=runs/table3_mg121_block7 --config.init_from=imagenet-resnet101
    deeplab-eval --workdir=runs/table3_mg121_block7 --config=configs/paper/table4.py:os8_ms \\
        --data_dir=data --out=runs/table4_os8_ms

The network is trained once, at output_stride 16 (Table 3's `mg121_block7`), and evaluated in four
ways. `ms` averages six scales, and `flip` the mirrored image too.
"""

import dataclasses

from deeplab_tf.config import EvaluateConfig, load_experiment

TRAINED = "configs/paper/table3.py:mg121_block7"
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

# The evaluation, and the paper's mean IoU in %.
PAPER = {
    "os16": (EvaluateConfig(output_stride=16), 76.66),
    "os8": (EvaluateConfig(output_stride=8), 78.05),
    "os8_ms": (EvaluateConfig(output_stride=8, scales=SCALES), 78.93),
    "os8_ms_flip": (EvaluateConfig(output_stride=8, scales=SCALES, flip=True), 79.35),
}

EXPERIMENTS = {
    name: dataclasses.replace(
        load_experiment(TRAINED), checkpoint_of=TRAINED, evaluate=evaluate_config, paper_miou=miou
    )
    for name, (evaluate_config, miou) in PAPER.items()
}
