"""Files of a store: whole or absent, read once, held by one process, and what is said when it goes.

The store is moto's, a server in this process that speaks S3. What a process of its own does with it
is asked of `deeplab-train` in tests/training/test_train_at_store.py.
"""

import json
import os
import pathlib
import re
import sys
import threading
import time

import pytest

pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

from absl import flags
from s3fs import S3FileSystem
from support.object_store import BUCKET, object_store

from deeplab_tf.cli.stores import Use, WrongUseError, check_addresses
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import (
    fetched,
    fetched_parts,
    fetched_pattern,
    held_folder,
    json_with,
    lease,
    mirrored,
    never,
    own_folder,
    part,
    shown,
    synced,
    whole_file,
    whole_folder,
    write_text,
)
from deeplab_tf.files.store import HELD, Store
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
        assert sorted(path.name for path in file.parent.iterdir()) == [
            "model.keras",
            "model.parity.json",
        ]
        with pytest.raises(DeeplabError, match="not what"), whole_file(file, never):
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

    assert names(fetched_pattern(f"{S3}/p/*.jpg")) == ("*.jpg", ["a.jpg", "c.jpg"])
    assert names(fetched_pattern(f"{S3}/p/**/*.png")) == ("**/*.png", ["b.png"])
    folder = part(fetched_parts(f"{S3}/sets"), "one")
    assert [p.relative_to(folder).as_posix() for p in folder.rglob("x")] == ["one/1.0.0/x"]
    with pytest.raises(DeeplabError, match="s3://bucket/sets has no 'three'; it has one, two"):
        part(fetched_parts(f"{S3}/sets"), "three")


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


def test_a_holder_that_was_followed_commits_nothing_more(store, monkeypatch):
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
        with pytest.raises(DeeplabError, match="s3:/bucket.* is the address of a store and no pa"):
            write(pathlib.Path("s3://bucket/out"))
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
