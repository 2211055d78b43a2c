"""Folders as people have them: understood pixel by pixel, or refused with the way out."""

import codecs
import importlib.util
import io
import json
import unicodedata

import numpy as np
import pytest
from PIL import Image
from support.folder_cases import (
    assert_holds,
    draw_set,
    drawn,
    save,
    stored,
    write_set,
    write_splits,
)

from deeplab_tf.data.pipeline import evaluation_images
from deeplab_tf.data.sources.describe_folder import write_description
from deeplab_tf.data.sources.folder import folder_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError

COLORS = np.array([(0, 0, 0), (200, 60, 10), (20, 90, 240)], np.uint8)


def init(root, meaning=None, thresholds=()):
    """The description that --init writes, the text it prints, and the data set."""
    proposal = write_description(root, lambda: meaning, "own", thresholds)
    return json.loads((root / "dataset.json").read_text()), proposal.seen, folder_source(root)


def refused(root, message, meaning=None):
    with pytest.raises(DeeplabError, match=message) as caught:
        write_description(root, lambda: meaning, "own")
    assert "\n" not in str(caught.value)
    assert not (root / "dataset.json").exists()


def truth_of(drawings):
    return {name: each.truth for name, each in drawings.items()}


def assert_equals(source, drawings):
    """The records have every image, with the ids of the truth."""
    masks = stored(source)
    assert masks.keys() == drawings.keys()
    for name, each in drawings.items():
        np.testing.assert_array_equal(masks[name], each.truth)


def ids(source):
    return {split: [pair.id for pair in pairs] for split, pairs in source.splits.items()}


# Soft edges


def soft(truth):
    big = Image.fromarray((truth * 255).astype(np.uint8))
    return big.resize((22, 18), Image.Resampling.BILINEAR).resize(
        big.size, Image.Resampling.BILINEAR
    )


def jpeg(truth, quality=75):
    buffer = io.BytesIO()
    Image.fromarray((truth * 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def halved(truth):
    """Four pixels of a mask of twice the size become one of a mask of five levels."""
    large = np.kron(truth * 255, np.ones((2, 2))).astype(float)
    large = np.roll(large, 1, (0, 1))
    return large.reshape(truth.shape[0], 2, truth.shape[1], 2).mean((1, 3)).astype(np.uint8)


def best_jpeg(truth):
    return jpeg(truth, quality=100)


@pytest.mark.parametrize(
    "draw", [soft, jpeg, best_jpeg, halved, lambda truth: soft(truth).convert("RGB")]
)
def test_soft_grey_masks_are_refused_and_thresholds_read_them(tmp_path, draw):
    drawings = draw_set(classes=2)
    root = write_set(tmp_path, drawings, draw=draw)
    refused(
        root,
        r'only at outlines: .*--thresholds=128 to deeplab-prepare --init.*"128-255": "object"',
        "class",
    )
    fields, _, source = init(root, thresholds=[128])
    assert fields["labels"] == {"0-127": "background", "128-255": "object"}
    masks = stored(source)
    for name, each in drawings.items():
        expected = np.asarray(Image.fromarray(np.asarray(draw(each.truth))).convert("L")) >= 128
        np.testing.assert_array_equal(masks[name], expected)
        assert (masks[name] == each.truth).mean() > 0.9


def test_masks_saved_as_jpeg_are_refused_and_thresholds_read_them(tmp_path):
    drawings = draw_set(classes=3)
    root = write_set(
        tmp_path, drawings, mask="masks/{}.jpg", draw=lambda t: t * np.uint8(120), quality=95
    )
    refused(
        root,
        r"JPEG changes labels; .*--thresholds=(59|60|61),(179|180|181) to deeplab-prepare --init",
        "class",
    )
    with pytest.raises(DeeplabError, match="each class must have 32 values or more"):
        write_description(root, lambda: None, "own", [1, 180])
    _, _, source = init(root, thresholds=[60, 180])
    found = stored(source)
    agree = [(found[name] == each.truth).mean() for name, each in drawings.items()]
    assert min(agree) > 0.98
    fields = {"name": "own", "classes": ["a", "b", "c"], "splits": {"val_share": 0.1}}
    (root / "dataset.json").write_text(json.dumps(fields))
    with pytest.raises(DeeplabError, match="is a JPEG file, which changes labels"):
        stored(folder_source(root))


def test_smoothed_colours_are_refused_in_small_sets_too(tmp_path):
    def smooth(truth):
        picture = Image.fromarray(COLORS[truth])
        return picture.resize((22, 18), Image.Resampling.BILINEAR).resize(picture.size)

    refused(write_set(tmp_path, draw_set(4), draw=smooth), "smoothed .*with one colour a class")


def test_thin_and_small_classes_are_classes(tmp_path):
    """A line of one pixel between two areas, and ids of nearly every value, are no soft edges."""

    def lines(truth):
        lined = np.where(truth == 2, 7, truth)
        lined[:, 3] = np.where(truth[:, 3] == 0, 5, lined[:, 3])
        return lined.astype(np.uint8)

    fields, _, _ = init(write_set(tmp_path / "a", draw_set(), draw=lines))
    assert fields["classes"] == ["class_0", "class_1", "class_5", "class_7"]
    many = np.kron(np.arange(150).reshape(10, 15), np.ones((3, 3))).astype(np.uint8)
    for name in "abc":
        save(np.zeros((*many.shape, 3), np.uint8), tmp_path / f"b/images/{name}.png")
        save(many, tmp_path / f"b/masks/{name}.png")
    assert len(init(tmp_path / "b")[0]["classes"]) == 150


def test_class_numbers_that_were_smoothed_are_noted(tmp_path):
    def smooth(truth):
        return (
            Image.fromarray(truth).resize((33, 27), Image.Resampling.BILINEAR).resize((44, 36), 0)
        )

    for name, draw, noted in (("a", smooth, True), ("b", lambda truth: truth, False)):
        _, seen, _ = init(write_set(tmp_path / name, draw_set(), draw=draw))
        assert ("at outlines have a value between those of their neighbours" in seen) is noted


@pytest.mark.parametrize("levels", [(0, 127, 255), (0, 85, 170)])
def test_what_255_is_among_levels_is_asked(tmp_path, levels):
    drawings = draw_set()
    root = write_set(tmp_path, drawings, draw=lambda t: np.array(levels, np.uint8)[t])
    if 255 in levels:
        refused(
            root,
            "0, 127, 255, and 255 can be a class or void; give deeplab-prepare --init --meaning",
        )
    _, _, source = init(root, "class")
    assert_equals(source, drawings)


def test_a_set_of_0_and_255_that_was_merged_with_one_of_0_and_1_is_asked_about(tmp_path):
    drawings = draw_set(6, classes=2)
    root = write_set(tmp_path, drawings)
    save(drawings["img_003"].truth * np.uint8(255), root / "masks/img_003.png")
    refused(root, "0, 1, 255, and 255 can be a class or void")
    save(np.where(drawings["img_003"].truth, 1, 255).astype(np.uint8), root / "masks/img_003.png")
    assert init(root)[0]["void"] == [255]


# Several masks an image


@pytest.mark.parametrize("mask", ["masks/{}_%s.png", "masks/%s_{}.png", "masks/%s/{}.png"])
def test_one_mask_a_class_is_merged_with_the_smaller_class_on_top(tmp_path, mask):
    root, drawings = tmp_path, draw_set()
    for name, each in drawings.items():
        save(each.photo, root / f"images/{name}.png")
        under = each.truth > 0  # the road goes on under the car
        for word, pixels in (("road", under), ("car", each.truth == 2)):
            if pixels.any():
                save((pixels * 255).astype(np.uint8), root / (mask % word).format(name))
    fields, seen, source = init(root)
    assert fields["classes"] == ["background", "road", "car"]
    assert "one class each, a later one on top" in seen
    assert_equals(source, drawings)


def test_several_masks_that_are_no_classes_are_refused(tmp_path):
    drawings = draw_set(3)
    root = write_set(tmp_path / "a", drawings, mask="masks/{}_ids.png")
    write_set(root, drawings, mask="masks/{}_color.png", draw=lambda truth: COLORS[truth])
    refused(
        root, r"several masks .*\*_color \(3\), \*_ids \(3\).* has 3 values: save the masks without"
    )
    root = write_set(tmp_path / "b", drawings, mask="masks/{}_0.png", draw=lambda t: t // 2)
    write_set(root, drawings, mask="masks/{}_1.png", draw=lambda t: t // 2)
    refused(root, r"\*_0 names no class: merge the masks of an image into one file")
    root = write_set(tmp_path / "c", {"x1": drawn(1)}, mask="masks/{}_mask.png")
    write_set(root, {"x2": drawn(2)}, mask="masks/{}.png")
    refused(root, r"named in 2 ways: \* \(1\), \*_mask \(1\)")


@pytest.mark.parametrize("mask", ["mask_{}", "{}_mask", "{}-seg", "gt_{}_v2", "{}.jpg"])
def test_masks_have_a_prefix_and_a_suffix(tmp_path, mask):
    drawings = draw_set()
    _, _, source = init(write_set(tmp_path, drawings, mask=f"masks/{mask}.png"))
    assert_equals(source, drawings)


# Lists


def lists(root, encode, **names):
    for split, lines in names.items():
        (root / f"{split}.txt").write_bytes(encode("\r\n".join(lines) + "\r\n"))


@pytest.mark.parametrize(
    "line",
    [
        "{}", "{}.png", "images/{}.png", "./images/{}.PNG", "/data/cam/images/{}.png",
        "images\\{}.png", "images/{0}.png masks/{0}.png", "{0}.png\tmasks/{0}.png",
        "{0}.png,{0}.png", '"images/{}.png"',
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    ],
)
def test_lists_are_read_in_every_form(tmp_path, line, encode):
    drawings = draw_set(5)
    names = [*drawings]
    root = write_set(tmp_path, drawings)
    lists(
        root,
        encode,
        Training_list=[line.format(name) for name in names[:3]],
        valid=[line.format(name) for name in names[3:]],
    )
    fields, _, source = init(root)
    assert fields["splits"] == {"train": "Training_list.txt", "val": "valid.txt"}
    assert ids(source) == {"train": names[:3], "val": names[3:]}
    assert_equals(source, drawings)


@pytest.mark.parametrize("head", ["image,mask", "image_path;label_path", "filename"])
def test_tables_are_lists(tmp_path, head):
    drawings = draw_set(5)
    names = [*drawings]
    root = write_set(tmp_path, drawings)
    second = ",masks/{}.png" if "," in head else ";masks/{}.png" if ";" in head else ""
    for split, part in (("train", names[:3]), ("val", names[3:])):
        rows = [f"images/{name}.png{second.format(name)}" for name in part]
        (root / f"{split}.csv").write_text("\n".join([head, *rows]))
    (root / "test.csv").write_text("id,score\n1,0.5\n")  # a table about something else
    fields, _, source = init(root)
    assert fields["splits"] == {"train": "train.csv", "val": "val.csv"}
    assert ids(source) == {"train": names[:3], "val": names[3:]}


def test_a_list_may_name_masks_with_other_names(tmp_path):
    names = {"day one": "Ä 1", "day two": "b 2"}
    for number, (image, mask) in enumerate(names.items()):
        save(drawn(number).photo, tmp_path / f"images/{image}.png")
        save(drawn(number).truth, tmp_path / f"masks/{mask}.png")
    for split, (image, mask) in zip(("train", "val"), names.items(), strict=True):
        (tmp_path / f"{split}.txt").write_text(f"images/{image}.png masks/{mask}.png\n")
    _, _, source = init(tmp_path)
    assert_equals(source, {"day one": drawn(0), "day two": drawn(1)})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["img_003", "img_099"], r"val\.txt, line 2: 'img_099' is no image"),
        (["img_003 img_9"], r"val\.txt, line 1: 'img_9' is no mask"),
        (["a/b/c"], r"val\.txt, line 1: 'a/b/c' is no image"),
        ([], r"list .*val\.txt is empty"),
        (["img_003", "img_003"], r"val\.txt lists img_003 twice"),
    ],
)
def test_a_list_that_is_wrong_is_named_with_its_line(tmp_path, lines, message):
    root = write_set(tmp_path, draw_set(4))
    lists(root, str.encode, train=["img_000", "img_001"])
    (root / "val.txt").write_text("".join(f"{line}\n" for line in lines))
    refused(root, message)


def test_two_lists_of_a_split_must_be_equal(tmp_path):
    root = write_set(tmp_path, draw_set(4))
    lists(root, str.encode, train=["img_000"], val=["img_001"], validation=["img_002"])
    refused(root, r"val\.txt and validation\.txt are both lists of the split val and differ")


def test_images_of_no_list_are_counted(tmp_path):
    root = write_set(tmp_path, draw_set(4))
    lists(root, str.encode, train=["img_000"], val=["img_002"])
    _, seen, source = init(root)
    assert f"note: 2 images are in no split; the first is {root}/images/img_001.png" in seen
    assert source.notes[0].startswith("2 images are in no split")


def test_a_description_may_have_a_byte_order_mark(tmp_path):
    root = write_set(tmp_path, draw_set(4))
    fields, _, source = init(root)
    (root / "dataset.json").write_text(json.dumps(fields), encoding="utf-8-sig")
    assert ids(folder_source(root)) == ids(source)


# Folders of splits


@pytest.mark.parametrize(
    ("image", "mask", "train", "val"),
    [
        ("images/{split}/{name}.png", "annotations/{split}/{name}.png", "training", "validation"),
        ("Images/{split}/{name}.png", "GT/{split}/{name}.png", "Train", "VALID"),
        ("{split}/images/{name}.png", "{split}/masks/{name}.png", "train", "val"),
        ("{split}/Image/a/{name}.png", "{split}/Label/a/{name}.png", "Training", "Testing"),
        ("{split}_images/{name}.png", "{split}_masks/{name}.png", "train", "valid"),
        ("{split}/{name}.png", "{split}annot/{name}.png", "train", "val"),
        ("data/images_{split}/{name}.png", "data/labels_{split}/{name}_L.png", "train", "dev"),
    ],
)
def test_folders_of_splits_in_every_order_and_case(tmp_path, image, mask, train, val):
    written = write_splits(tmp_path, image, mask, {train: 4, val: 2})
    _, _, source = init(tmp_path)
    held_out = "test" if val == "Testing" else "val"
    found = {s: [n.rpartition("/")[2] for n in names] for s, names in ids(source).items()}
    assert found == {"train": [*written[train]], held_out: [*written[val]]}
    assert_equals(source, written[train] | written[val])


def test_case_may_differ_between_images_and_masks(tmp_path):
    written = write_splits(
        tmp_path, "images/{split}/{name}.png", "x/{split}/{name}.png", {"Train": 2}
    )
    written |= write_splits(
        tmp_path, "images/{split}/{name}b.png", "x/{split}/{name}b.png", {"Val": 1}
    )
    for folder in (tmp_path / "x").iterdir():
        folder.rename(folder.with_name(folder.name.lower()))
    (tmp_path / "x").rename(tmp_path / "masks")
    _, _, source = init(tmp_path)
    assert {split: len(names) for split, names in ids(source).items()} == {"train": 2, "val": 1}


def test_folders_of_splits_that_do_not_fit_are_refused(tmp_path):
    write_splits(tmp_path, "images/{split}/{name}.png", "masks/{split}/{name}.png", {"train": 2})
    save(drawn(9).photo, tmp_path / "images/val/z.png")
    refused(tmp_path, "images/val has no folder of masks beside it: .*masks/val is missing")
    save(drawn(9).truth, tmp_path / "masks/val/z.png")
    save(drawn(8).photo, tmp_path / "images/valid/y.png")
    save(drawn(8).truth, tmp_path / "masks/valid/y.png")
    refused(tmp_path, "val and valid are both the split val; merge or rename one")


def test_images_beside_the_folders_of_splits_are_counted(tmp_path):
    splits = {"train": 2, "val": 1}
    write_splits(tmp_path, "images/{split}/{name}.png", "masks/{split}/{name}.png", splits)
    save(drawn(9).photo, tmp_path / "images/z.png")
    _, seen, _ = init(tmp_path)
    assert f"note: 1 image is in no split; the first is {tmp_path}/images/z.png" in seen


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_few_images_have_one_for_validation_at_least(tmp_path, count):
    _, seen, source = init(write_set(tmp_path, draw_set(count)))
    train, val = ids(source)["train"], ids(source)["val"]
    assert train and val and len(train) + len(val) == count
    assert f"images: train {len(train)}, val {len(val)}" in seen


def test_one_image_is_refused_and_nothing_is_left_behind(tmp_path):
    refused(write_set(tmp_path, draw_set(1)), r"needs two images or more, .*\. Received: 1")


# Colours and palettes


def paletted(truth, colors):
    picture = Image.fromarray(truth)
    picture.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
    return picture


def test_palettes_that_change_places_are_read_by_colour(tmp_path):
    drawings = draw_set()
    root = write_set(tmp_path, drawings, draw=lambda t: paletted(t, COLORS))
    for name in ("img_001", "img_004"):
        swapped = np.array([2, 0, 1], np.uint8)[drawings[name].truth]
        save(paletted(swapped, COLORS[[1, 2, 0]]), root / f"masks/{name}.png")
    fields, _, source = init(root)
    assert set(fields["labels"]) == {"#000000", "#c83c0a", "#145af0"}
    assert_holds(source, truth_of(drawings))


def test_palettes_that_contradict_each_other_are_refused(tmp_path):
    drawings = draw_set(4)
    root = write_set(tmp_path, drawings, draw=lambda t: paletted(t, COLORS))
    save(paletted(drawings["img_002"].truth, COLORS[:, ::-1]), root / "masks/img_002.png")
    refused(root, "palettes .* contradict each other: 1 is #c83c0a in .*img_000.* and #0a3cc8 in")


def test_palette_files_among_colours_are_read_by_colour(tmp_path):
    drawings = draw_set()
    root = write_set(tmp_path, drawings, draw=lambda t: COLORS[t])
    for name in ("img_000", "img_003"):
        save(paletted(drawings[name].truth, COLORS), root / f"masks/{name}.png")
    assert_holds(init(root)[2], truth_of(drawings))


@pytest.mark.parametrize("channels", [3, 4])
def test_equal_channels_are_numbers(tmp_path, channels):
    def grey(truth):
        pixels = np.stack([truth] * channels, -1)
        pixels[..., 3:] = 255
        return pixels

    drawings = draw_set()
    fields, _, source = init(write_set(tmp_path, drawings, draw=grey))
    assert fields["classes"] == ["class_0", "class_1", "class_2"] and "labels" not in fields
    assert_equals(source, drawings)
    assert min(max(color) for color in source.classes.palette[1:]) >= 64


def test_numbers_in_one_channel_are_in_order_and_seen(tmp_path):
    drawings = draw_set()
    fields, _, source = init(
        write_set(tmp_path, drawings, draw=lambda t: np.stack([t, t * 0, t * 0], -1))
    )
    assert fields["labels"] == {"#000000": "class_0", "#010000": "class_1", "#020000": "class_2"}
    assert_equals(source, drawings)
    assert min(max(color) for color in source.classes.palette[1:]) >= 64


def test_transparent_and_black_are_two_classes(tmp_path):
    def see_through(truth):
        colors = np.array([(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 255)], np.uint8)
        return colors[truth]

    drawings = draw_set()
    fields, seen, source = init(write_set(tmp_path, drawings, draw=see_through))
    assert fields["classes"] == ["transparent", "class_1", "class_2"]
    assert '"transparent" is a class; move it to "void"' in seen
    assert_holds(source, truth_of(drawings))
    fields["void"] = ["transparent"]
    fields |= {"classes": ["hole", "car"], "palette": ["#000000", "#ff0000"]}
    fields["labels"] = {"#000000": "hole", "#ff0000": "car"}
    (tmp_path / "dataset.json").write_text(json.dumps(fields))
    expected = {n: np.array([255, 0, 1], np.uint8)[d.truth] for n, d in drawings.items()}
    for name, mask in stored(folder_source(tmp_path)).items():
        np.testing.assert_array_equal(mask, expected[name])


# Formats and names of files


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "bmp", "gif", "PNG", "pgm"])
def test_masks_in_every_format_that_keeps_pixels(tmp_path, suffix):
    drawings = draw_set()
    root = write_set(tmp_path, drawings, mask="masks/{}." + suffix)
    assert_equals(init(root)[2], drawings)


@pytest.mark.parametrize("mode", ["1", "I;16", "L", "P", "LA"])
def test_masks_of_every_mode(tmp_path, mode):
    classes = 2 if mode == "1" else 3

    def draw(truth):
        if mode == "I;16":
            return truth.astype(np.uint16) * 300
        if mode == "1":
            return truth.astype(bool)
        return paletted(truth, COLORS) if mode == "P" else Image.fromarray(truth).convert(mode)

    drawings = draw_set(classes=classes)
    assert_equals(init(write_set(tmp_path, drawings, draw=draw))[2], drawings)


@pytest.mark.parametrize("suffix", ["JPG", "jfif", "tif", "avif", "jp2", "webp", "bmp"])
def test_images_in_every_format_that_pillow_reads(tmp_path, suffix, monkeypatch):
    if suffix == "tif":  # an RGB TIFF needs no library of bands
        monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    drawings = draw_set(3)
    root = write_set(tmp_path, drawings, image="images/{}." + suffix)
    _, _, source = init(root)
    assert_equals(source, drawings)


@pytest.mark.skipif(
    importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed"
)
def test_heic_images_are_read(tmp_path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    drawings = draw_set(3)
    assert_equals(init(write_set(tmp_path, drawings, image="images/{}.heic"))[2], drawings)


def test_images_of_other_suffixes_are_counted_and_named(tmp_path):
    root = write_set(tmp_path, draw_set(4))
    for name in ("x.raw", "y.raw", "z.psd"):
        (root / "images" / name).write_bytes(b"no image")
    _, seen, source = init(root)
    line = f"passed over, not read as images: 2 .raw, 1 .psd (the first is {root}/images/x.raw)"
    assert f"note: {line}\n" in seen and line in source.notes


def test_hidden_files_and_folders_of_systems_do_not_count(tmp_path):
    drawings = draw_set(4)
    root = write_set(tmp_path, drawings)
    for path in (
        "images/._img_000.png", "masks/._img_000.png", "images/.ipynb_checkpoints/img_000.png",
        "masks/__MACOSX/img_000.png", "images/.DS_Store", "masks/.trash/img_001.png",
    ):  # fmt: skip
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"\0\5\x16\7")
    _, seen, source = init(root)
    assert_equals(source, drawings)
    assert "note" not in seen.replace("1 of the 4 images is for validation", "")


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path):
    drawings = draw_set(4)
    elsewhere = write_set(tmp_path / "disk", drawings)
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        (root / folder / "day").symlink_to(elsewhere / folder)
        (elsewhere / folder / "again").symlink_to(root / folder)
    assert_equals(init(root)[2], drawings)


def test_names_with_spaces_dots_accents_and_folders(tmp_path):
    names = ["a b", "c.d", unicodedata.normalize("NFC", "é"), "site 1/x", "site 2/x2"]
    drawings = dict(zip(names, map(drawn, range(5)), strict=True))
    root = tmp_path
    for name, each in drawings.items():
        save(each.photo, root / f"images/{unicodedata.normalize('NFD', name)}.png")
        save(each.truth, root / f"masks/{name}.png")
    assert_equals(init(root)[2], {n.rpartition("/")[2]: each for n, each in drawings.items()})


def test_two_images_of_one_name_are_refused(tmp_path):
    root = write_set(tmp_path, draw_set(3))
    save(drawn(0).photo, root / "images/img_000.jpg")
    refused(root, r"img_000\.jpg and .*img_000\.png must not differ only in the suffix")


# Images without a mask


@pytest.mark.parametrize("choice", ["background", "skip", "error"])
def test_images_without_a_mask_are_what_the_user_says(tmp_path, choice):
    drawings = draw_set()
    root = write_set(tmp_path, drawings)
    for name in ("img_002", "img_005", "img_007"):
        (root / f"masks/{name}.png").unlink()
    fields, seen, _ = init(root)
    assert "3 images have no mask (the first is" in seen and '"unlabelled" in dataset.json' in seen
    (root / "dataset.json").write_text(json.dumps({**fields, "unlabelled": choice}))
    source = folder_source(root)
    if choice == "error":
        with pytest.raises(
            DeeplabError, match='img_00.* has no mask: .*"unlabelled": "background"'
        ):
            stored(source)
        return
    masks = stored(source)
    assert len(masks) == (12 if choice == "background" else 9)
    if choice == "background":
        assert masks["img_005"].shape == drawings["img_005"].truth.shape
        assert (masks["img_005"] == 0).all()
    assert source.notes[0].startswith("3 images have no mask")


def test_the_records_are_the_truth(tmp_path):
    """One folder with much of this, through the files that a training reads."""
    written = write_splits(
        tmp_path / "set",
        "{split}/Images/{name}.BMP",
        "{split}/Labels/mask_{name}.TIF",
        {"Training": 4, "valid": 2},
    )
    _, _, source = init(tmp_path / "set")
    records, _ = write_records(source, tmp_path / "data")
    for split, part in zip(("train", "val"), written.values(), strict=True):
        examples = {
            name.numpy().decode(): (image, mask)
            for name, image, mask in evaluation_images(records.splits[split])
        }
        assert examples.keys() == part.keys()
        for name, (image, mask) in examples.items():
            np.testing.assert_array_equal(mask, part[name].truth)
            np.testing.assert_array_equal(image, part[name].photo)
