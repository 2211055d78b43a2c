"""Files of a store: whole or absent, read once, held by one process, and what is said when it goes.

The store is moto's, a server in this process that speaks S3. What a process of its own does with it
is asked of `deeplab-train` in tests/training/test_train_at_store.py.
"""

import contextlib
import errno
import glob
import json
import os
import pathlib
import re
import socket
import sys
import threading
import time
import types

import pytest

pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

from absl import flags
from botocore.exceptions import ClientError, EndpointConnectionError, ProfileNotFound
from s3fs import S3FileSystem
from support.object_store import BUCKET, object_store

from deeplab_tf.cli.stores import Use, WrongUseError, check_addresses
from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.files import (
    close_mirrors,
    fetched,
    fetched_part,
    fetched_parts,
    fetched_pattern,
    held_folder,
    json_with,
    lease,
    mirrored,
    never,
    own_folder,
    shown,
    snapshot,
    synced,
    whole_file,
    whole_folder,
    write_text,
)
from deeplab_tf.files.store import HELD, OPTIONS, TRIES, Store
from deeplab_tf.machine.system import process_space

S3 = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def running():
    with object_store() as store:
        yield store


@pytest.fixture
def store(running, monkeypatch, tmp_path):
    for name in [name for name in running.env if name.startswith("AWS_")]:
        monkeypatch.setenv(name, running.env[name])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for key in running.names():
        running.delete(key)
    return running


def state(store, folder):
    return json.loads(store.content(f"{folder}/.whole.json"))


def test_a_file_is_committed_when_it_is_whole(store):
    with mirrored(f"{S3}/a/out") as out:
        with whole_file(out / "deep" / "x.txt", never) as temporary:
            temporary.write_text("content")
            assert store.names() == []
        assert store.names() == ["a/out/deep/x.txt"]
        (out / "log").write_text("grows")
        assert len(store.names()) == 1
        synced(out)
        assert store.content("a/out/log") == b"grows"
        (out / "log").write_text("grows on")
        (out / "deep" / "x.txt").unlink()
    assert store.names() == ["a/out/log"] and store.content("a/out/log") == b"grows on"
    assert not out.parent.exists()


def test_what_is_not_ours_stays(store):
    store.put("out/eval.json", b"a person's")
    store.put("out/other", b"beside")
    with mirrored(f"{S3}/out") as out:
        with pytest.raises(DeeplabError, match="would be replaced, and its content is not what"):
            write_text(out / "eval.json", "{}", json_with("mean_iou"))
        with whole_file(out / "other", own_folder) as temporary:
            temporary.write_text("new")
    assert store.content("out/eval.json") == b"a person's" and store.content("out/other") == b"new"


def test_one_file_is_an_address_with_what_lies_beside_it(store):
    """An export writes a report beside its file, which replaces only a report of its own."""
    for key in ("m/model.keras", "m/model.parity.json", "m/model2.keras", "m/model/x"):
        store.put(key, b"old")
    with mirrored(f"{S3}/m/model.keras") as file:
        assert [path.name for path in file.parent.iterdir()] == ["model.keras"]
        for path in (file, file.with_name("model.parity.json")):
            with pytest.raises(DeeplabError, match="not what"), whole_file(path, never):
                pass


def write_folder(out, texts):
    with whole_folder(out, own_folder) as temporary:
        for name, text in texts.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text(text)


def test_a_folder_is_whole_or_absent(store, monkeypatch):
    """It is cut off after each of its objects in turn."""
    first, second = {"a": "1", "b/c": "2", "old": "3"}, {"a": "4", "b/c": "5"}
    with mirrored(f"{S3}/m") as out:
        write_folder(out / "1", first)
    assert state(store, "m/1") == {"state": "whole", "files": {"a": 1, "b/c": 1, "old": 1}}
    put, delete = Store.put, Store.delete
    for cut in range(4):
        left = [cut]

        def until_cut(call, left=left):
            def cut_off(self, *arguments):
                left[0] -= 1
                if left[0] < 0:
                    raise DeeplabError("gone")
                return call(self, *arguments)

            return cut_off

        with mirrored(f"{S3}/m") as out, monkeypatch.context() as patched:
            patched.setattr(Store, "put", until_cut(put))
            patched.setattr(Store, "delete", until_cut(delete))
            if cut < 3:
                with pytest.raises(DeeplabError, match="gone"):
                    write_folder(out / "1", second)
                with pytest.raises(DeeplabError, match=f"{S3}/m/1 is not whole"):
                    write_text(out / "1" / "a", "6", own_folder)
            else:
                write_folder(out / "1", second)
        if cut < 3:
            with pytest.raises(DeeplabError, match=f"{S3}/m/1 is not whole"):
                fetched(f"{S3}/m/1")
            with mirrored(f"{S3}/m") as out:
                assert not (out / "1").exists()
    copy = fetched(f"{S3}/m/1")
    files = [path for path in copy.rglob("*") if path.is_file()]
    assert {path.relative_to(copy).as_posix(): path.read_text() for path in files} == second
    store.delete("m/1/b/c")
    with pytest.raises(DeeplabError, match="m/1 is not whole: b/c is missing or another"):
        fetched(f"{S3}/m/1")
    store.delete("m/1/.whole.json")  # a folder that another program copied there
    assert (fetched(f"{S3}/m/1") / "a").read_text() == "4"


def test_a_copy_is_made_once_and_never_changed(store, monkeypatch):
    gets, get = [], Store.get
    monkeypatch.setattr(Store, "get", lambda *given: (gets.append(given[1]), get(*given))[1])
    store.put("d/x", b"one")
    store.put("d/y/z", b"two")
    store.put("d2", b"another")
    first = fetched(f"{S3}/d")
    assert fetched(f"{S3}/d") == first and sorted(gets) == ["d/x", "d/y/z"]
    assert shown(f"in {first}/x") == f"in {S3}/d/x"
    store.put("d/x", b"ONE")
    second = fetched(f"{S3}/d")
    assert (first / "x").read_bytes() == b"one" and (second / "x").read_bytes() == b"ONE"
    assert fetched(f"{S3}/d2").read_bytes() == b"another"
    with pytest.raises(DeeplabError, match="s3://bucket/d/x is only read here"):
        write_text(second / "x", "", own_folder)
    with pytest.raises(DeeplabError, match="there is nothing at this address"):
        fetched(f"{S3}/d3")


def test_a_copy_is_of_one_moment(store, monkeypatch):
    """Another process replaces both files between the two downloads."""
    store.put("d/x", b"x1")
    store.put("d/y", b"y1")
    get, seen = Store.get, []

    def replacing(self, name, path):
        get(self, name, path)
        if not seen:
            seen.append(name)
            store.put("d/x", b"x2")
            store.put("d/y", b"y2")

    monkeypatch.setattr(Store, "get", replacing)
    copy = fetched(f"{S3}/d")
    assert [(copy / name).read_text() for name in "xy"] == ["x2", "y2"]


def test_patterns_and_parts_fetch_only_what_they_name(store):
    for key in ("p/a.jpg", "p/b.png", "p/q/c.jpg", "sets/one/1.0.0/x", "sets/two/1.0.0/x"):
        store.put(key, b"")

    def names(text):
        folder, _, pattern = text.rpartition("/p/")
        return pattern, sorted(p.name for p in pathlib.Path(folder).rglob("*") if p.is_file())

    assert names(fetched_pattern(f"{S3}/p/*.jpg")) == ("*.jpg", ["a.jpg"])
    assert names(fetched_pattern(f"{S3}/p/**/*.png")) == ("**/*.png", ["b.png"])
    folder = fetched_part(fetched_parts(f"{S3}/sets"), "one")
    assert [p.relative_to(folder).as_posix() for p in folder.rglob("x")] == ["one/1.0.0/x"]
    with pytest.raises(DeeplabError, match="s3://bucket/sets has no 'three'; it has one, two"):
        fetched_part(fetched_parts(f"{S3}/sets"), "three")


def test_the_index_of_a_checkpoint_comes_last_and_goes_first(store, monkeypatch):
    calls, put, delete = [], Store.put, Store.delete
    monkeypatch.setattr(Store, "put", lambda *a: (calls.append(f"+{a[2]}"), put(*a))[1])

    def noted(self, names):
        names = list(names)
        calls.extend(f"-{name}" for name in names)
        delete(self, names)

    monkeypatch.setattr(Store, "delete", noted)
    with mirrored(f"{S3}/r") as run:
        run.mkdir()
        (run / "step-1.index").write_text("1")
        (run / "step-1.data-00000-of-00001").write_text("1")
        (run / "z.jsonl").write_text("1")
        synced(run)
        for path in list(run.iterdir()):
            path.rename(path.with_name(path.name.replace("1", "2", 1)))
    new = ["+r/step-2.data-00000-of-00001", "+r/step-2.index"]
    old = ["-r/step-1.index", "-r/step-1.data-00000-of-00001"]
    assert calls[:3] == ["+r/step-1.data-00000-of-00001", "+r/z.jsonl", "+r/step-1.index"]
    assert calls[3:] == new + old


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 60)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)


def holder(pid, space="another", token="t"):
    return json.dumps({"space": space, "pid": pid, "token": token, "beats": 1}).encode()


def test_a_folder_is_held_by_one_process(store, fast):
    store.put("r/before", b"1")
    with mirrored(f"{S3}/r") as one, held_folder(one, "r is held"):
        store.put("r/later", b"1")
        with (
            mirrored(f"{S3}/r") as two,
            pytest.raises(DeeplabError, match="r is held; wait until it ends"),
            held_folder(two, "r is held"),
        ):
            pass
        assert not (one / HELD).exists()
    assert store.names() == ["r/before", "r/later"]


@pytest.mark.parametrize(("of_here", "lease_seconds"), [(True, 300), (False, 0.5)])
def test_a_process_that_is_gone_is_followed(store, fast, monkeypatch, of_here, lease_seconds):
    """At once where it ran on this machine, and else when it has been silent for long enough."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", lease_seconds)
    gone = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-S", "-c", ""])
    os.waitpid(gone, 0)
    store.put(f"r/{HELD}", holder(gone, process_space() if of_here else "another"))
    begun = time.monotonic()
    with mirrored(f"{S3}/r") as run, held_folder(run, "r is held"):
        assert (time.monotonic() - begun < lease_seconds) == of_here
        assert json.loads(store.content(f"r/{HELD}"))["pid"] == os.getpid()
    assert store.names() == []


def test_a_holder_that_was_followed_commits_nothing_more(store, fast, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 60)  # it was cut off for so long
    with (
        pytest.raises(DeeplabError, match="r is held since, and this one writes nothing more"),
        mirrored(f"{S3}/r") as run,
        held_folder(run, "r is held"),
    ):
        store.put(f"r/{HELD}", holder(2))
        (run / "log").write_text("late")
        synced(run)
    assert store.names() == [f"r/{HELD}"]
    assert json.loads(store.content(f"r/{HELD}"))["pid"] == 2


def test_brackets_in_a_name_are_no_pattern(store, fast):
    for key in ("runs/a1/step-1.index", "runs/a2/step-1.index"):
        store.put(key, b"another run")
    with mirrored(f"{S3}/runs/a[12]") as run, held_folder(run, "busy"):
        (run / "step-1.index").write_text("x")
        synced(run)
        (run / "step-1.index").rename(run / "step-2.index")
    assert store.names() == [
        "runs/a1/step-1.index",
        "runs/a2/step-1.index",
        "runs/a[12]/step-2.index",
    ]


@pytest.mark.parametrize("name", ["a?versionId=1", "a\nb"])
def test_names_that_would_become_others_are_refused(store, name):
    with (
        mirrored(f"{S3}/o") as out,
        pytest.raises(DeeplabError, match="a name must have no"),
        whole_file(out / name, never) as temporary,
    ):
        temporary.write_text("x")
    assert store.names() == []


@pytest.mark.parametrize(
    ("method", "before"), [("objects", True), ("objects", False), ("get", False)]
)
def test_a_copy_that_changes_while_it_is_made_is_another_copy(store, monkeypatch, method, before):
    """The new content has the old size, and comes before or after the first file is fetched."""
    for key in ("d/x", "d/y"):
        store.put(key, b"one")
    calls, call = [], getattr(Store, method)

    def replacing(self, *given):
        found = call(self, *given)
        if not calls:
            calls.append(store.put("d/x", b"TWO"))
        return found

    old = fetched(f"{S3}/d") if before else None
    monkeypatch.setattr(Store, method, replacing)
    new = fetched(f"{S3}/d")
    assert (new / "x").read_bytes() == b"TWO" and new != old
    for x in new.parents[1].glob("*/d/x"):  # a part of the old copy, or all of it
        assert x.read_bytes() == (b"TWO" if x.parent == new else b"one")
    assert old is None or sorted(path.name for path in old.iterdir()) == ["x", "y"]


def test_nothing_in_a_folder_that_is_not_whole_is_read_or_written(store):
    store.put("t/.whole.json", b'{"state": "writing"}')
    for key in ("t/a.png", "t/sub/a.png"):
        store.put(key, b"1")
    for read in (fetched, fetched_pattern):
        for inside in ("t", "t/sub", "t/a.png"):
            with pytest.raises(DeeplabError, match=f"{S3}/t is not whole"):
                read(f"{S3}/{inside}")
    with pytest.raises(DeeplabError, match="t is not whole"):
        fetched_pattern(f"{S3}/t/*.png")
    with mirrored(f"{S3}/t") as out, pytest.raises(DeeplabError, match="t is not whole"):
        write_text(out / "model.tflite", "m", never)
    with pytest.raises(DeeplabError, match="t is not whole"), mirrored(f"{S3}/t/model.tflite"):
        pass
    assert len(store.names()) == 3
    with mirrored(f"{S3}/t") as out:
        write_folder(out, {"saved_model.pb": "1"})
        write_text(out / "model.tflite", "m", never)
    assert sorted(path.name for path in fetched(f"{S3}/t").iterdir()) == [
        "model.tflite",
        "saved_model.pb",
    ]


def test_a_file_that_is_replaced_in_a_whole_folder_leaves_it_whole(store):
    with mirrored(f"{S3}/m") as out:
        write_folder(out / "1", {"a.json": "{}", "b": "1"})
    with mirrored(f"{S3}/m/1/a.json") as file:
        write_text(file, '{"b": 1}', own_folder)
    with mirrored(f"{S3}/m") as out:
        (out / "1" / "b").unlink()
    assert (fetched(f"{S3}/m") / "1" / "a.json").read_text() == '{"b": 1}'
    assert state(store, "m/1") == {"state": "whole", "files": {"a.json": 8}}


def test_the_last_commit_of_a_run_that_fails_comes_before_its_end(store, fast, monkeypatch):
    calls, put, delete = [], Store.put, Store.delete
    monkeypatch.setattr(Store, "put", lambda *a: (calls.append(a[2]), put(*a))[1])
    monkeypatch.setattr(
        Store, "delete", lambda self, n: (calls.extend(n := list(n)), delete(self, n))[1]
    )
    with pytest.raises(DeeplabError, match="inside"), mirrored(f"{S3}/r") as run:
        try:
            with held_folder(run, "busy"):
                (run / "log").write_text("1")
                raise DeeplabError("inside")
        finally:
            (run / "log").write_text("late: another process holds the folder now")
    assert calls == ["r/log", f"r/{HELD}"] and store.content("r/log") == b"1"


def test_what_is_written_after_the_block_is_refused(store, tmp_path):
    with mirrored(f"{S3}/run") as run:
        pass
    for write in (
        lambda: write_text(run / "eval.json", "{}", never),
        lambda: write_folder(run, {}),
        lambda: held_folder(run, "").__enter__(),
    ):
        with pytest.raises(DeeplabError, match=f"{S3}/run.* its `mirrored` block has ended"):
            write()
    assert not run.exists() and store.names() == []


def test_a_file_of_a_person_that_comes_during_the_block_stays(store):
    store.put("o/eval.json", b'{"mean_iou": 1}')
    with mirrored(f"{S3}/o") as out:
        for name in ("eval.json", "new.json"):
            store.put(f"o/{name}", b"a person's")
            with pytest.raises(DeeplabError, match="its content is not what"):
                write_text(out / name, "{}", json_with("mean_iou"))
    assert {store.content(name) for name in store.names()} == {b"a person's"}


def test_threads_commit_side_by_side(store):
    with mirrored(f"{S3}/o") as out:
        threads = [
            threading.Thread(target=write_text, args=(out / f"{i}", str(i), never))
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [store.content(f"o/{i}") for i in range(8)] == [str(i).encode() for i in range(8)]


def test_names_that_lead_out_of_the_folder_are_refused(store, tmp_path):
    store.put("d/../../x", b"evil")
    with pytest.raises(DeeplabError, match="is no name of a file"):
        fetched(f"{S3}/d")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://bucket/x", "an address must be s3://BUCKET/NAME or gs://BUCKET/NAME"),
        ("s3://bucket", "must name something inside a bucket"),
        ("s3://bucket/../x", "without empty parts"),
        ("s3://nosuchbucket/x", "there is no bucket 'nosuchbucket'"),
    ],
)
def test_a_wrong_address_is_one_line(store, address, said):
    with pytest.raises(DeeplabError, match=said) as error:
        fetched(address)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DeeplabError, match="s3://b/x needs s3fs; pip install s3fs"):
        Store("s3://b/x")


def test_an_address_as_a_path_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (
        lambda path: write_text(path / "x", "", never),
        lambda path: write_folder(path / "x", {}),
        lambda path: held_folder(path, "").__enter__(),
    ):
        for address in ("s3://bucket/out", "S3://bucket/out", "file:///tmp/out", "ab://b/out"):
            with pytest.raises(DeeplabError, match="is the address of a store and no path"):
                write(pathlib.Path(address))
        with pytest.raises(DeeplabError, match="is the address of a store and no path"):
            write(pathlib.Path("HTTPS://b/out").absolute())
    assert not list(tmp_path.iterdir())


def test_a_store_that_does_not_answer_is_one_line(monkeypatch, tmp_path):
    with object_store() as gone:
        pass
    S3FileSystem.clear_instance_cache()  # of the other tests' store
    for name in [name for name in gone.env if name.startswith("AWS_")]:
        monkeypatch.setenv(name, gone.env[name])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DeeplabError, match="s3://bucket/x: the connection to the store is lost"):
        fetched(f"{S3}/x")
    S3FileSystem.clear_instance_cache()


def test_what_is_beside_by_name_only_is_not_looked_at(store):
    for key in ("run/x", "run2//junk", "run-old/y"):
        store.put(key, b"1")
    assert [path.name for path in fetched(f"{S3}/run").iterdir()] == ["x"]
    store.put("d", b"1")
    store.put("d/x", b"2")
    for open_it in (fetched, lambda address: mirrored(address).__enter__()):
        with pytest.raises(DeeplabError, match=f"{S3}/d is an object and a folder too"):
            open_it(f"{S3}/d")


def test_what_was_put_is_not_fetched_again(store, monkeypatch, fast):
    gets, get = [], Store.get
    monkeypatch.setattr(Store, "get", lambda *given: (gets.append(given[1]), get(*given))[1])
    with mirrored(f"{S3}/data", lazy=True) as data:
        write_folder(data / "streets" / "1.0.0", {"a": "1", "b": "2"})
        assert fetched_part(data, "streets") == data and gets == []
        store.put("data/streets/1.0.0/a", b"3")
        fetched_part(data, "streets")
        assert gets == ["data/streets/1.0.0/a"]


def test_a_large_fetch_says_so_and_fits_on_the_disk(store, monkeypatch, capsys):
    store.put("d/x", b"1" * 100)
    fetched(f"{S3}/d")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(snapshot, "TOLD_BYTES", 100)
    store.put("d/x", b"2" * 100)
    fetched(f"{S3}/d")
    assert capsys.readouterr().err == f"fetching 1 files, 0.0 GB, from {S3}/d\n"
    usage = types.SimpleNamespace(free=99)
    monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _path: usage)
    fetched(f"{S3}/d")
    store.put("d/x", b"3" * 100)
    with pytest.raises(DeeplabError, match="has 0.0 GB to fetch, and the disk of .* free space"):
        fetched(f"{S3}/d")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "q/[c].jpg", "q/r/d.jpg"]),
        ("*/*.jpg", ["q/[c].jpg"]),
        ("[!b].jpg", ["a.jpg"]),
        ("[a-b].???", ["a.jpg", "b.jpg"]),
        ("q/[[]c].jpg", ["q/[c].jpg"]),
        ("q/**", ["q/[c].jpg", "q/r/d.jpg"]),
    ],
)
def test_a_pattern_finds_what_glob_finds(store, pattern, found):
    for name in ("a.jpg", "b.jpg", "q/[c].jpg", "q/r/d.jpg"):
        store.put(f"p/{name}", b"1")
    path = fetched_pattern(f"{S3}/p/{pattern}")
    copy = pathlib.Path(path.removesuffix(f"/{pattern}"))
    files = [each.relative_to(copy).as_posix() for each in copy.rglob("*") if each.is_file()]
    assert sorted(files) == found
    matches = [pathlib.Path(each) for each in glob.glob(path, recursive=True)]
    assert sorted(p.relative_to(copy).as_posix() for p in matches if p.is_file()) == found


def test_a_store_without_conditional_puts_holds_a_folder_too(store, fast, monkeypatch):
    monkeypatch.setattr(Store, "create", lambda self, *given: (self.write(*given), True)[1])
    with mirrored(f"{S3}/r") as one, held_folder(one, "r is held"):
        with (
            mirrored(f"{S3}/r") as two,
            pytest.raises(DeeplabError, match="r is held; wait until it ends"),
            held_folder(two, "r is held"),
        ):
            pass
        synced(one)


def test_a_hold_whose_first_answer_was_lost_is_one_s_own(store, fast, monkeypatch):
    monkeypatch.setattr(Store, "create", lambda self, *given: (self.write(*given), False)[1])
    monkeypatch.setattr(lease, "BEAT_SECONDS", 60)
    begun = time.monotonic()
    with (
        pytest.raises(DeeplabError, match=f"{S3}/r/.held.json is gone, so another process may"),
        mirrored(f"{S3}/r") as run,
        held_folder(run, "r is held"),
    ):
        assert time.monotonic() - begun < 5
        store.delete(f"r/{HELD}")
        synced(run)


def test_the_end_of_a_worker_says_what_was_not_committed(store, monkeypatch, capsys):
    with mirrored(f"{S3}/r") as run:
        run.mkdir()
        (run / "log").write_text("1")
        with monkeypatch.context() as patched:
            patched.setattr(Store, "put", lambda *_: (_ for _ in ()).throw(StoreLostError("lost")))
            assert close_mirrors() == 75
        run.mkdir(parents=True)
    assert capsys.readouterr().err == "error: lost\n"


def of_boto(code, status):
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, code)
    error.__cause__ = ClientError(answer, "PutObject")
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OSError, "No space left"),
        (PermissionError(errno.EACCES, "denied", "/home/x"), PermissionError, "/home/x"),
        (PermissionError("AccessDenied"), DeeplabError, "the store refuses access"),
        (ProfileNotFound(profile="typo"), DeeplabError, "the store failed (ProfileNotFound"),
        (of_boto("InvalidBucketName", 400), DeeplabError, "the store failed (OSError"),
        (of_boto("InternalError", 500), StoreLostError, "the connection to the store is lost"),
        (EndpointConnectionError(endpoint_url="https://me:pw@host/"), StoreLostError, "//host/"),
        (TimeoutError(), StoreLostError, "the connection to the store is lost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_error_is_called(store, error, kind, said):
    with pytest.raises(kind) as caught, Store(f"{S3}/x")._said():
        raise error
    assert type(caught.value) is kind and said in str(caught.value)
    assert getattr(caught.value, "exit_code", 1) == (75 if kind is StoreLostError else 1)
    assert "pw" not in str(caught.value)


def test_a_store_that_takes_connections_and_does_not_answer_is_lost(store, monkeypatch):
    assert OPTIONS["s3"]["config_kwargs"]["read_timeout"] < lease.LEASE_SECONDS
    monkeypatch.setitem(OPTIONS, "s3", {"config_kwargs": {"read_timeout": 0.1}})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        S3FileSystem.clear_instance_cache()
        with pytest.raises(StoreLostError, match=r"the connection to the store is lost \(ReadTime"):
            fetched(f"{S3}/x")
        silent.settimeout(0)
        connections = 0
        with contextlib.suppress(BlockingIOError):
            while connections < 100:
                silent.accept()[0].close()
                connections += 1
    S3FileSystem.clear_instance_cache()
    assert connections == TRIES  # of AWS_MAX_ATTEMPTS=1 each


def test_flags_without_addresses_say_so():
    values = flags.FlagValues()
    flags.DEFINE_string("out", f"{S3}/x.png", "", flag_values=values)
    own = [values["out"]]
    said = "--out takes no address of a store (no flag of this command may). Received: s3://bucket"
    with pytest.raises(WrongUseError, match=re.escape(said)):
        check_addresses(own, {}, [])
    with pytest.raises(WrongUseError, match=re.escape("(--model, --images may)")):
        check_addresses(own, {"model": Use.READ, "images": Use.PATTERN}, [])
    check_addresses(own, {"out": Use.WRITE}, [])
    with pytest.raises(WrongUseError, match="--config.init_from takes no address of a store"):
        check_addresses([], {"out": Use.WRITE}, ["x", f"--config.init_from={S3}/v.keras"])


def test_the_address_of_a_scheduler_is_none_of_a_store():
    values = flags.FlagValues()
    address = ["dask_client_address=tcp://10.0.0.1:8786"]
    flags.DEFINE_list("beam_options", address, "", flag_values=values)
    check_addresses([values["beam_options"]], {"out": Use.WRITE}, [])
