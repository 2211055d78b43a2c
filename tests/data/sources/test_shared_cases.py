"""The data sets in the forms that people have, which `shared/cases/make_cases.py` draws."""

import importlib.util
import re

import numpy as np
import pytest
from support.folder_cases import assert_holds, stored
from support.shared_data import SHARED

from deeplab_tf.data.sources.describe_folder import write_description
from deeplab_tf.data.sources.find_export import find_export
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.data.sources.known import DATA_SETS, TOOLS
from deeplab_tf.data.sources.labelled import Choices
from deeplab_tf.errors import DeeplabError

SCRIPT = SHARED.parent / "cases" / "make_cases.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason=f"{SCRIPT} is not there")

TWELVE = {"train": 10, "val": 2}
READ = {
    "per_class": TWELVE,
    "bom_list": {"train": 9, "val": 3},
    "training_validation": {"train": 8, "val": 3},
    "train_valid": {"train": 8, "val": 3},
    "split_first": {"train": 8, "val": 3},
    "few": {"train": 3, "val": 2},
    "two": {"train": 1, "val": 1},
    "palettes": TWELVE,
    "machine_rgb": TWELVE,
    "rgba": TWELVE,
    "upper_case": TWELVE,
    "hidden": TWELVE,
    "mask_tif": TWELVE,
    "mask_bmp": TWELVE,
    "photo_tif": TWELVE,
    "prefix_masks": TWELVE,
    "newer_formats": TWELVE,
}
"""The folders that `--init` understands, with the number of images by split."""
TOLD = {
    "soft_grey": (
        {"thresholds": [128]},
        r"only at outlines: .* add --thresholds=128 to deeplab-prepare --init",
    ),
    "stale_list": ({}, r"val\.txt, line 4: 'img_099' is no image"),
}
"""The folders that `--init` refuses, with the option that helps, if any, and the message."""
SEEN = {
    "coco_overlap": ("coco_json", {"train": 13, "val": 1}),
    "cvat": ("cvat", {"train": 26, "val": 4}),
    "roboflow": ("roboflow", {"train": 8, "val": 3, "test": 2}),
    "labelme": ("labelme", {"train": 10, "val": 2}),
}
"""The exports of tools, with the tool that is found and the number of images by split."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The script as a module, which has drawn all its cases into its folder `OUT`."""
    spec = importlib.util.spec_from_file_location("make_cases", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.OUT = tmp_path_factory.mktemp("cases")
    for draw in module.CASES.values():
        draw()
    return module


def truth(cases, images, first=0, **options):
    """Returns the masks that the script drew, by image, in the order of the sorted names."""
    return {name: cases.scene(n, **options)[1] for n, name in enumerate(sorted(images), first)}


def counts(source):
    return {split: len(pairs) for split, pairs in source.splits.items()}


def test_every_case_is_in_a_table_here(cases):
    others = {"negatives", "cityscapes"}
    assert {*READ, *TOLD, *SEEN, *others} == set(cases.CASES)


@pytest.mark.parametrize("case", READ)
def test_it_is_read_as_meant(cases, case):
    write_description(cases.OUT / case, lambda: None, None)
    source = folder_source(cases.OUT / case)
    assert counts(source) == READ[case]
    assert_holds(source, truth(cases, stored(source)))


@pytest.mark.parametrize("case", TOLD)
def test_it_is_refused_in_one_line_with_the_way_out(cases, case):
    options, message = TOLD[case]
    with pytest.raises(DeeplabError, match=message) as caught:
        write_description(cases.OUT / case, lambda: None, None)
    assert "\n" not in str(caught.value)
    assert not (cases.OUT / case / "dataset.json").exists()
    if options:
        write_description(cases.OUT / case, lambda: None, None, **options)
        masks = stored(folder_source(cases.OUT / case))
        for name, mask in truth(cases, masks, classes=2).items():
            assert (masks[name] == mask).mean() > 0.97


@pytest.mark.parametrize("answer", ["background", "skip"])
def test_images_without_a_mask_are_what_the_user_says(cases, answer):
    cases.negatives()
    root = cases.OUT / "negatives"
    write_description(root, lambda: None, None)
    source = folder_source(root)
    assert '"unlabelled" in dataset.json' in " ".join(source.notes)
    description = root / "dataset.json"
    text = re.sub(r"^\{", f'{{"unlabelled": "{answer}",', description.read_text())
    description.write_text(text)
    masks = stored(folder_source(root))
    without = {"img_002", "img_005", "img_007"}
    assert len(masks) == (12 if answer == "background" else 9)
    assert all(not masks[name].any() for name in without & masks.keys())


@pytest.mark.parametrize("case", SEEN)
def test_the_tool_is_found_and_its_classes_are_named(cases, case):
    tool, images = SEEN[case]
    root = cases.OUT / case
    found = find_export(root)
    assert found and found[0] == tool
    source = TOOLS[tool].read(root, Choices())
    assert counts(source) == images
    masks = stored(source)
    names = source.classes.names
    assert set(names) == {"background", "road", "car"}
    if case in ("cvat", "roboflow"):
        assert_holds(source, truth(cases, masks))
        return
    for name, mask in masks.items():
        x = {"coco_overlap": 10 + 4 * int(name[-3:]) % 50, "labelme": 10 + 3 * int(name[-3:])}[case]
        assert names[mask[52, x + 10]] == "car"  # on a road
        road = np.unique(mask[42:44, :90])
        assert [names[label] for label in road] == ["road"]
        assert 255 not in mask


def test_cityscapes_is_read_by_its_name(cases):
    source = DATA_SETS["cityscapes"].read(cases.OUT / "cityscapes")
    assert counts(source) == {"train": 10, "val": 3}
    assert_holds(source, truth(cases, stored(source)))
