"""The data sets and labelling tools that `deeplab-prepare` knows by name, and who reads each.

Tested in tests/cli/test_prepare.py, through `deeplab-prepare`.
"""

import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deeplab_tf.errors import DeeplabError


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
        return _function(self.reader)(folder)


@dataclasses.dataclass(frozen=True)
class Tool:
    """A labelling tool, or a form in which several tools export.

    Attributes:
        title: what the tool calls its export.
        module: the module in `deeplab_tf.data.sources`, imported on use. Its `MODULE_source` reads
            an export with the user's `Choices`, and its `seen_MODULE` returns the name of the file
            that shows such an export in a folder, or None.
        masks: whether the export has mask files, and so could be taken for a folder of one's own.
    """

    title: str
    module: str
    masks: bool = False

    def read(self, folder: Path, choices: Any) -> Any:
        """Returns the `Source` in `folder`; raises `DeeplabError` where it is no such export."""
        if not folder.is_dir():
            raise DeeplabError(f"source folder {folder} does not exist; give the unpacked export")
        wrong = "--class_attribute" if choices.class_attribute and self.module != "via" else None
        if self.masks and choices.on_top:
            wrong = "--on_top"
        if self.masks and choices.unlabelled == "skip":
            wrong = "--unlabelled"
        if wrong:
            raise DeeplabError(f"{wrong} has no meaning for {self.title}; leave the flag out")
        return _function(f"{self.module}.{self.module}_source")(folder, choices)

    def seen(self, folder: Path) -> str | None:
        """Returns the name of the file that shows such an export in `folder`, or None."""
        return _function(f"{self.module}.seen_{self.module}")(folder)


def _function(path: str) -> Callable[..., Any]:
    """Returns the function at `module.function` in `deeplab_tf.data.sources`."""
    module, name = path.split(".")
    return getattr(importlib.import_module(f"deeplab_tf.data.sources.{module}"), name)


DATA_SETS = {
    "voc": KnownDataSet("voc.voc_source", "--config=configs/voc.py:resnet101"),
    "voc_aug": KnownDataSet(
        "voc_aug.voc_aug_source", "--config=configs/paper/table5.py:mg124_aspp_pool"
    ),
    "coco_voc": KnownDataSet("coco.coco_voc_source", "--config=configs/paper/coco.py:pretraining"),
    "coco": KnownDataSet(
        "coco.coco_source",
        "--config=configs/own.py:resnet50 --config.init_from=imagenet-resnet50 "
        "--config.data.dataset=coco",
    ),
    "camvid": KnownDataSet("camvid.camvid_source", "--config=configs/camvid.py:slim"),
    "cityscapes": KnownDataSet(
        "cityscapes.cityscapes_source", "--config=configs/cityscapes.py:resnet101"
    ),
    "cityscapes_coarse": KnownDataSet(
        "cityscapes.cityscapes_coarse_source",
        "--config=configs/cityscapes.py:resnet101 --config.data.dataset=cityscapes_coarse",
    ),
    "ade20k": KnownDataSet("ade20k.ade20k_source", "--config=configs/ade20k.py:resnet101"),
    "pascal_context": KnownDataSet(
        "pascal_context.pascal_context_source", "--config=configs/pascal_context.py:resnet101"
    ),
    "shapes": KnownDataSet("shapes.shapes_source", "--config=configs/shapes.py:demo"),
}
"""The data sets by name; a folder of one's own must have another name."""

FOLDER = KnownDataSet(
    "folder.folder_source",
    "--config=configs/own.py:mobilenet_v2 --config.init_from=imagenet-mobilenet-v2 "
    "--config.data.dataset={name}",
)
"""A folder with a `dataset.json`, whatever name it gives itself."""
FROM_SCRATCH = "--config=configs/own.py:slim --config.data.dataset={name}"
"""The example of a folder with other bands than RGB, for which no published weights are."""

TOOLS = {
    "cvat": Tool("CVAT's Segmentation mask 1.1", "cvat_masks", masks=True),
    "cvat_xml": Tool("CVAT for images 1.1", "cvat_xml"),
    "roboflow": Tool("Roboflow's Semantic Segmentation Masks", "roboflow", masks=True),
    "labelme": Tool("Labelme's JSON", "labelme"),
    "via": Tool("the VGG Image Annotator", "via"),
    "label_studio": Tool("Label Studio's JSON", "label_studio"),
    "supervisely": Tool("a Supervisely project", "supervisely"),
    "yolo": Tool("YOLO's segmentation text", "yolo"),
    "coco_json": Tool("a COCO JSON", "coco_json"),
    "rle_csv": Tool("a CSV of run lengths", "rle_csv"),
}
"""By name; the data set in such an export is named by the user, so these names stay free."""


def data_set_name(root: Path) -> str:
    """Returns a name for the data set in a folder, made of the folder's name."""
    name = re.sub(r"[^a-z0-9]+", "_", root.resolve().name.lower()).strip("_")
    if not re.match("[a-z]", name) or name in DATA_SETS:
        name = f"own_{name}".rstrip("_")
    return name[:64]
