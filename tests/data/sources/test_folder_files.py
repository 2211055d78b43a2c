"""The files of a folder by stem, and the lines of lists."""

import pytest
from PIL import Image

from deeplab_tf.data.sources.folder_files import files_by_stem, read_pairs
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES, passed_over, walk_files


def test_hidden_files_do_not_count_and_suffixes_have_any_case(tmp_path):
    for name in ("a.PNG", "b/c.JpEg", "._a.png", ".b/d.png", "__MACOSX/a.png", "e.txt", "f.g.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files_by_stem(tmp_path)
    assert {stem: path.relative_to(tmp_path).as_posix() for stem, path in found.items()} == {
        "a": "a.PNG",
        "b/c": "b/c.JpEg",
        "f.g": "f.g.tif",
    }
    assert passed_over(walk_files(tmp_path)) == (
        f"passed over, not read as images: 1 .txt (the first is {tmp_path}/e.txt)"
    )


def test_heic_without_its_library_says_what_reads_it(tmp_path):
    files = [tmp_path / name for name in ("b.HEIC", "a.heic", "c.heif")]
    suffixes = tuple(s for s in IMAGE_SUFFIXES if not s.startswith(".hei"))
    assert passed_over(files, suffixes) == (
        f"passed over, not read as images: 2 .heic, 1 .heif (the first is {tmp_path}/a.heic); pip "
        "install pillow-heif reads HEIC"
    )
    assert passed_over(files, (".heic", ".heif")) is None


@pytest.fixture
def files(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg", "c d.jpg", "v1.0.jpg", "e.jpg", "f/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (1, 1)).save(tmp_path / name)
    return files_by_stem(tmp_path)


@pytest.mark.parametrize(
    ("line", "stem"),
    [
        ("one/a", "one/a"),
        ("x/y/two/b.jpg", "two/b"),
        ("b", "two/b"),
        ("c d", "c d"),
        ("c d.JPG", "c d"),
        ("v1.0", "v1.0"),
        ("v1.0.jpg", "v1.0"),
        ("a", None),  # of two folders
        ("three/a", None),
        ("x/one/a", "one/a"),
        ("x/e", None),  # of two folders, one of them none
        ("c", None),
        ("v1", None),
    ],
)
def test_a_line_names_one_image_or_none(tmp_path, files, line, stem):
    list_file = tmp_path / "list.txt"
    list_file.write_text(f"\n  {line}  \n")
    (pair,) = read_pairs(list_file, files, {})
    if stem is None:
        assert (
            pair.problem == f"{list_file}, line 2: {line!r} is no image; correct or remove the line"
        )
    else:
        assert (pair.id, pair.image, pair.problem) == (stem, files[stem], None)
