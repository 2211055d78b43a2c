"""Records of a few drawn images, for processes that are no tests."""

import os
import pathlib


def draw(root: pathlib.Path) -> pathlib.Path:
    """Writes 12 training and 4 validation images to `root/data`, which is returned.

    A fork does it, so that this process may be forked afterwards: it has not used TensorFlow.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(_draw(root))
    assert os.waitpid(pid, 0)[1] == 0
    return root / "data"


def _draw(root: pathlib.Path) -> int:
    from deeplab_tf.data.sources.shapes import write_shapes_devkit
    from deeplab_tf.data.sources.voc import voc_source
    from deeplab_tf.data.write_records import write_records
    from deeplab_tf.images.classes import SHAPES

    write_shapes_devkit(root / "VOCdevkit", train=12, val=4, seed=0)
    write_records(voc_source(root / "VOCdevkit", classes=SHAPES), root / "data")
    return 0
