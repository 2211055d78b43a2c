"""A folder of one's own: every way to describe it, and what a wrong description says."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzz import JSON, cases, places, with_change
from support.shared_data import SHARED, needs_shared_data
from support.tiny_folder import BY_COLOR, BY_NUMBER, EXPECTED, write_folder

from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.camvid import camvid_source
from deeplab_tf.data.sources.folder import folder_source, is_validation
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import CAMVID, VOID


def ids_of(source):
    return {split: [pair.id for pair in pairs] for split, pairs in source.splits.items()}


@pytest.mark.parametrize(("masks", "description"), [("numbers", BY_NUMBER), ("colors", BY_COLOR)])
def test_values_and_colours_become_class_ids(tmp_path, masks, description):
    source = folder_source(write_folder(tmp_path, description, masks=masks))
    assert ids_of(source) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert source.classes.dataset == "streets" and source.classes.names == ("other", "road", "car")
    _, mask = read_pair(source.splits["train"][0])
    np.testing.assert_array_equal(mask, EXPECTED)


def test_two_values_of_one_class_are_merged_and_the_palette_is_taken(tmp_path):
    description = {
        **BY_NUMBER,
        "classes": ["other", "thing"],
        "labels": {"0": "other", "7": "thing", "9": "thing"},
        "palette": ["#000000", "#00ff80"],
    }
    source = folder_source(write_folder(tmp_path, description))
    np.testing.assert_array_equal(
        read_pair(source.splits["val"][0])[1], np.minimum(EXPECTED, 1) + 254 * (EXPECTED == 255)
    )
    assert source.classes.palette == ((0, 0, 0), (0, 255, 128))


def test_without_labels_the_values_are_the_places_of_the_classes(tmp_path):
    description = {k: v for k, v in BY_NUMBER.items() if k not in ("labels", "void")}
    source = folder_source(write_folder(tmp_path, description))
    with pytest.raises(DeeplabError, match=r"label 7 at pixel x=1, y=0; allowed are 0 to 2"):
        read_pair(source.splits["train"][0])


def test_folders_and_suffixes(tmp_path):
    splits = {"train": "Training", "val": "Validation"}
    description = {**BY_NUMBER, "mask_suffix": "_mask", "splits": splits}
    root = write_folder(tmp_path, description, suffix="_mask", below=("Training", "Validation"))
    source = folder_source(root)
    assert ids_of(source) == {"train": ["a", "b", "c"], "val": ["d"]}
    np.testing.assert_array_equal(read_pair(source.splits["val"][0])[1], EXPECTED)


def test_a_share_for_validation_depends_only_on_each_name(tmp_path):
    names = [f"{number:05d}" for number in range(20_000)]
    assert 0.19 < np.mean([is_validation(name, 0.2) for name in names]) < 0.21
    ids = "abcdefghijklmnop"
    description = {**BY_NUMBER, "splits": {"val_share": 0.3}}
    found = ids_of(folder_source(write_folder(tmp_path, description, ids=ids)))
    assert sorted(found["train"] + found["val"]) == list(ids)
    assert found["val"] == [name for name in ids if is_validation(name, 0.3)] != []


def test_missing_files_are_named_when_they_are_read_and_lone_masks_noted(tmp_path):
    root = write_folder(tmp_path, BY_NUMBER)
    (root / "masks" / "a.png").unlink()
    (root / "images" / "b.png").unlink()
    Image.new("L", (3, 2)).save(root / "masks" / "z.png")
    source = folder_source(root)
    with pytest.raises(DeeplabError, match=r"images/a\.png has no mask: .*masks/a\.png is missing"):
        read_pair(source.splits["train"][0])
    with pytest.raises(DeeplabError, match=r"image .*images/b\.jpg is missing"):
        read_pair(source.splits["train"][1])
    line, without, lone = source.notes
    assert line == f"{root}/train.txt, line 2: 'b.png' is no image; correct or remove the line"
    assert without.startswith(f"1 image has no mask (the first is {root}/images/a.png)")
    assert lone == f"1 mask belongs to no image of a split; the first is {root}/masks/z.png"


def test_a_test_split_needs_no_masks(tmp_path):
    root = write_folder(tmp_path, {**BY_NUMBER, "splits": {"train": "train.txt", "test": "t.txt"}})
    (root / "t.txt").write_text("d\n")
    (root / "masks" / "d.png").unlink()
    source = folder_source(root)
    assert source.splits["test"][0].mask is None
    assert (read_pair(source.splits["test"][0])[1] == VOID).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "voc"}, "name 'voc' belongs to another data set"),
        ({"name": "My Data"}, "name: String should match pattern"),
        ({"classes": ["one"]}, "classes: List should have at least 2"),
        ({"classes": ["a", "a", "road"]}, "classes must be different names"),
        ({"labels": {"0": "tree"}}, "labels has 'tree', which is not in classes"),
        ({"labels": {"0": "other", "#000000": "road"}}, "all be values or all be colours"),
        ({"labels": {"0": "other", "00": "road"}}, "0 has two meanings"),
        ({"labels": {"x": "road"}}, "'x' is neither a pixel value"),
        ({"void": [7]}, "7 has two meanings"),
        ({"palette": ["#000000"]}, "3 classes, 1 colours"),
        ({"clases": []}, "clases: Extra inputs are not permitted"),
        ({"splits": {"val_share": 2}}, "val_share"),
        ({"splits": {"train": "nowhere"}}, "split 'train' is 'nowhere', but there is no folder"),
        ({"splits": {"train": "nowhere.txt"}}, "nowhere.txt cannot be read"),
        ({"splits": {"all": "train.txt"}}, "'all' cannot be the name of a split"),
        ({"splits": {}}, "splits must name one split or more"),
        ({"labels": {"9-7": "road"}}, "'9-7' is neither a pixel value"),
        ({"labels": {"0-9": "other", "7-12": "road"}}, "7 has two meanings"),
        ({"labels": None, "layers": {"*_road": "tree"}}, "layers has 'tree', which is not in cl"),
        ({"layers": {"*_road": "road"}}, "layers and labels exclude each other"),
        ({"layers": {"*/road": "road"}}, "layers.*should match pattern"),
        ({"unlabelled": "void"}, "unlabelled: Input should be 'error', 'skip' or 'background'"),
        ({"images": "*/images"}, r"images and masks must both have one \*"),
        ({"images": "pictures"}, "pictures, which is no folder"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(tmp_path, change, message):
    root = write_folder(tmp_path, {**BY_NUMBER, **change})
    with pytest.raises(DeeplabError, match=message) as caught:
        folder_source(root)
    assert "\n" not in str(caught.value)


def test_no_description_says_how_to_write_one(tmp_path):
    with pytest.raises(DeeplabError, match=r"dataset\.json is missing; deeplab-prepare .* --init"):
        folder_source(write_folder(tmp_path, None))
    with pytest.raises(DeeplabError, match="deeplab-prepare --dataset=folder --source=DIR"):
        open_records(tmp_path, "streets")


LAYERED = {
    "name": "streets",
    "classes": ["other", "road"],
    "layers": {"*": "road"},
    "unlabelled": "skip",
    "images": "images/*",
    "masks": "masks/*",
    "splits": {"train": ".", "val": "."},
}


@pytest.mark.parametrize("description", [{**BY_NUMBER, "mask_prefix": ""}, LAYERED])
def test_a_broken_description_is_an_error_or_a_data_set(tmp_path, description):
    root = write_folder(tmp_path, description)
    everything = list(places(description))
    assert all(folder_source(root).splits.values())

    @cases(200)
    @given(where=st.sampled_from(everything), value=JSON, remove=st.booleans())
    def check(where, value, remove):
        changed = with_change(description, where, value, remove)
        (root / "dataset.json").write_text(json.dumps(changed))
        try:
            source = folder_source(root)
        except DeeplabError as error:
            assert "\n" not in str(error)
        else:
            assert all(source.splits.values())

    check()


@needs_shared_data
def test_camvid_as_a_folder_gives_the_records_of_camvid(tmp_path):
    root = tmp_path / "own"
    for split in ("train", "val"):
        for kind, folder in (("images", split), ("masks", f"{split}annot")):
            (root / kind / split).mkdir(parents=True)
            for file in sorted((SHARED / "camvid" / folder).iterdir())[:5]:
                (root / kind / split / file.name).symlink_to(file)
    description = {
        "name": "own",
        "classes": list(CAMVID.names),
        "void": [11],
        "splits": {"train": "train", "val": "val"},
    }
    (root / "dataset.json").write_text(json.dumps(description))
    theirs = camvid_source(SHARED / "camvid")
    theirs.splits = {name: pairs[:5] for name, pairs in theirs.splits.items()}
    ours, _ = write_records(folder_source(root), tmp_path / "data")
    expected, _ = write_records(theirs, tmp_path / "data")
    assert ours.pixels == expected.pixels and ours.classes.names == expected.classes.names
