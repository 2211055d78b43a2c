"""Huge images in tiles: put together again they are the image, read once, in bounded memory."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.commands import call

from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.data.sources.source import fingerprint
from deeplab_tf.data.tiles import Tiling, cut
from deeplab_tf.data.write_records import write_records


@settings(max_examples=200, deadline=None, derandomize=True)
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40), draw=st.data())
def test_tiles_cover_every_pixel_and_share_the_overlap(height, width, size, draw):
    overlap = draw.draw(st.integers(0, size - 1))
    image = np.arange(height * width * 3).reshape(height, width, 3)
    mask = np.arange(height * width).reshape(height, width)
    seen = np.full((height, width), -1)
    tops = set()
    for name, part, cut_mask in cut("a", image, mask, Tiling(size, overlap)):
        assert part.shape[:2] == cut_mask.shape == (min(height, size), min(width, size))
        np.testing.assert_array_equal(part[..., 0], 3 * cut_mask)
        top, left = divmod(int(cut_mask[0, 0]), width)
        assert name == "a" if cut_mask.shape == mask.shape else f"a_y{top:05d}_x{left:05d}"
        seen[top : top + cut_mask.shape[0], left : left + cut_mask.shape[1]] = cut_mask
        tops.add(top)
    np.testing.assert_array_equal(seen, mask)
    starts = sorted(tops)
    assert all(b - a <= size - overlap for a, b in itertools.pairwise(starts))


def test_an_overlap_of_the_whole_tile_is_refused():
    with pytest.raises(ValueError, match="less than the tile's size of 8. Received: 8"):
        Tiling(8, 8)


def write_wide(root, width, height):
    """One image for training and one for validation, of stripes that show their column."""
    fields = {
        "name": "wide",
        "classes": ["even", "odd"],
        "splits": {"train": "train", "val": "val"},
    }
    columns = np.arange(width)
    for split, shift in (("train", 0), ("val", 1)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        row = np.stack([columns % 251, columns // 251, columns * 0 + shift], -1).astype(np.uint8)
        Image.fromarray(np.broadcast_to(row, (height, width, 3)).copy()).save(
            root / "images" / split / f"{split}.png", compress_level=1
        )
        mask = np.broadcast_to((columns + shift) % 2, (height, width)).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / split / f"{split}.png", compress_level=1)
    (root / "dataset.json").write_text(json.dumps(fields))
    return root


def test_tiles_are_examples_and_part_of_the_fingerprint(tmp_path):
    source = folder_source(write_wide(tmp_path / "wide", 100, 40))
    whole = fingerprint(source, 1)
    source.tiling = Tiling(32, 8)
    assert fingerprint(source, 1) != whole
    records, _ = write_records(examine(source).healthy(), tmp_path / "data")
    assert records.split("val").num_examples == 2 * 4
    assert records.longest_side == 0  # a model of tiles shrinks no image
    for name, image, mask in evaluation_images(records.split("train")).as_numpy_iterator():
        left = int(name.decode().rpartition("_x")[2])
        assert image.shape == (32, 32, 3) and image[0, 0, 0] == left % 251
        np.testing.assert_array_equal(mask[0], (left + np.arange(32)) % 2)


def test_an_image_16000_pixels_wide_is_cut_by_the_command(tmp_path):
    root = write_wide(tmp_path / "wide", 16_000, 600)
    arguments = ["--dataset=folder", f"--source={root}", f"--data_dir={tmp_path / 'data'}"]
    done = call("prepare", *arguments, "--tile=512", "--tile_overlap=64")
    assert (done.returncode, done.stderr) == (0, "")
    split = open_records(tmp_path / "data", "wide").split("val")
    assert split.num_examples == 36 * 2  # 15,488 more columns by steps of 448, and the border
    seen = np.zeros((600, 16_000), bool)
    for name, image, mask in evaluation_images(split).as_numpy_iterator():
        top, left = (int(part[1:]) for part in name.decode().split("_")[1:])
        columns = left + np.arange(512)
        np.testing.assert_array_equal(image[7, :, 0], columns % 251)
        np.testing.assert_array_equal(image[7, :, 1], columns // 251)
        np.testing.assert_array_equal(mask, np.broadcast_to((columns + 1) % 2, mask.shape))
        seen[top : top + 512, left : left + 512] = True
    assert seen.all()
    wrong = call("prepare", *arguments, "--tile=64", "--tile_overlap=64")
    assert wrong.returncode == 2 and "--tile_overlap must be less than --tile" in wrong.stderr


def test_more_pixels_than_pillow_reads_are_read_only_in_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    source = folder_source(write_wide(tmp_path / "wide", 30, 20))
    assert all("by deeplab-prepare --tile" in error for error in examine(source).errors)
    assert len(examine(source).errors) == 2
    source.tiling = Tiling(16)
    assert examine(source).errors == []
