"""Files and folders that are whole or absent, of several processes, and other people's files."""

import errno
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import (
    any_of,
    beside,
    containing,
    folder_of,
    held_folder,
    json_with,
    never,
    own_folder,
    temporary,
    temporary_folder,
    whole_file,
    whole_folder,
    write_text,
    zip_with,
)
from deeplab_tf.machine.system import is_running, process_space


@pytest.fixture
def ended():
    """Returns the number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").write_text("old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.txt", own_folder) as path:
        path.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "folder", own_folder) as path:
        (path / "b.txt").write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), whole_file(tmp_path / "new" / "a.txt", never) as path:
        raise RuntimeError
    assert names(tmp_path) == ["a.txt", "folder"]
    assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "folder" / "b.txt").read_text() == "old"


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("first", "second"):
        with whole_folder(tmp_path / "folder", own_folder) as path:
            (path / name).touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "second"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    replace = os.replace

    def refuse(source, target):
        if pathlib.Path(target).name == "folder" and (pathlib.Path(source) / "new").exists():
            raise PermissionError(errno.EACCES, "no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError), whole_folder(tmp_path / "folder", own_folder) as path:
        (path / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "old"]


@pytest.mark.parametrize("suffix", ["", ".png", ".a suffix of more than sixteen bytes"])
def test_a_name_may_be_as_long_as_the_file_system_takes_it(tmp_path, suffix):
    name = "ä" * ((255 - len(suffix)) // 2) + suffix
    write_text(tmp_path / name, "text", never)
    with whole_folder(tmp_path / f"ö{name[1:]}", never) as path:
        (path / name).touch()
    assert names(tmp_path) == sorted([name, f"ö{name[1:]}"])
    with pytest.raises(OSError, match="File name too long"):
        write_text(tmp_path / f"{name}ä", "text", never)
    assert len(names(tmp_path)) == 2


def test_a_file_and_a_folder_are_written_by_several_threads_at_once(tmp_path):
    failed, ours = [], folder_of("number", known={"number": own_folder})

    def write(number):
        try:
            for _ in range(20):
                write_text(tmp_path / "a.txt", f"{number}" * 9999, own_folder)
                with whole_folder(tmp_path / "folder", ours) as path:
                    (path / "number").write_text(f"{number}")
        except Exception as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert len(set((tmp_path / "a.txt").read_text())) == 1
    assert names(tmp_path) == ["a.txt", "folder"] and names(tmp_path / "folder") == ["number"]


WRITE = """
import os, pathlib, sys
from deeplab_tf.files import never, whole_file, whole_folder
with whole_folder(pathlib.Path(sys.argv[1], "folder"), never) as folder:
    with whole_file(pathlib.Path(sys.argv[1], "a.txt"), never) as file:
        file.touch()
        os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path):
    done = subprocess.run([sys.executable, "-c", WRITE, tmp_path], check=False)
    assert done.returncode == -9
    left = names(tmp_path)
    assert len(left) == 2 and all(name.startswith(".writing-") for name in left)
    write_text(tmp_path / "other.txt", "text", never)
    assert names(tmp_path) == ["other.txt"]


def test_only_what_no_process_writes_any_more_is_removed(tmp_path, ended):
    old = time.time() - temporary.UNSEEN_SECONDS - 60
    here = process_space()
    kept = [
        f".writing-{here}-{os.getpid()}-999.png",
        f".writing-{here}-1-0.png",
        f".writing-00000000-{ended}-0.png",  # of another host, and new
        ".writing-notes.txt",
        f".writing-{here}-{ended}",
    ]
    removed = [f".writing-{here}-{ended}-0.png", ".writing-00000000-1-0"]
    for name in kept + removed:
        (tmp_path / name).write_text("half")
    for name in (kept[1], kept[3], removed[1]):
        os.utime(tmp_path / name, (old, old))
    assert is_running(1) and not is_running(ended)
    with temporary_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.name in names(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_a_folder_of_many_files_is_listed_once(tmp_path, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    for number in range(5):
        write_text(tmp_path / f"{number}.txt", "text", never)
    assert len(listed) == 1


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_locks_is_one_line_and_the_work_goes_on(
    tmp_path, monkeypatch, capsys, code
):
    def refuse(*_):
        raise OSError(getattr(errno, code), "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with held_folder(tmp_path / "run", "busy"):
        (tmp_path / "run" / "file").touch()
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(
        f"note: the file system of {tmp_path}/run has no"
    )
    assert names(tmp_path / "run") == ["file"]
    with pytest.raises(OSError, match="inside"), held_folder(tmp_path / "new", "busy"):
        raise OSError(getattr(errno, code), "inside")
    assert names(tmp_path) == ["run"]


def test_another_error_of_a_lock_is_raised(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="broken disk"), held_folder(tmp_path, "busy"):
        pass


@pytest.fixture
def calls(monkeypatch):
    """Returns the list of `flush NAME` and `replace NAME`, in the order of the calls."""
    found = []
    fsync, replace = os.fsync, os.replace

    def flush(handle):
        found.append(f"flush {pathlib.Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def rename(source, target):
        found.append(f"replace {pathlib.Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    return found


def test_the_content_is_flushed_then_renamed_then_the_folder_is_flushed(tmp_path, calls):
    with whole_file(tmp_path / "a.png", never) as path:
        path.write_text("text")
    assert calls == [f"flush {path.name}", "replace a.png", f"flush {tmp_path.name}"]
    calls.clear()
    with whole_file(tmp_path / "b.png", never, durable=False) as path:
        path.write_text("text")
    assert calls == ["replace b.png"]


def test_every_file_of_a_folder_is_flushed_before_the_folder_takes_its_place(tmp_path, calls):
    with whole_folder(tmp_path / "folder", never) as path:
        (path / "a").mkdir()
        (path / "a" / "b").touch()
        (path / "c").touch()
    inside = [f"flush {name}" for name in ("b", "a", "c", path.name)]
    assert calls == [*inside, "replace folder", f"flush {tmp_path.name}"]


def test_a_file_system_that_cannot_flush_is_written_to_all_the_same(tmp_path, monkeypatch):
    def refuse_by(code):
        def refuse(_handle):
            raise OSError(code, "no")

        monkeypatch.setattr(os, "fsync", refuse)

    for code in (errno.EINVAL, errno.ENOTSUP):
        refuse_by(code)
        write_text(tmp_path / "a.txt", "text", own_folder)
    refuse_by(errno.EIO)
    with pytest.raises(OSError, match="no"):
        write_text(tmp_path / "b.txt", "text", never)
    assert names(tmp_path) == ["a.txt"]


def test_what_is_not_ours_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    with pytest.raises(DeeplabError, match=r"a\.json would be replaced, .* move the file away"):
        write_text(tmp_path / "a.json", "{}", json_with("ours"))
    with pytest.raises(DeeplabError, match="folder would be replaced, .* move the folder away"):
        write_text(tmp_path / "folder", "{}", own_folder)
    with (
        pytest.raises(DeeplabError, match="folder would be replaced"),
        whole_folder(tmp_path / "folder", never),
    ):
        pass
    with (
        pytest.raises(DeeplabError, match=r"a\.json is a file"),
        whole_folder(tmp_path / "a.json", own_folder),
    ):
        pass
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'
    assert names(tmp_path) == ["a.json", "folder"] and names(tmp_path / "folder") == ["thesis.txt"]


def test_empty_ones_may_be_replaced(tmp_path):
    (tmp_path / "a.json").touch()
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "a.json", "{}", never)
    with whole_folder(tmp_path / "folder", never):
        pass
    assert (tmp_path / "a.json").read_text() == "{}"


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "disk" / "a.txt")
    for text in ("first", "second"):
        write_text(tmp_path / "link.txt", text, own_folder)
        assert (tmp_path / "disk" / "a.txt").read_text() == text
    assert (tmp_path / "link.txt").is_symlink()


def test_ours_is_known_by_content(tmp_path):
    file = tmp_path / "a.json"
    for text, ours in (
        ('{"a": 1, "b": 2, "c": 3}', True),
        ('{"a": 1}', False),
        ('["a", "b"]', False),
        ('{"a": 1, "b"', False),
    ):
        file.write_text(text)
        assert json_with("a", "b")(file) == ours
    file.write_bytes(b"\xff\x00before MARK after")
    assert containing(b"MARK", b"after")(file) and not containing(b"MARK", b"MARKS")(file)
    assert not json_with("a")(file) and not zip_with("member")(file)
    with zipfile.ZipFile(file, "a") as archive:  # as a LiteRT file, whose end is an archive
        archive.writestr("member", "")
    assert zip_with("member")(file) and not zip_with("other")(file)
    assert any_of(zip_with("other"), containing(b"MARK"))(file)
    assert beside("a.json", containing(b"MARK"))(tmp_path / "b.json")
    assert not beside("c.json", own_folder)(tmp_path / "b.json")


def test_a_folder_is_ours_only_where_everything_in_it_is(tmp_path):
    ours = folder_of("*.png", "index.html", "sub", known={"sub/index.html": containing(b"MARK")})
    (tmp_path / "sub").mkdir()
    (tmp_path / "1.png").touch()
    assert not ours(tmp_path)
    (tmp_path / "sub" / "index.html").write_text("MARK")
    assert ours(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not ours(tmp_path)


def test_unreadable_files_are_strangers(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "no")

    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert not json_with("a")(tmp_path / "a.json") and not containing(b"a")(tmp_path / "a.json")
