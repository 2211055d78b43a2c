"""Records of a few drawn images, for processes that are no tests."""

import pathlib


def draw(root: pathlib.Path) -> int:
    """Writes 12 training and 4 validation images to `root/data`; returns an exit code."""
    from deeplab_tf.data.sources.shapes import write_shapes_devkit
    from deeplab_tf.data.sources.voc import voc_source
    from deeplab_tf.data.write_records import write_records
    from deeplab_tf.images.classes import SHAPES

    write_shapes_devkit(root / "VOCdevkit", train=12, val=4, seed=0)
    write_records(voc_source(root / "VOCdevkit", classes=SHAPES), root / "data")
    return 0
