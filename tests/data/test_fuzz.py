"""Broken files of every kind: the right labels, or an error that names the file; 1,232 cases."""

import io
import json
import shutil

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzz import JSON, broken, cases, places, with_change
from support.tiny_coco import PERSON, TRUCK, annotation, box, write_coco
from support.tiny_voc import write_voc

from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.read_pair import encode_examples
from deeplab_tf.data.records import naming_corrupt_file, open_records
from deeplab_tf.data.sources.coco import coco_source, coco_voc_source
from deeplab_tf.data.sources.masks import ColorMask, IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import stored_example, write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC, VOID

RNG = np.random.default_rng(0)
LABELS = RNG.choice(np.array([0, 1, 2, 3, 255], np.uint8), (9, 13))


def png(mode) -> bytes:
    """The bytes of `LABELS` as a PNG of that mode."""
    picture = Image.fromarray(LABELS)
    if mode == "P":
        picture.putpalette(VOC.flat_palette())
    if mode == "RGB":
        picture = Image.fromarray(np.stack([LABELS, LABELS, 255 - LABELS], axis=-1))
    if mode == "I;16":
        picture = Image.fromarray(LABELS.astype(np.uint16))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16"])
def test_a_broken_mask_has_its_own_labels_or_is_named(mode, tmp_path):
    """A PNG's checksums leave no room for other labels."""
    whole = png(mode)
    path = tmp_path / "mask.png"

    @cases(60)
    @given(data=broken(whole))
    def check(data):
        path.write_bytes(data)
        mask = IndexMask(path, plain_values(4, 255))
        if mode == "RGB":
            colors = {(n, n, 255 - n): VOID if n == 255 else n for n in (0, 1, 2, 3, 255)}
            mask = ColorMask(path, colors)
        try:
            found = mask.read()
        except DeeplabError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(found, LABELS)

    check()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA"])
def test_a_broken_mask_without_checksums_has_labels_or_is_named(kind, tmp_path):
    options = {"lossless": True} if kind == "WEBP" else {}
    buffer = io.BytesIO()
    frames = {"save_all": True, "append_images": [Image.fromarray(LABELS[:4, :4])]}
    picture = Image.fromarray(LABELS).convert("RGB" if kind == "WEBP" else "L")
    picture.save(buffer, kind, **options, **(frames if kind == "TIFF" else {}))
    whole = buffer.getvalue()
    path = tmp_path / f"mask.{kind.lower()}"
    path.write_bytes(whole)
    mask = IndexMask(path, plain_values(4, 255))
    np.testing.assert_array_equal(mask.read(), LABELS)

    @cases(60)
    @given(data=broken(whole, header=60))
    def check(data):
        path.write_bytes(data)
        try:
            found = mask.read()
        except DeeplabError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert found.ndim == 2 and np.isin(found, (0, 1, 2, 3, VOID)).all()

    check()


def test_a_broken_sbd_mask_has_labels_of_its_size_or_is_named(tmp_path):
    path = tmp_path / "mask.mat"
    scipy.io.savemat(path, {"GTcls": {"Segmentation": LABELS}}, do_compression=True)
    whole = path.read_bytes()

    @cases(60)
    @given(data=broken(whole))
    def check(data):
        path.write_bytes(data)
        try:
            found = IndexMask(path, plain_values(4, 255)).read()
        except DeeplabError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(found, LABELS)

    check()


@pytest.mark.parametrize("suffix", ["jpg", "png", "avif", "jp2"])
def test_a_broken_image_keeps_its_size_and_mask_or_is_named(suffix, tmp_path):
    """Whatever Pillow accepts, the records hold in a form that TensorFlow reads at that size."""
    image, mask = tmp_path / f"image.{suffix}", tmp_path / "mask.png"
    Image.fromarray(RNG.integers(0, 256, (*LABELS.shape, 3), dtype=np.uint8)).save(image)
    Image.fromarray(LABELS).save(mask)
    whole = image.read_bytes()
    pair = Pair("a", image, IndexMask(mask, plain_values(4, 255)))

    @cases(80)
    @given(data=broken(whole))
    def check(data):
        image.write_bytes(data)
        try:
            ((name, *encoded),) = encode_examples(pair)
            _, example = stored_example(name, *encoded)
        except DeeplabError as error:
            assert str(image) in str(error) and "\n" not in str(error)
        else:
            pixels = tf.io.decode_jpeg(example["image"], channels=3)
            assert tuple(pixels.shape) == (*LABELS.shape, 3)
            np.testing.assert_array_equal(tf.io.decode_png(example["mask"])[..., 0], LABELS)

    check()


@pytest.mark.parametrize("reader", [coco_source, coco_voc_source])
def test_broken_annotations_give_labels_of_the_classes_or_are_named(reader, tmp_path):
    rle = {"size": [60, 80], "counts": [100, 1500, 3200]}
    write_coco(tmp_path, annotation(PERSON, box(9, 5, 70, 35)), annotation(TRUCK, rle, crowd=1))
    file = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    everything = list(places(content))

    @cases(80)
    @given(where=st.sampled_from(everything), value=JSON, remove=st.booleans())
    def check(where, value, remove):
        changed = with_change(content, where, value, remove)
        file.write_text(json.dumps(changed))
        try:
            source = reader(tmp_path)
            report = examine(source)
            if report.errors:
                raise DeeplabError(report.errors[0])
        except DeeplabError as error:
            assert "\n" not in str(error)
        else:
            for pairs in source.splits.values():
                for pair in pairs:
                    allowed = [*range(source.classes.num_classes), VOID]
                    assert np.isin(pair.mask.read(), allowed).all()

    check()


def test_broken_record_files_give_every_example_or_are_named(tmp_path):
    data = tmp_path / "data"
    records, _ = write_records(voc_source(write_voc(tmp_path, train=["a", "b", "c"])), data)
    kept = tmp_path / "kept"
    shutil.copytree(data, kept)
    expected = [
        [part.tobytes() for part in map(np.asarray, example)]
        for example in evaluation_images(records.split("train")).as_numpy_iterator()
    ]
    files = sorted(path.relative_to(data) for path in records.folder.iterdir())

    @cases(80)
    @given(draw=st.data())
    def check(draw):
        file = draw.draw(st.sampled_from(files))
        (data / file).write_bytes(draw.draw(broken((kept / file).read_bytes())))
        try:
            split = open_records(data, "voc").split("train")
            with naming_corrupt_file(split):
                found = [
                    [part.tobytes() for part in map(np.asarray, example)]
                    for example in evaluation_images(split).as_numpy_iterator()
                ]
        except DeeplabError as error:
            assert str(data / "voc") in str(error) and "\n" not in str(error)
        else:
            assert found == expected
        finally:
            shutil.copy(kept / file, data / file)

    check()


def test_a_folder_of_broken_files_is_prepared_without_them(tmp_path):
    ids = [f"{number:02d}" for number in range(20)]
    folder = write_voc(tmp_path, train=ids)
    whole = {
        file: file.read_bytes()
        for kind in ("JPEGImages", "SegmentationClass")
        for file in (folder / kind).iterdir()
    }
    masks = {
        name: np.asarray(Image.open(folder / "SegmentationClass" / f"{name}.png")) for name in ids
    }

    @cases(12)
    @given(draw=st.data())
    def check(draw):
        for file in draw.draw(st.lists(st.sampled_from(sorted(whole)), max_size=12, unique=True)):
            file.write_bytes(draw.draw(broken(whole[file])))
        report = examine(voc_source(folder))
        records, _ = write_records(report.healthy(), tmp_path / "data")
        found = list(evaluation_images(records.split("train")).as_numpy_iterator())
        assert len(found) == len(ids) - len(report.errors)
        for name, _, mask in found:
            np.testing.assert_array_equal(mask, masks[name.decode()])
        for file, data in whole.items():
            file.write_bytes(data)

    check()
