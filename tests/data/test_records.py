"""Records: what goes in comes out, in the same order, and a broken build leaves nothing."""

import os
import pathlib
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from support.shared_data import SHARED, needs_shared_data
from support.tiny_voc import save_mask, write_voc

from deeplab_tf.data import records as records_module
from deeplab_tf.data.records import (
    find_corrupt_file,
    find_longest_side,
    open_records,
    parse_encoded,
    parse_record,
)
from deeplab_tf.data.sources.source import Source, fingerprint
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC
from deeplab_tf.training.choices.facts import image_sizes

IDS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def folder(tmp_path):
    return write_voc(tmp_path, train=IDS[:3], val=IDS[3:])


def examples(split):
    parsed = tf.data.TFRecordDataset(split.files).map(parse_record).as_numpy_iterator()
    return {example["id"].decode(): example for example in parsed}


def file_bytes(records):
    files = [file for split in records.splits.values() for file in split.files]
    return [pathlib.Path(file).read_bytes() for file in files]


def test_images_and_masks_come_out_as_pillow_reads_the_files(folder, tmp_path):
    records, written = write_records(voc_source(folder), tmp_path / "data")
    assert written and records.classes == VOC
    assert {name: split.num_examples for name, split in records.splits.items()} == {
        "train": 3,
        "val": 2,
    }
    for split, ids in (("train", IDS[:3]), ("val", IDS[3:])):
        found = examples(records.split(split))
        assert sorted(found) == ids
        for name, example in found.items():
            image = np.asarray(Image.open(folder / "JPEGImages" / f"{name}.jpg"))
            mask = np.asarray(Image.open(folder / "SegmentationClass" / f"{name}.png"))
            np.testing.assert_array_equal(example["image"], image)
            np.testing.assert_array_equal(example["mask"], mask)
            assert example["mask"].dtype == np.uint8


def test_records_hold_the_files_bytes_and_masks_of_one_channel(folder, tmp_path):
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    for serialized in tf.data.TFRecordDataset(records.split("train").files):
        encoded = parse_encoded(serialized)
        name = encoded["id"].numpy().decode()
        assert encoded["image"].numpy() == (folder / "JPEGImages" / f"{name}.jpg").read_bytes()
        assert tf.io.decode_image(encoded["mask"]).shape[-1] == 1


def test_pixels_are_counted_by_class_and_void(folder, tmp_path):
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    for split, ids in (("train", IDS[:3]), ("val", IDS[3:])):
        expected = np.zeros(256, int)
        for name in ids:
            mask = np.asarray(Image.open(folder / "SegmentationClass" / f"{name}.png"))
            for value in mask.ravel():
                expected[value] += 1
        assert records.pixels[split] == [*expected[:21], expected[255]]
    assert records.longest_side == max(
        max(Image.open(folder / "JPEGImages" / f"{name}.jpg").size) for name in IDS
    )


def test_sides_are_read_by_the_function_as_it_is_written(shapes_data, monkeypatch):
    callers = []

    def parse(serialized):
        callers.append(sys._getframe(1).f_code.co_filename)
        return parse_encoded(serialized)

    monkeypatch.setattr(records_module, "parse_encoded", parse)
    split = open_records(shapes_data, "shapes").split("train")
    sides = [max(example["mask"].shape) for example in examples(split).values()]
    callers.clear()
    assert find_longest_side(split) == max(sides)
    assert max(map(max, image_sizes(split, 1000))) == max(sides)
    # AutoGraph would call from a file of its own.
    assert callers == [records_module.__file__] * 2


def test_tfds_reads_the_folder_by_itself(folder, tmp_path):
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    builder = tfds.builder_from_directory(records.folder)
    assert builder.info.metadata["labels"]["names"] == list(VOC.names)
    ours = examples(records.split("val"))
    for example in builder.as_dataset(split="val").as_numpy_iterator():
        expected = ours[example["id"].decode()]
        np.testing.assert_array_equal(example["mask"][..., 0], expected["mask"])
        assert example["image"].shape == expected["image"].shape


def test_the_same_files_are_not_written_again_and_changed_ones_are(folder, tmp_path):
    data = tmp_path / "data"
    first, _ = write_records(voc_source(folder), data)
    before = os.stat(first.split("train").files[0])
    again, written = write_records(voc_source(folder), data)
    assert not written and again == first
    after = os.stat(first.split("train").files[0])
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    save_mask(folder, "a", np.asarray(Image.open(folder / "SegmentationClass" / "a.png")) * 0 + 5)
    changed, written = write_records(voc_source(folder), data)
    assert written and changed.fingerprint != first.fingerprint
    assert (examples(changed.split("train"))["a"]["mask"] == 5).all()
    assert os.listdir(data / "voc") == ["1.0.0"]


def test_a_jpeg_that_tensorflow_refuses_is_stored_as_pillow_reads_it(folder, tmp_path):
    """A stray marker among the pixels, over which it would stop in the middle of training."""
    image = folder / "JPEGImages" / "a.jpg"
    data = bytearray(image.read_bytes())
    # FF and an application segment's number, three quarters through the file.
    place = data.index(0xE1, len(data) * 3 // 4)
    data[place - 1] = 0xFF
    image.write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.io.decode_jpeg(bytes(data))
    pixels = np.asarray(Image.open(image))
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    np.testing.assert_array_equal(examples(records.split("train"))["a"]["image"], pixels)


def test_a_bad_file_stops_the_build_and_leaves_nothing(folder, tmp_path):
    image = folder / "JPEGImages" / "c.jpg"
    image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(DeeplabError, match=r"image .*c\.jpg cannot be read"):
        write_records(voc_source(folder), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_bad_file_leaves_what_was_prepared_before(folder, tmp_path):
    first, _ = write_records(voc_source(folder), tmp_path / "data")
    before = file_bytes(first)
    (folder / "SegmentationClass" / "b.png").write_bytes(b"")
    with pytest.raises(DeeplabError, match=r"mask .*b\.png cannot be read: it is empty"):
        write_records(voc_source(folder), tmp_path / "data")
    assert open_records(tmp_path / "data", "voc") == first and file_bytes(first) == before
    assert os.listdir(tmp_path / "data" / "voc") == ["1.0.0"]


def test_what_is_not_there_is_named_with_the_command_that_makes_it(folder, tmp_path):
    with pytest.raises(
        DeeplabError, match=r"nowhere does not exist; .*deeplab-prepare --dataset=v"
    ):
        open_records(tmp_path / "nowhere", "voc")
    write_records(voc_source(folder), tmp_path / "data")
    with pytest.raises(DeeplabError, match=r"'camvid' \(the folder has voc\); .*--dataset=camvid"):
        open_records(tmp_path / "data", "camvid")
    with pytest.raises(DeeplabError, match="no split 'test'; splits are train, val"):
        open_records(tmp_path / "data", "voc").split("test")
    (tmp_path / "file").write_text("")
    with pytest.raises(DeeplabError, match="file is a file; give a folder"):
        write_records(voc_source(folder), tmp_path / "file")


def test_a_flipped_byte_is_found(folder, tmp_path):
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    files = records.split("train").files + records.split("val").files
    assert find_corrupt_file(files) is None
    data = bytearray(pathlib.Path(files[1]).read_bytes())
    data[len(data) // 2] ^= 1
    pathlib.Path(files[1]).write_bytes(data)
    assert find_corrupt_file(files) == files[1]
    os.remove(files[0])
    assert find_corrupt_file(files) == files[0]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: os.truncate(f / "voc-val.tfrecord-00000-of-00001", 100), "val.* is corrupt"),
        (lambda f: os.remove(f / "voc-val.tfrecord-00000-of-00001"), "val.* is missing"),
        (lambda f: (f / "dataset_info.json").write_text("{"), r"1\.0\.0 is damaged"),
        (lambda f: (f / "metadata.json").write_text("{}"), r"1\.0\.0 is damaged"),
        (lambda f: (f / "features.json").unlink(), r"1\.0\.0 is damaged"),
    ],
)
def test_a_damaged_folder_is_refused_and_written_again(folder, tmp_path, break_it, message):
    records, _ = write_records(voc_source(folder), tmp_path / "data")
    break_it(records.folder)
    with pytest.raises(DeeplabError, match=f"{message}.*deeplab-prepare --dataset=voc"):
        open_records(tmp_path / "data", "voc")
    mended, written = write_records(voc_source(folder), tmp_path / "data")
    assert written and mended == records


def test_the_fingerprint_sees_ids_images_masks_and_splits(folder, tmp_path):
    source = voc_source(folder)

    def mark(splits):
        return fingerprint(Source(VOC, splits), 1)

    marks = {mark(source.splits), mark({"train": source.splits["train"]})}
    marks.add(mark({"train": source.splits["train"][::-1], "val": source.splits["val"]}))
    image = folder / "JPEGImages" / "a.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    marks.add(mark(source.splits))
    assert len(marks) == 4
    assert write_records(source, tmp_path / "data")[0].fingerprint == mark(source.splits)


@needs_shared_data
def test_real_voc_images_come_out_as_pillow_reads_them(tmp_path):
    source = voc_source(SHARED / "VOCdevkit")
    pairs = source.splits["dev_val"][:12]
    begun = time.monotonic()
    records, _ = write_records(Source(VOC, {"val": pairs}), tmp_path / "data")
    assert time.monotonic() - begun < 20
    found = examples(records.split("val"))
    for pair in pairs:
        image = np.asarray(Image.open(pair.image).convert("RGB"))
        np.testing.assert_array_equal(found[pair.id]["image"], image)
        np.testing.assert_array_equal(
            found[pair.id]["mask"], np.asarray(Image.open(pair.mask.path))
        )
