"""The files of LiteRT.js, which runs LiteRT files in a browser: fetched by npm once and checked."""

import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import never, temporary_folder, whole_file

VERSION = "2.5.3"
CORE = f"litertjs-core-{VERSION}.tgz"
WASM_UTILS = f"litertjs-wasm-utils-{VERSION}.tgz"
PACKAGES = {CORE: f"@litertjs/core@{VERSION}", WASM_UTILS: f"@litertjs/wasm-utils@{VERSION}"}
"""The packages, by the names that `npm pack` gives their archives."""

INTEGRITY = {
    CORE: "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",  # noqa: E501
    WASM_UTILS: "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",  # noqa: E501
}
"""The hashes of the archives that the page was tested with, as npm writes them into a lock file."""

# A browser without relaxed SIMD (Safari) takes `compat`, and one with a GPU `jspi`, which leaves to
# the CPU the operations that the GPU lacks.
_WASM = [f"litert_wasm{kind}_internal" for kind in ("", "_compat", "_jspi")]
_CHANGED = (
    "// Changed by deeplab_tf: the import of @litertjs/wasm-utils names the file beside this one.\n"
)


def litert_js_files(folder: str | os.PathLike | None = None) -> dict[str, bytes]:
    """Returns the files that a page needs to run LiteRT.js, by their names in one folder.

    Args:
        folder: the folder with the two archives of `npm pack`, `CORE` and `WASM_UTILS`. None is the
            user's cache folder, which npm fills at the first call.

    Raises:
        DeeplabError: an archive is missing or not the one that was tested, or npm cannot fetch it.
    """
    folder = _cached() if folder is None else pathlib.Path(folder)
    core, utils = (_opened(folder / name) for name in (CORE, WASM_UTILS))
    wasm = [f"{name}.{suffix}" for name in _WASM for suffix in ("js", "wasm")]
    files = {name: core[f"wasm/{name}"] for name in wasm}
    index = core["dist/index.js"].decode()
    # The import itself is changed: an import map would have to stand inside the page, whose content
    # security policy allows no scripts there, and workers have no import maps.
    bare, beside = '"@litertjs/wasm-utils"', '"./wasm_utils.js"'
    assert index.count(bare) == 1
    files["index.js"] = (_CHANGED + _without_map(index).replace(bare, beside)).encode()
    files["wasm_utils.js"] = _without_map(utils["dist/index.js"].decode()).encode()
    return files


def cache_folder() -> pathlib.Path:
    """Returns the folder in which the archives are kept between exports."""
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(caches) / "deeplab_tf" / "litertjs"


def integrity(path: pathlib.Path) -> str:
    """Returns the hash of a file as npm writes it."""
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _cached() -> pathlib.Path:
    folder = cache_folder()
    for name, package in PACKAGES.items():
        if not (folder / name).is_file():
            _fetch(package, folder / name)
    return folder


def _fetch(package: str, path: pathlib.Path) -> None:
    by_hand = f"run `npm pack {' '.join(PACKAGES.values())}` elsewhere and give the folder"
    npm = shutil.which("npm")
    if npm is None:
        raise DeeplabError(
            f"the page needs {package}, which npm fetches, and npm is not installed: install "
            f"Node.js, or {by_hand} as --litertjs=DIR"
        )
    with whole_file(path, never) as temporary, temporary_folder(path.parent) as packed:
        # npm's default is to try for minutes before it says that there is no network.
        retries = "--fetch-retries=1"
        command = [npm, "pack", package, "--pack-destination", str(packed), retries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DeeplabError(
                f"npm cannot fetch {package}: {_reason(done.stderr)}; go online, or {by_hand} "
                "as --litertjs=DIR"
            )
        os.replace(packed / path.name, temporary)


def _reason(stderr: str) -> str:
    """Returns what npm says of a failure, without its codes and its log's path."""
    errors = re.findall(r"^npm (?:ERR!|error) +(.*\S)", stderr, re.MULTILINE)
    reasons = [line for line in errors if not re.match("code |errno |syscall ", line)]
    return one_line(reasons[0])[:200] if reasons else "npm gives no reason"


def _opened(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of an archive by their paths inside the package.

    Raises:
        DeeplabError: the archive does not exist, or is not the one that was tested.
    """
    if not path.is_file():
        raise DeeplabError(
            f"{path} does not exist; --litertjs must be a folder with {CORE} and {WASM_UTILS}: run "
            f"`npm pack {' '.join(PACKAGES.values())}` in it"
        )
    if integrity(path) != INTEGRITY[path.name]:
        raise DeeplabError(
            f"{path} is not the archive of {PACKAGES[path.name]} that the page was tested with "
            "(its sha512 differs); delete the file and fetch the archive again"
        )
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("package/"): archive.extractfile(member).read()
            for member in archive
            if member.isfile()
        }


def _without_map(script: str) -> str:
    """Returns the script without its last line, which names a source map that is not shipped."""
    return script.partition("//# sourceMappingURL=")[0]
