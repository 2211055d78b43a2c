"""CamVid's folders become splits, and its void 11 becomes 255."""

import numpy as np
import pytest
from PIL import Image
from support.shared_data import SHARED, needs_shared_data

from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.sources.camvid import camvid_source
from deeplab_tf.errors import DeeplabError


def write_camvid(root, **splits):
    for split, names in splits.items():
        for folder, mode in ((root / split, "RGB"), (root / f"{split}annot", "L")):
            folder.mkdir(parents=True)
            for name in names:
                Image.new(mode, (4, 3), 7 if mode == "L" else (1, 2, 3)).save(folder / name)


def test_splits_of_the_folder_and_of_its_parent(tmp_path):
    write_camvid(tmp_path / "CamVid", train=["b.png", "a.png"], val=["c.png"], test=["d.png"])
    source = camvid_source(tmp_path)
    assert source.splits == camvid_source(tmp_path / "CamVid").splits
    assert {name: [pair.id for pair in pairs] for name, pairs in source.splits.items()} == {
        "train": ["a", "b"],
        "val": ["c"],
        "test": ["d"],
    }
    assert source.classes.num_classes == 11


def test_void_11_becomes_255_and_12_is_refused(tmp_path):
    write_camvid(tmp_path, train=["a.png"])
    mask = tmp_path / "trainannot" / "a.png"
    labels = np.array([[0, 10, 11, 1]] * 3, np.uint8)
    Image.fromarray(labels).save(mask)
    source = camvid_source(tmp_path)
    _, read = read_pair(source.splits["train"][0])
    assert read.tolist() == [[0, 10, 255, 1]] * 3
    labels[2, 1] = 12
    Image.fromarray(labels).save(mask)
    with pytest.raises(DeeplabError, match=r"a\.png has label 12 at pixel x=1, y=2; .* 0 to 10"):
        read_pair(source.splits["train"][0])


def test_lone_files_and_wrong_folders_are_named(tmp_path):
    with pytest.raises(DeeplabError, match="nowhere does not exist"):
        camvid_source(tmp_path / "nowhere")
    with pytest.raises(DeeplabError, match="has no train/ and trainannot/"):
        camvid_source(tmp_path)
    write_camvid(tmp_path, train=["a.png", "b.png"])
    (tmp_path / "trainannot" / "b.png").rename(tmp_path / "b.png")
    with pytest.raises(DeeplabError, match=r"image .*train/b\.png has no mask: .*annot/b\.png"):
        read_pair(camvid_source(tmp_path).splits["train"][1])
    (tmp_path / "b.png").rename(tmp_path / "trainannot" / "b.png")
    (tmp_path / "train" / "a.png").unlink()
    with pytest.raises(DeeplabError, match=r"mask .*trainannot/a\.png has no image"):
        camvid_source(tmp_path)


@needs_shared_data
def test_the_real_camvid():
    source = camvid_source(SHARED / "camvid")
    assert {name: len(pairs) for name, pairs in source.splits.items()} == {"train": 367, "val": 101}
    _, mask = read_pair(source.splits["val"][0])
    assert mask.shape == (360, 480) and set(np.unique(mask)) <= {*range(11), 255}
