"""Which versions of a folder are to be loaded: policy, copies under way, broken ones."""

import shutil

import pytest
from support.model_versions import FILES, open_number, write_version

from deeplab_tf.errors import DeeplabError
from deeplab_tf.serving.model_folder import ModelFolder
from deeplab_tf.serving.version_files import has_versions, version_files
from deeplab_tf.serving.version_policy import parse_policy


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("latest", {10}),
        ("latest:2", {9, 10}),
        ("latest:9", {2, 9, 10}),
        ("all", {2, 9, 10}),
        ("9", {9}),
        ("2,10,11", {2, 10}),
        ("7", set()),
    ],
)
def test_a_policy_chooses_by_number(text, wanted):
    assert parse_policy(text).wanted([10, 9, 2]) == wanted


@pytest.mark.parametrize("text", ["", "newest", "latest:0", "latest:", "1,", "-1", "all,1"])
def test_another_policy_is_refused(text):
    with pytest.raises(DeeplabError, match=r"must be latest, latest:N .* received"):
        parse_policy(text)


class Watched:
    """A folder `street` whose lines in the log are kept, and so is what was loaded."""

    def __init__(self, path, policy="latest"):
        self.path, self.lines, self.opened = path / "street", [], []
        self.folder = ModelFolder(
            self.path, "street", parse_policy(policy), self.open, self.lines.append
        )

    def open(self, folder):
        self.opened.append(int(folder.name))
        return open_number(folder)


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    write_version(watched.path / "1")
    return watched


def test_the_first_version_is_the_highest_that_is_whole(watched):
    write_version(watched.path / "2")
    write_version(watched.path / "10", "half a graph")
    write_version(watched.path / "11", without=FILES[2])
    write_version(watched.path / "latest")
    assert [model.version for model in watched.folder.open_first()] == [2]
    assert watched.opened == [10, 2]
    (line,) = watched.lines
    assert line == (
        "street: version 10 is refused until its files change (touch one to try again), and "
        "version 2 stays: "
        f"SavedModel {watched.path / '10'} is damaged: half a graph"
    )


def test_all_versions_of_a_policy_are_opened(tmp_path):
    watched = Watched(tmp_path, "latest:2")
    for number in "1234":
        write_version(watched.path / number, "broken" if number == "3" else "whole")
    assert [model.version for model in watched.folder.open_first()] == [2, 4]


def test_without_a_version_that_is_whole_the_error_is_that_of_the_highest(tmp_path):
    watched = Watched(tmp_path)
    write_version(watched.path / "1", "one")
    write_version(watched.path / "2", "two")
    with pytest.raises(DeeplabError, match="2 is damaged: two"):
        watched.folder.open_first()
    for number in "12":
        (watched.path / number / "saved_model.pb").unlink()
    with pytest.raises(DeeplabError, match=r"that is complete .*: 1 lacks saved_model\.pb; 2 lack"):
        watched.folder.open_first()


@pytest.mark.parametrize("order", [FILES, FILES[::-1]])
def test_a_copy_under_way_is_waited_for_however_slow(watched, order):
    """One file a look, and then two looks that find the same."""
    watched.folder.open_first()
    for file in order:
        path = watched.path / "2" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("wh")
        assert watched.folder.wanted([1]) == {1}
        path.write_text("whole")
        assert watched.folder.wanted([1]) == {1}
    assert watched.lines == []
    assert watched.folder.wanted([1]) == {2}


def test_an_incomplete_version_that_stays_so_is_told_once(watched):
    watched.folder.open_first()
    write_version(watched.path / "2", without=FILES[2])
    assert [watched.folder.wanted([1]) for _ in range(4)] == [{1}] * 4
    assert watched.lines == [f"street: version 2 is waited for: {FILES[2]} is missing"]
    (watched.path / "2" / "variables" / "variables.data-00000-of-00002").write_text("whole")
    assert [watched.folder.wanted([1]) for _ in range(4)] == [{1}] * 4
    assert watched.lines[1:] == [
        "street: version 2 is waited for: variables/variables.data-00001-of-00002 is missing"
    ]
    (watched.path / "2" / "variables" / "variables.data-00001-of-00002").write_text("whole")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]


def test_a_broken_version_is_not_tried_again_until_its_files_change(watched):
    watched.folder.open_first()
    write_version(watched.path / "2", "half a graph")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    assert watched.folder.open(2, [1]) is None
    assert [watched.folder.wanted([1]) for _ in range(3)] == [{1}] * 3
    assert watched.opened == [1, 2] and len(watched.lines) == 1
    assert watched.folder.error(2).endswith("is damaged: half a graph")
    (watched.path / "2" / FILES[2]).write_text("other")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    assert watched.folder.open(2, [1]) is None and len(watched.lines) == 2
    write_version(watched.path / "2")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    assert watched.folder.open(2, [1]).version == 2
    assert watched.folder.error(2) == ""


def test_a_version_whose_files_change_while_it_is_loaded_is_waited_for(watched):
    def open_too_early(folder):
        write_version(folder)
        raise OSError("short file")

    watched.folder.open_first()
    write_version(watched.path / "2", "who")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    watched.folder._open = open_too_early
    assert watched.folder.open(2, [1]) is None and watched.lines == []
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]


def test_a_served_version_is_not_loaded_again_and_stays_where_nothing_replaces_it(watched):
    watched.folder.open_first()
    write_version(watched.path / "1", "other files")
    assert [watched.folder.wanted([1]) for _ in range(3)] == [{1}] * 3
    assert watched.lines == [
        "street: version 1 has other files; what is loaded goes on: give a new number"
    ]
    for file in FILES:
        (watched.path / "1" / file).unlink()
    assert watched.folder.wanted([1]) == {1}
    watched.path.rename(watched.path.with_name("away"))
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, set()]
    assert watched.lines[1:] == [
        f"street: version 1 goes on: {watched.path} has no version to replace it"
    ]


def test_a_served_version_that_is_replaced_is_told_after_a_look_without_it(watched):
    """`mv street/2 old`, a look, `mv new street/2`: neither unloaded nor taken for what it was."""
    write_version(watched.path / "2")
    watched.folder.open_first()
    old = (watched.path / "2").rename(watched.path.with_name("old"))
    assert watched.folder.wanted([2]) == {2} and watched.lines == []
    write_version(watched.path / "2", "other")
    assert [watched.folder.wanted([2]) for _ in range(2)] == [{2}] * 2
    told = ["street: version 2 has other files; what is loaded goes on: give a new number"]
    assert watched.lines == told
    shutil.rmtree(watched.path / "2")
    old.rename(watched.path / "2")
    assert watched.folder.wanted([2]) == {2} and watched.lines == told


def with_second_version(watched, open_version):
    """Lets the folder want version 2, which `open_version` is to load; returns the old loader."""
    load = watched.folder._open
    watched.folder.open_first()
    write_version(watched.path / "2")
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    watched.folder._open = open_version
    return load


def test_a_version_whose_files_change_during_a_load_that_succeeds_is_loaded_again(watched):
    def open_too_early(folder):
        model = open_number(folder)
        (folder / FILES[2]).write_text("another network's")
        return model

    load = with_second_version(watched, open_too_early)
    assert watched.folder.open(2, [1]) is None and watched.lines == []
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    watched.folder._open = load
    assert watched.folder.open(2, [1]).version == 2


def test_two_folders_of_one_number_are_refused(watched):
    watched.folder.open_first()
    write_version(watched.path / "02")
    assert set(version_files(watched.path)) == {1, 2}
    write_version(watched.path / "2")
    with pytest.raises(DeeplabError, match=r"one folder a version; received 02 and 2: remove"):
        watched.folder.wanted([1])


def test_a_touch_tries_a_refused_version_again(watched):
    def without_memory(folder):
        raise MemoryError

    load = with_second_version(watched, without_memory)
    assert watched.folder.open(2, [1]) is None and watched.folder.wanted([1]) == {1}
    (watched.path / "2" / FILES[0]).touch()
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]
    watched.folder._open = load
    assert watched.folder.open(2, [1]).version == 2


def test_a_log_that_takes_no_line_ends_nothing(watched):
    def broken(line):
        raise BrokenPipeError

    write_version(watched.path / "2", "half a graph")
    folder = ModelFolder(watched.path, "street", parse_policy("latest"), open_number, broken)
    assert [model.version for model in folder.open_first()] == [1]
    assert list(folder.refused) == [2]


def test_links_to_files_and_folders_are_followed(watched, tmp_path):
    watched.folder.open_first()
    write_version(tmp_path / "store" / "2")
    (watched.path / "2").mkdir()
    for entry in (tmp_path / "store" / "2").iterdir():
        (watched.path / "2" / entry.name).symlink_to(entry)
    assert [watched.folder.wanted([1]) for _ in range(2)] == [{1}, {2}]


def test_an_openvino_model_has_other_files(tmp_path):
    folder = tmp_path / "4"
    folder.mkdir()
    (folder / "model.bin").write_text("weights")
    assert version_files(tmp_path)[4].missing == "model.xml"
    assert has_versions(tmp_path) and not has_versions(folder)
    (folder / "model.xml").write_text("layers")
    assert version_files(tmp_path)[4].missing is None


def test_only_a_folder_of_numbers_has_versions(watched):
    assert has_versions(watched.path)
    assert not has_versions(watched.path / "1")
    assert not has_versions(watched.path / "nowhere")
