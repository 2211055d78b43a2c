"""What all exports share: names, classes, splits, and images that are looked for by name."""

import pytest
from support.tool_exports import one_image

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, visible_files
from deeplab_tf.data.sources.labelled import find_splits, number_classes
from deeplab_tf.data.sources.source import Pair
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID, voc_palette


def pairs(folder, count):
    return [Pair(f"{folder}_{number:03d}", folder, None) for number in range(count)]


def numbered(root, names, **choices):
    return number_classes(root, names, Choices(**choices))


def test_the_background_comes_first_whatever_its_place_and_spelling(tmp_path):
    classes, labels = numbered(tmp_path, dict.fromkeys(["road", "Background", "car"]))
    assert classes.names == ("background", "road", "car")
    assert labels == {"background": 0, "Background": 0, "road": 1, "car": 2}
    assert classes.palette == voc_palette(3)


def test_colours_are_the_tools_where_they_differ(tmp_path):
    red, blue = (255, 0, 0), (0, 0, 255)
    classes, _ = numbered(tmp_path, {"road": red, "car": blue})
    assert classes.palette == ((0, 0, 0), red, blue)
    for colors in ({"road": red, "car": red}, {"road": red, "car": None}, {"road": (0, 0, 0)}):
        classes, _ = numbered(tmp_path, colors)
        assert classes.palette == voc_palette(len(colors) + 1)


def test_void_is_no_class(tmp_path):
    names, choices = dict.fromkeys(["a", "b", "c"]), Choices(void=("a",))
    classes, labels = number_classes(tmp_path, names, choices, void=["b"])
    assert classes.names == ("background", "c")
    assert labels == {"a": VOID, "b": VOID, "background": 0, "c": 1}


@pytest.mark.parametrize(
    ("names", "choices", "message"),
    [
        (["a"], {"name": "voc"}, "--name must be small letters, .* Received: 'voc'"),
        (["a"], {"name": "My Set"}, "--name must be small letters"),
        (["a"], {"void": ("a",)}, "has 0 classes besides background"),
        (["a", ""], {}, "a class of .* has no name"),
        ([str(number) for number in range(255)], {}, "has 255 classes besides background"),
    ],
)
def test_wrong_classes_are_named(tmp_path, names, choices, message):
    with pytest.raises(DeeplabError, match=message):
        numbered(tmp_path, dict.fromkeys(names), **choices)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({None: 1}, {"train": 1}),
        ({None: 2}, {"train": 1, "val": 1}),
        ({"default": 100}, {"train": 88, "val": 12}),
        ({"a": 50, "b": 50}, {"train": 90, "val": 10}),
        ({"Training": 3, "valid": 2, "testing": 1}, {"train": 3, "val": 2, "test": 1}),
        ({"train": 100, "test": 4}, {"train": 93, "val": 7, "test": 4}),
        ({"train": 3, "val": 2, "extra": 1}, {"train": 3, "val": 2, "extra": 1}),
        ({"test": 3}, {"test": 3}),
    ],
)
def test_splits(given, expected):
    splits, notes = find_splits({name: pairs(name, count) for name, count in given.items()})
    assert {name: len(found) for name, found in splits.items()} == expected
    assert bool(notes) == ("val" in expected and not {"val", "valid"} & given.keys())
    again, _ = find_splits({name: pairs(name, count) for name, count in given.items()})
    assert again == splits


def test_an_image_stays_in_its_split_when_others_come():
    few, _ = find_splits({None: pairs("a", 60)})
    more, _ = find_splits({None: pairs("a", 90)})
    held = {pair.id for pair in few["val"]}
    assert held == {pair.id for pair in more["val"] if pair.id < "a_060"}


def test_hidden_files_do_not_count_and_links_are_followed_once(tmp_path):
    for name in ("a.png", "._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "b/c.PNG"):
        one_image(tmp_path / "set", name)
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "other").symlink_to(tmp_path / "set" / "b")
    names = [path.name for path in visible_files(tmp_path / "set", (".png",))]
    assert names == ["a.png", "c.PNG"]
    assert [path.name for path in visible_files(tmp_path / "other", (".png",))] == ["c.PNG"]


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("one/a.png", "two/a.png"):
        one_image(tmp_path, name)
    finder = ImageFinder(tmp_path)
    assert finder.find("D:\\photos\\two\\a.png") == tmp_path / "two/a.png"
    assert finder.find("b.png") == tmp_path / "b.png"
    with pytest.raises(DeeplabError, match="'a.png' could be .*one/a.png or .*two/a.png"):
        finder.find("a.png")
