import pathlib

import pytest
from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
from deeplab_tf.images.video import VIDEO_SUFFIXES
from deeplab_tf.prediction.inputs import find_images, passed_over_in, root_of, walk_images
from deeplab_tf.prediction.outputs import (
    MARK,
    check_outputs,
    common_outputs,
    image_outputs,
    video_outputs,
)


def test_find_images(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "deep/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_images(str(tmp_path))] == ["a.png", "b.JPG"]
    assert [path.name for path in find_images(f"{tmp_path}/**/*.jpg")] == ["c.jpg"]
    assert [path.name for path in find_images(f"{tmp_path}/b.JPG")] == ["b.JPG"]
    (tmp_path / "d.MP4").touch()
    both = find_images(str(tmp_path), IMAGE_SUFFIXES + VIDEO_SUFFIXES)
    assert [path.name for path in both] == ["a.png", "b.JPG", "d.MP4"]
    assert [path.name for path in find_images(str(tmp_path))] == ["a.png", "b.JPG"]
    with pytest.raises(DeeplabError, match="matches no image"):
        find_images(f"{tmp_path}/*.webp")


def test_files_that_are_passed_over_are_counted(tmp_path):
    for name in ("a.raw", "b.RAW", "c.mp4", ".d.raw", "e.jpg"):
        (tmp_path / name).touch()
    assert passed_over_in(str(tmp_path), IMAGE_SUFFIXES + VIDEO_SUFFIXES) == (
        f"passed over, not read as images: 2 .raw (the first is {tmp_path}/a.raw)"
    )
    assert passed_over_in(f"{tmp_path}/*") is passed_over_in(f"{tmp_path}/e.jpg") is None
    (tmp_path / "e.jpg").unlink()
    with pytest.raises(DeeplabError, match=r"matches no image; passed over, .*2 \.raw, 1 \.mp4"):
        find_images(str(tmp_path))


def test_the_root_of_a_pattern_is_what_is_before_its_wildcards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "1.jpg").touch()
    for images, root in (
        ("photos/a", "photos/a"),
        ("photos/a/1.jpg", "photos/a"),
        ("photos/*.jpg", "photos"),
        ("photos/**/*.jpg", "photos"),
        ("photos/[ab]/1.jpg", "photos"),
        ("*.jpg", "."),
        (f"{tmp_path}/*/a/?.jpg", str(tmp_path)),
    ):
        assert root_of(images) == pathlib.Path(root)
        assert all(file.is_relative_to(root) for file in walk_images(images))


def test_names_of_outputs(tmp_path):
    every = ("labels", "overlay", "probabilities", "confidence", "geojson", "labelme")
    found = image_outputs("a/b.photo", False, tmp_path, (*every, "areas", "coco"))
    assert [path.relative_to(tmp_path).as_posix() for path in found.values()] == [
        "a/b.photo.png",
        "a/b.photo_overlay.jpg",
        "a/b.photo_probabilities.npz",
        "a/b.photo_confidence.png",
        "a/b.photo.geojson",
        "a/b.photo.json",
    ]
    found = image_outputs("b", True, tmp_path, every)
    assert [path.name for path in found.values()] == [
        "b.tif",
        "b_overlay.jpg",
        "b_probabilities.tif",
        "b_confidence.tif",
        "b.geojson",
        "b.json",
    ]
    found = common_outputs(tmp_path, (*every, "areas", "coco"))
    assert [path.name for path in found.values()] == ["areas.csv", "coco.json"]
    found = video_outputs(tmp_path / "clip.mov", tmp_path, ("labels", "overlay", "areas"))
    assert [path.name for path in found.values()] == ["clip", "clip_overlay.mp4"]


def test_a_file_of_all_images_is_nobody_elses(tmp_path):
    with pytest.raises(DeeplabError, match=r"both be written to coco\.json"):
        check_outputs([tmp_path / "coco.jpg"], tmp_path / "out", ("labelme", "coco"))
    (tmp_path / "areas.csv").write_text("field,owner\n")
    with pytest.raises(DeeplabError, match=r"areas\.csv would be replaced"):
        check_outputs([tmp_path / "a.jpg"], tmp_path, ("areas",))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.jpeg", "a.png"), r"a\.jpeg and .*a\.png would both be written to a\.png"),
        (("a.mp4", "a.mov"), r"a\.mp4 and .*a\.mov would both be written to a"),
    ],
)
def test_two_files_of_one_output_are_refused(tmp_path, names, said):
    with pytest.raises(DeeplabError, match=said):
        check_outputs([tmp_path / name for name in names], tmp_path / "out")


def test_an_image_and_a_video_of_one_name_go_together(tmp_path):
    check_outputs([tmp_path / "a.jpg", tmp_path / "a.mp4"], tmp_path / "out")


def test_inputs_are_never_overwritten(tmp_path):
    for name in ("a.png", "b_overlay.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(DeeplabError, match=r"a\.png would be overwritten; give another --out"):
        check_outputs([tmp_path / "a.png"], tmp_path)
    with pytest.raises(DeeplabError, match=r"b_overlay\.mp4 would be overwritten"):
        check_outputs([tmp_path / "b.mp4", tmp_path / "b_overlay.mp4"], tmp_path)


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    Image.new("P", (4, 4)).save(tmp_path / "000001.png")
    (tmp_path / "out" / "clip").mkdir(parents=True)
    check_outputs([tmp_path / "clip.mp4"], tmp_path / "out")  # an empty one is
    (tmp_path / "out" / "clip" / "000001.png").touch()  # as ffmpeg cuts a video into frames
    with pytest.raises(DeeplabError, match="clip would be replaced"):
        check_outputs([tmp_path / "clip.mp4"], tmp_path / "out")
    (tmp_path / "out" / "clip" / MARK).touch()
    check_outputs([tmp_path / "clip.mp4"], tmp_path / "out")


def test_a_mask_beside_its_image_is_not_overwritten(tmp_path):
    check_outputs([tmp_path / "a.jpg"], tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(DeeplabError, match=r"a\.png would be overwritten; give another --out"):
        check_outputs([tmp_path / "a.jpg"], tmp_path)
    check_outputs([tmp_path / "a.jpg"], tmp_path / "out")
