"""The layout of the paper's tables: the config row of each number. The rows have the numbers.

Tested in tests/paper/test_results.py.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the paper, mean IoU in %.

    Attributes:
        title: what the paper varies, and on which network.
        columns: the heads of the columns.
        rows: the config rows of each row of the table, one for each column, by the row's name.
        others: the results of other work that the paper prints for comparison, by name.
        digits: the number of decimals that the paper prints.
        note: what a reader of our figures must know.
    """

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    others: dict[str, float] = dataclasses.field(default_factory=dict)
    digits: int = 2
    note: str = ""


BLOCKS = ("block4", "block5", "block6", "block7")
STRATEGIES = {
    "OS=16": "os16",
    "OS=8": "os8",
    "OS=8, MS": "os8_ms",
    "OS=8, MS, Flip": "os8_ms_flip",
}


def _spec(table: str, row: str) -> str:
    return f"configs/paper/{table}.py:{row}"


TABLES = {
    1: Table(
        "ResNet-50 with block7, by output_stride",
        ("mIoU",),
        {f"output_stride {n}": (_spec("table1", f"os{n}"),) for n in (8, 16, 32, 64, 128, 256)},
    ),
    2: Table(
        "cascaded blocks, output_stride 16",
        BLOCKS,
        {
            name: tuple(_spec("table2", f"{row}_{block}") for block in BLOCKS)
            for name, row in (("ResNet-50", "resnet50"), ("ResNet-101", "resnet101"))
        },
    ),
    3: Table(
        "multi-grid, ResNet-101, output_stride 16",
        BLOCKS,
        {
            f"({', '.join(grid)})": tuple(_spec("table3", f"mg{grid}_{block}") for block in BLOCKS)
            for grid in ("111", "121", "123", "124", "222")
        },
    ),
    4: Table(
        "inference strategies on ResNet-101, block7, multi-grid (1, 2, 1)",
        ("mIoU",),
        {name: (_spec("table4", row),) for name, row in STRATEGIES.items()},
    ),
    5: Table(
        "ASPP, ResNet-101, output_stride 16",
        ("mIoU",),
        {
            "MG(1, 1, 1) ASPP(6, 12, 18)": (_spec("table5", "mg111_aspp"),),
            "MG(1, 2, 1) ASPP(6, 12, 18)": (_spec("table5", "mg121_aspp"),),
            "MG(1, 2, 4) ASPP(6, 12, 18)": (_spec("table5", "mg124_aspp"),),
            "MG(1, 2, 4) ASPP(6, 12, 18, 24)": (_spec("table5", "mg124_aspp4"),),
            "MG(1, 2, 4) ASPP(6, 12, 18) image pooling": (_spec("table5", "mg124_aspp_pool"),),
        },
    ),
    6: Table(
        "inference strategies on ResNet-101, MG(1, 2, 4), ASPP(6, 12, 18), image pooling",
        ("mIoU",),
        {name: (_spec("table6", row),) for name, row in STRATEGIES.items()}
        | {"OS=8, MS, Flip, COCO": (_spec("table6", "os8_ms_flip_coco"),)},
    ),
    7: Table(
        "VOC 2012 test server",
        ("mIoU",),
        {
            "DeepLabv3": (_spec("test_server", "deeplabv3"),),
            "DeepLabv3-JFT": (_spec("test_server", "deeplabv3_jft"),),
        },
        {
            "Adelaide_VeryDeep_FCN_VOC": 79.1,
            "LRR_4x_ResNet-CRF": 79.3,
            "DeepLabv2-CRF": 79.7,
            "CentraleSupelec Deep G-CRF": 80.2,
            "HikSeg_COCO": 81.4,
            "SegModel": 81.8,
            "Deep Layer Cascade": 82.7,
            "TuSimple": 83.1,
            "Large_Kernel_Matters": 83.6,
            "Multipath-RefineNet": 84.2,
            "ResNet-38_MS_COCO": 84.9,
            "PSPNet": 85.4,
            "IDW-CNN": 86.3,
            "CASIA_IVA_SDN": 86.6,
            "DIS": 86.8,
        },
        digits=1,
        note="only VOC's server has the test set's masks: send the server the archive of "
        "deeplab-predict --submission",
    ),
}
