"""Kaggle's run lengths: down the columns, counted from 1, with the classes of its competitions."""

import numpy as np
import pytest
from support.tool_exports import HEIGHT, boxed, column_runs, one_image, only_mask, write

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.rle_csv import rle_csv_source
from deeplab_tf.errors import DeeplabError

CAR = column_runs(boxed((1, 10, 5, 30, 15)) > 0)


def export(root, *rows):
    one_image(root, "train/a.png")
    write(root / "train.csv", "\n".join(rows) + "\n")
    return root


def test_runs_go_down_the_columns_from_pixel_1(tmp_path):
    runs = f"1 3 {HEIGHT + 2} 1"
    mask, source = only_mask("rle_csv", export(tmp_path, "ImageId,EncodedPixels", f"a.png,{runs}"))
    assert source.classes.names == ("background", "object")
    np.testing.assert_array_equal(np.argwhere(mask), [[0, 0], [1, 0], [1, 1], [2, 0]])


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (["ImageId,EncodedPixels,ClassId", f"a.png,{CAR},4"], ("class_4",)),
        (["ImageId_ClassId,EncodedPixels", f"a.png_4,{CAR}", "a.png_10,"], ("class_4",)),
        (["Image_Label,EncodedPixels", f"a.png_Fish,{CAR}", "a.png_Sugar,"], ("Fish",)),
        (["EncodedPixels , ImageId", f"{CAR},a"], ("object",)),
    ],
)
def test_classes_of_the_competitions(tmp_path, rows, names):
    mask, source = only_mask("rle_csv", export(tmp_path, *rows))
    assert source.classes.names[1:] == names
    np.testing.assert_array_equal(mask, boxed((1, 10, 5, 30, 15)))


def test_rows_without_runs_are_background(tmp_path):
    root = export(tmp_path, "ImageId,EncodedPixels", f"a.png,{CAR}", "b.png,", "c.png,-1")
    for name in ("b", "c", "d"):
        one_image(root, f"train/{name}.png")
    source = rle_csv_source(root, Choices())
    assert sum(map(len, source.splits.values())) == 3
    assert [note.split(";")[0] for note in source.notes][:2] == [
        "1 images are not in the CSV and were left out",
        "2 images have no region and are background everywhere (--unlabelled=skip leaves them out)",
    ]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("1 2 3", "run lengths must be pairs"),
        ("1 x", "run lengths must be pairs"),
        ("0 5", "a run from pixel 0 of 5 pixels ends outside the image of 60x40"),
        ("2399 3", "a run from pixel 2399 of 3 pixels ends outside the image"),
    ],
)
def test_wrong_runs_are_named(tmp_path, runs, message):
    with pytest.raises(DeeplabError, match=f"mask of image a.png in .* cannot be .*{message}"):
        only_mask("rle_csv", export(tmp_path, "ImageId,EncodedPixels", f"a.png,{runs}"))


def test_other_tables_are_refused(tmp_path):
    root = export(tmp_path, "Name,EncodedPixels", f"a.png,{CAR}")
    with pytest.raises(DeeplabError, match="train.csv, line 2: there is no image"):
        only_mask("rle_csv", root)
    write(root / "again.csv", "ImageId,EncodedPixels\n")
    with pytest.raises(DeeplabError, match="must have one CSV .* again.csv and train.csv"):
        only_mask("rle_csv", root)


def test_a_missing_image_is_named(tmp_path):
    root = export(tmp_path, "ImageId,EncodedPixels", f"gone.png,{CAR}")
    with pytest.raises(DeeplabError, match="gone.png is missing; add the file"):
        only_mask("rle_csv", root)
