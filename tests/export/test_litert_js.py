"""Where the files of LiteRT.js come from, and what is said where they cannot."""

import io
import os
import stat
import tarfile

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import litert_js
from deeplab_tf.export.litert_js import CORE, WASM_UTILS, cache_folder, litert_js_files

KINDS = ("", "_compat", "_jspi")
WASM = [f"litert_wasm{kind}_internal.{end}" for kind in KINDS for end in ("js", "wasm")]
INDEX = 'import { createWasmLib } from "@litertjs/wasm-utils";\n//# sourceMappingURL=index.js.map'


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """A folder with two small archives, whose hashes are the right ones."""
    core = {f"wasm/{name}": name for name in WASM} | {"dist/index.js": INDEX, "README.md": ""}
    utils = {"dist/index.js": "export const createWasmLib = 1;\n"}
    folder = tmp_path / "archives"
    folder.mkdir()
    for name, files in ((CORE, core), (WASM_UTILS, utils)):
        write_archive(folder / name, files)
        monkeypatch.setitem(litert_js.INTEGRITY, name, litert_js.integrity(folder / name))
    return folder


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a script in npm's place; without one there is no npm. The cache folder is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def put(script):
        file = tmp_path / "bin" / "npm"
        file.write_text(f"#!/bin/sh\nPATH={os.defpath}\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return put


def test_the_files_of_a_folder(archives):
    files = litert_js_files(archives)
    assert sorted(files) == sorted([*WASM, "index.js", "wasm_utils.js"])
    assert all(files[name] == name.encode() for name in WASM)
    notice, script = files["index.js"].decode().splitlines()
    assert notice.startswith("// Changed by deeplab_tf")
    assert script == 'import { createWasmLib } from "./wasm_utils.js";'


def test_npm_fetches_once(archives, npm):
    # npm pack PACKAGE --pack-destination FOLDER
    npm(f"""case $2 in *core*) cp {archives}/*core* "$4";; *) cp {archives}/*utils* "$4";; esac""")
    files = litert_js_files()
    assert sorted(path.name for path in cache_folder().iterdir()) == [CORE, WASM_UTILS]
    npm("exit 1")
    assert litert_js_files() == files == litert_js_files(archives)


def test_no_npm(npm):
    with pytest.raises(
        DeeplabError, match=r"npm is not installed: .*npm pack @litertjs/core@2.5.3 "
    ):
        litert_js_files()


def test_npm_offline(npm):
    npm(
        'echo "npm error code ENOTFOUND" >&2; echo "npm error syscall getaddrinfo" >&2\n'
        'echo "npm error network request failed, reason: no such host" >&2; exit 1'
    )
    message = "cannot fetch @litertjs/core@2.5.3: network request failed, reason: no such host; go"
    with pytest.raises(DeeplabError, match=message) as caught:
        litert_js_files()
    assert "\n" not in str(caught.value)
    assert not cache_folder().exists()


def test_another_archive_is_refused(archives):
    write_archive(archives / CORE, {"dist/index.js": "other"})
    with pytest.raises(DeeplabError, match=r"core-2.5.3.tgz is not the archive .*sha512 differs"):
        litert_js_files(archives)


def test_a_folder_without_them(tmp_path):
    with pytest.raises(DeeplabError, match=r"core-2.5.3.tgz does not exist; --litertjs must be"):
        litert_js_files(tmp_path)
