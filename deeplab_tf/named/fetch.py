"""The published file of a model: from the cache, a mirror or its own address, and checked.

Tested in tests/named/test_find.py, through `model_path`.
"""

import pathlib
from collections.abc import Callable

from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.cache import MIRROR, is_web_address, mirror, published_place
from deeplab_tf.named.hashes import check_hash
from deeplab_tf.named.table import NamedModel


def published_file(name: str, model: NamedModel, report: Callable[[str], None]) -> pathlib.Path:
    """Returns the checked file of a model, fetched where it is not there yet.

    A folder in `MIRROR` is the only place that is looked into. An address in `MIRROR` takes the
    place of the publisher's. A file that lies in the cache, put there by hand or fetched before, is
    taken from there. The folder `cache_folder(name)` must exist, and be held.

    Raises:
        DeeplabError: there is no file, or it has another hash; the message says where to put the
            file by hand.
    """
    place = mirror()
    path = published_place(name, model)
    if not path.is_file():
        if place and not is_web_address(place):
            raise DeeplabError(
                f"{name}: {path} does not exist, and {MIRROR}={place} is the only place to look; "
                f"put the file of {model.address} there"
            )
        _fetch(name, model, path, place, report)
    report(f"{name}: {path}: {check_hash(path, model.hash)}")
    return path


def _fetch(
    name: str,
    model: NamedModel,
    path: pathlib.Path,
    place: str | None,
    report: Callable[[str], None],
) -> None:
    # An HTTP client takes as long to import as all else here, and is seldom needed.
    from deeplab_tf.named.download import NotFetchedError, download, move_whole

    address = f"{place.rstrip('/')}/{model.file}" if place else model.address
    size = f" ({model.megabytes:g} MB)" if model.megabytes else ""
    report(f"{name}: fetching {address}{size}")
    part = path.with_name(f"{path.name}.part")
    goes_on = part.is_file()
    if goes_on and model.hash is None:
        part.unlink()  # nothing would show that its beginning is of another file
        goes_on = False
    try:
        download(address, part)
    except NotFetchedError as error:
        raise DeeplabError(
            f"{name}: {address} was not fetched: {error}; get the file in another way and put it "
            f"at {path}, or set {MIRROR} to a folder that has it"
        ) from error
    try:
        check_hash(part, model.hash)
    except DeeplabError as error:
        part.unlink()
        if goes_on:  # what lay there was of another file
            _fetch(name, model, path, place, report)
            return
        said = str(error).replace(str(part), address)
        raise DeeplabError(f"{name}: {said}; nothing was kept") from error
    move_whole(part, path)
