"""What `--init` sees in folders of every kind, and what it refuses to guess."""

import json

import numpy as np
import pytest
from PIL import Image
from support.tiny_folder import BY_COLOR, EXPECTED, NUMBERS, colored, write_folder

from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.sources.describe_folder import propose, write_description
from deeplab_tf.data.sources.draw_shapes import draw_example
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES


def never():
    raise AssertionError("nothing is to be asked")


def described(root, ask=never):
    proposal = write_description(root, ask, "own")
    return json.loads((root / "dataset.json").read_text()), proposal.seen


def test_numbers_with_255_as_void_and_the_lists_as_splits(tmp_path):
    fields, seen = described(write_folder(tmp_path, None))
    assert fields == {
        "name": "own",
        "classes": ["class_0", "class_7", "class_9"],
        "labels": {"0": "class_0", "7": "class_7", "9": "class_9"},
        "void": [255],
        "splits": {"train": "train.txt", "val": "lists/val.txt"},
    }
    lines = [line.split() for line in seen.splitlines()]
    assert "4 masks of numbers (grey); splits: train train.txt, val lists/val.txt" in seen
    assert ["0", "33.33%", "4", "class_0"] in lines and ["255", "16.67%", "4", "void"] in lines
    _, mask = read_pair(folder_source(tmp_path).splits["val"][0])
    np.testing.assert_array_equal(mask, EXPECTED)


def test_a_palette_becomes_the_classes_colours(tmp_path):
    write_folder(tmp_path, None)
    for path in (tmp_path / "masks").iterdir():
        picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
        picture.save(path)
    fields, seen = described(tmp_path)
    assert fields["classes"] == ["class_0", "class_1", "class_2"]
    assert fields["palette"] == ["#000000", "#ff0000", "#0000ff"]
    assert "labels" not in fields and "void" not in fields and "numbers (palette)" in seen


def test_colours_are_classes_the_most_frequent_first(tmp_path):
    fields, seen = described(write_folder(tmp_path, None, masks="colors"))
    assert fields["palette"] == ["#000000", "#804080", "#010203", "#ffffff"]
    assert fields["labels"]["#804080"] == "class_1" and "masks of colours" in seen
    _, mask = read_pair(folder_source(tmp_path).splits["train"][0])
    np.testing.assert_array_equal(mask, np.array([[0, 1, 1], [2, 3, 0]]))


def test_suffixes_folders_and_names_of_folders_are_found(tmp_path):
    write_folder(tmp_path, None, suffix="_L", below=("train", "val"))
    (tmp_path / "images").rename(tmp_path / "JPEGImages")
    (tmp_path / "masks").rename(tmp_path / "Labels")
    fields, _ = described(tmp_path)
    assert (fields["images"], fields["masks"]) == ("JPEGImages", "Labels")
    assert fields["mask_suffix"] == "_L"
    assert fields["splits"] == {"train": "train", "val": "val"}


def test_without_lists_or_folders_a_tenth_is_for_validation(tmp_path):
    write_folder(tmp_path, None, ids="abcdefghijklmnopqrstuvwxyz")
    (tmp_path / "train.txt").unlink()
    (tmp_path / "lists" / "val.txt").unlink()
    (tmp_path / "notes.txt").write_text("not a list\n")
    fields, _ = described(tmp_path)
    assert fields["splits"] == {"val_share": 0.1}


@pytest.mark.parametrize("kind", ["grey", "rgb"])
def test_only_0_and_255_are_asked_about(tmp_path, kind):
    write_folder(tmp_path, None)
    binary = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(binary).convert("L" if kind == "grey" else "RGB").save(path)
    with pytest.raises(DeeplabError, match="can be a class or void; give deeplab-prepare --init"):
        write_description(tmp_path, lambda: None, "own")
    with pytest.raises(DeeplabError, match="have only one class, .*, and a training needs two"):
        write_description(tmp_path, lambda: "void", "own")
    assert not (tmp_path / "dataset.json").exists()
    fields, _ = described(tmp_path, lambda: "class")
    assert fields["classes"] == ["background", "object"] and "void" not in fields
    _, mask = read_pair(folder_source(tmp_path).splits["val"][0])
    np.testing.assert_array_equal(mask, binary // 255)


def test_what_is_there_is_not_overwritten(tmp_path):
    write_folder(tmp_path, BY_COLOR, masks="colors")
    with pytest.raises(DeeplabError, match=r"dataset\.json exists already"):
        write_description(tmp_path, never, None)
    assert json.loads((tmp_path / "dataset.json").read_text()) == BY_COLOR


def drawn_in_colors(seed):
    return np.array(SHAPES.palette, np.uint8)[draw_example((0, 0, seed)).mask.clip(0, 5)]


def break_masks(root, kind):
    rng = np.random.default_rng(0)
    for number, path in enumerate(sorted((root / "masks").iterdir())):
        if kind == "jpeg":
            Image.fromarray(colored(NUMBERS)).save(path.with_suffix(".jpg"))
            path.unlink()
        elif kind == "photograph":
            pixels = rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        elif kind == "smoothed":
            picture = Image.fromarray(drawn_in_colors(number))
            picture.resize((300, 300), Image.Resampling.BILINEAR).save(path)
        elif kind == "mixed" and number == 1:
            Image.fromarray(colored(NUMBERS)).save(path)
        elif kind == "one value":
            Image.fromarray(NUMBERS * 0 + 3).save(path)
        elif kind == "other names":
            path.rename(path.with_name(f"other{number}.png"))
        elif kind == "none":
            path.unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("jpeg", "are JPEG files with .*: JPEG changes labels"),
        ("photograph", "is no map of classes but a photograph"),
        ("smoothed", "they were smoothed"),
        ("mixed", r"masks/b\.png with colours and .*masks/a\.png with numbers"),
        ("one value", "have 1 values or colours that could be classes"),
        ("other names", "no mask in .* has the name of an image"),
        ("none", "masks has no mask"),
    ],
)
def test_masks_that_cannot_be_described_are_refused(tmp_path, kind, message):
    write_folder(tmp_path, None)
    break_masks(tmp_path, kind)
    with pytest.raises(DeeplabError, match=message):
        propose(tmp_path, never, None)


def test_folders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DeeplabError, match="nowhere does not exist"):
        propose(tmp_path / "nowhere", never, None)
    with pytest.raises(DeeplabError, match="must have one folder of images, called images, image"):
        propose(tmp_path, never, None)
    write_folder(tmp_path, None)
    (tmp_path / "labels").mkdir()
    assert propose(tmp_path, never, None).description.masks == "masks"
    Image.new("L", (3, 2)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(DeeplabError, match="one folder of masks, .* found: labels, masks"):
        propose(tmp_path, never, None)


def test_the_name_is_made_of_the_folders(tmp_path):
    for folder, name in (("My Roofs-2", "my_roofs_2"), ("voc", "own_voc"), ("2024", "own_2024")):
        write_folder(tmp_path / folder, None)
        assert propose(tmp_path / folder, never, None).description.name == name


def test_colours_of_rare_classes_are_not_smoothing(tmp_path):
    write_folder(tmp_path, None)
    numbers = np.zeros((200, 200), np.uint8)
    numbers[0, :7] = range(7)
    palette = np.arange(256)[:, None] * np.array([7, 11, 13]) % 256
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(palette[numbers].astype(np.uint8)).save(path)
    assert len(described(tmp_path)[0]["classes"]) == 7
