"""The data sets that `deeplab-prepare` knows by name: who reads each, and a training to try.

Tested in tests/cli/test_prepare.py, through `deeplab-prepare`.
"""

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class KnownDataSet:
    """A data set that has a name.

    Attributes:
        reader: `module.function` in `deeplab_tf.data.sources`, from the unpacked folder to a
            `Source`. The module is imported on use.
        example: flags of `deeplab-train` for a training on the data set.
    """

    reader: str
    example: str

    def read(self, folder: Path) -> Any:
        """Returns the `Source` in `folder`; raises `DeeplabError` where it is another data set."""
        module, function = self.reader.split(".")
        reader: Callable[[Path], Any] = getattr(
            importlib.import_module(f"deeplab_tf.data.sources.{module}"), function
        )
        return reader(folder)


DATA_SETS = {
    "voc": KnownDataSet("voc.voc_source", "--config=configs/voc.py:resnet101"),
    "voc_aug": KnownDataSet(
        "voc_aug.voc_aug_source", "--config=configs/paper/table5.py:mg124_aspp_pool"
    ),
    "coco_voc": KnownDataSet("coco.coco_voc_source", "--config=configs/paper/coco.py:pretraining"),
    "coco": KnownDataSet(
        "coco.coco_source", "--config=configs/own.py:resnet50 --config.data.dataset=coco"
    ),
    "camvid": KnownDataSet("camvid.camvid_source", "--config=configs/camvid.py:slim"),
    "shapes": KnownDataSet("shapes.shapes_source", "--config=configs/shapes.py:demo"),
}
"""The data sets by name; a folder of one's own must have another name."""

FOLDER = KnownDataSet(
    "folder.folder_source", "--config=configs/own.py:slim --config.data.dataset={name}"
)
"""A folder with a `dataset.json`, whatever name it gives itself."""
