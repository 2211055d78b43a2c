"""Public data sets: drawn truth in the publishers' files becomes equal records, or is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import broken, cases
from support.tiny_public import (
    numbers,
    save,
    save_image,
    write_ade20k,
    write_cityscapes,
    write_cityscapes_coarse,
    write_pascal_context,
    write_pascal_context_pngs,
)

from deeplab_tf.config import load_rows
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.read_pair import read_pair
from deeplab_tf.data.sources.ade20k import ADE20K, ade20k_source
from deeplab_tf.data.sources.cityscapes import (
    CITYSCAPES,
    LABELS,
    cityscapes_coarse_source,
    cityscapes_source,
)
from deeplab_tf.data.sources.pascal_context import NUMBERS, PASCAL_CONTEXT, pascal_context_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID

FORMS = {
    "cityscapes": (write_cityscapes, cityscapes_source),
    "cityscapes_coarse": (write_cityscapes_coarse, cityscapes_coarse_source),
    "ade20k": (write_ade20k, ade20k_source),
    "pascal_context": (write_pascal_context, pascal_context_source),
    "pascal_context_pngs": (write_pascal_context_pngs, pascal_context_source),
}


@pytest.mark.parametrize("form", FORMS)
def test_records_have_the_drawn_truth(form, tmp_path):
    write, read = FORMS[form]
    drawn = write(tmp_path / "source")
    records, _ = write_records(read(tmp_path / "source"), tmp_path / "data", workers=1)
    assert records.classes.dataset == form.removesuffix("_pngs")
    assert set(records.splits) == set(drawn)
    for split, truths in drawn.items():
        found = {name: mask for name, _, mask in labelled_images(records.split(split))}
        assert set(found) == set(truths)
        for name, labels in truths.items():
            np.testing.assert_array_equal(found[name], labels)


@pytest.mark.parametrize("form", FORMS)
def test_another_number_of_images_than_the_published_is_said(form, tmp_path):
    write, read = FORMS[form]
    write(tmp_path)
    notes = [note for note in read(tmp_path).notes if "publishes" in note]
    published = {
        "cityscapes": ["train: 3 images, where Cityscapes publishes 2,975", "val: 1 .* 500"],
        "cityscapes_coarse": ["train: 3 .* 2,975", "train_extra: 1 .* 19,998"],
        "ade20k": ["train: 2 images, where ADE20K publishes 20,210", "val: 1 .* 2,000"],
        "pascal_context": ["train: 2 .* 4,998", "val: 1 .* 5,105"],
    }[form.removesuffix("_pngs")]
    assert len(notes) == len(published)
    for note, words in zip(notes, published, strict=True):
        assert re.search(words, note)


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_mask_has_the_drawn_truth_or_is_named(form, tmp_path):
    """DEEPLAB_FUZZ_CASES=500 asks for more cases."""
    write, read = FORMS[form]
    drawn = write(tmp_path)
    pair = read(tmp_path).splits["train"][0]
    whole = pair.mask.path.read_bytes()

    @cases(12)
    @given(data=broken(whole))
    def check(data):
        pair.mask.path.write_bytes(data)
        try:
            _, found = read_pair(pair)
        except DeeplabError as error:
            assert str(pair.mask.path) in str(error) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(found, drawn["train"][pair.id])

    check()


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_lacks_files_is_read_without_them_or_refused_in_one_line(form, tmp_path):
    """Any files may be missing: what is read keeps its truth."""
    write, read = FORMS[form]
    drawn = write(tmp_path)
    files = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    @cases(12)
    @given(gone=st.sets(st.sampled_from(sorted(files)), max_size=len(files)))
    def check(gone):
        for file in gone:
            file.unlink()
        try:
            for split, pairs in read(tmp_path).splits.items():
                for pair in pairs:
                    np.testing.assert_array_equal(read_pair(pair)[1], drawn[split][pair.id])
        except DeeplabError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
        for file in gone:
            file.write_bytes(files[file])

    check()


def test_cityscapes_has_the_19_classes_of_the_benchmark():
    assert CITYSCAPES.num_classes == 19
    assert [*LABELS] == [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    assert CITYSCAPES.names[13] == "car" and CITYSCAPES.palette[13] == (0, 0, 142)


def test_cityscapes_ids_of_no_class_are_void_and_34_is_refused(tmp_path):
    write_cityscapes(tmp_path)
    pair = cityscapes_source(tmp_path).splits["train"][0]
    in_file = np.resize(np.arange(34, dtype=np.uint8), (12, 15))
    save(pair.mask.path, in_file)
    _, found = read_pair(pair)
    void = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]
    assert sorted(set(in_file[found == VOID])) == void
    save(pair.mask.path, np.full_like(in_file, 34))
    with pytest.raises(DeeplabError, match="has label 34"):
        read_pair(pair)


def test_the_test_set_of_cityscapes_needs_no_masks(tmp_path):
    write_cityscapes(tmp_path)
    save_image(tmp_path / "leftImg8bit/test/berlin/berlin_0_19_leftImg8bit.png", 0)
    (pair,) = cityscapes_source(tmp_path).splits["test"]
    assert (pair.id, pair.mask) == ("berlin_0_19", None)
    save(tmp_path / "gtFine/test/berlin/berlin_0_19_gtFine_labelIds.png", np.ones((12, 15), "u1"))
    (pair,) = cityscapes_source(tmp_path).splits["test"]
    assert set(read_pair(pair)[1].flat) == {VOID}


def test_lone_masks_are_said_and_hidden_files_are_passed_over(tmp_path):
    write_cityscapes(tmp_path)
    folder = tmp_path / "leftImg8bit/train/aachen"
    (folder / "._aachen_000009_000019_leftImg8bit.png").write_bytes(b"\0")
    (folder / "aachen_000001_000019_leftImg8bit.png").unlink()
    source = cityscapes_source(tmp_path)
    assert [pair.id for pair in source.splits["train"]] == [
        "aachen_000000_000019",
        "bochum_000000_000019",
    ]
    assert "1 masks below" in source.notes[0] and "aachen_000001" in source.notes[0]


def test_ade20k_has_150_classes_from_1_on():
    assert ADE20K.num_classes == 150 == len(set(ADE20K.names))
    assert ADE20K.names[::149] == ("wall", "flag")
    assert (ADE20K.names[69], ADE20K.names[119]) == ("bench", "ball")
    assert ADE20K.palette[0] == (120, 120, 120) and ADE20K.palette[149] == (92, 0, 255)


def test_pascal_context_has_59_classes_of_the_459():
    assert PASCAL_CONTEXT.num_classes == 59
    assert [*NUMBERS.values()] == sorted(NUMBERS.values()) and [*NUMBERS] == sorted(NUMBERS)
    assert (NUMBERS["aeroplane"], NUMBERS["person"], NUMBERS["wood"]) == (2, 284, 458)
    assert len(set(PASCAL_CONTEXT.palette)) == 59


def test_pascal_context_names_other_names_in_labels_txt(tmp_path):
    write_pascal_context(tmp_path)
    lines = {number: f"{number}: {name}" for name, number in NUMBERS.items()}
    lines[427] = "427: tv monitor"
    (tmp_path / "labels.txt").write_text("\r\n".join(lines.values()))
    assert not [note for note in pascal_context_source(tmp_path).notes if "labels.txt" in note]
    lines[23] = "23: bird"
    (tmp_path / "labels.txt").write_text("\n".join(lines.values()))
    assert "has other names than this reader: 23 'bird' instead of 'bicycle'" in "".join(
        pascal_context_source(tmp_path).notes
    )


def test_numbers_beyond_459_are_refused(tmp_path):
    write_pascal_context_pngs(tmp_path)
    pair = pascal_context_source(tmp_path).splits["train"][0]
    save(pair.mask.path, numbers(np.zeros((12, 15), int), [60], 0).astype(np.uint8))
    with pytest.raises(DeeplabError, match="has label 60 .* allowed are 1 to 59, and 0 for void"):
        read_pair(pair)


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_folder_is_named(form, tmp_path):
    with pytest.raises(DeeplabError, match=f"source folder {tmp_path} has no "):
        FORMS[form][1](tmp_path)


@pytest.mark.parametrize(
    ("file", "crop", "steps"),
    [
        ("cityscapes.py", 769, 90_000),
        ("ade20k.py", 513, 150_000),
        ("pascal_context.py", 513, 30_000),
    ],
)
def test_config_rows_have_the_authors_protocol(file, crop, steps):
    for row, experiment in load_rows(f"configs/{file}").items():
        assert experiment.data.dataset == file.removesuffix(".py")
        if row == "slim":
            continue
        assert (experiment.data.crop_size, experiment.train.steps) == (crop, steps)
        assert (experiment.train.batch_size, experiment.model.output_stride) == (16, 16)
