"""The checkpoint in an archive of TF-Slim's or DeepLab's releases.

Tested in tests/named/test_archive.py.
"""

import pathlib
import tarfile
import zlib

from deeplab_tf.errors import DeeplabError, one_line

SUFFIX = ".tar.gz"


def unpack_checkpoint(archive: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Unpacks an archive into an empty folder; returns the path of its checkpoint.

    The path is that of a checkpoint of TensorFlow's second format without `.index`, or of the one
    file of the first format, `NAME.ckpt`. Members and links that lead out of the folder, and
    devices, are refused.

    Raises:
        DeeplabError: the archive is damaged, or does not have exactly one checkpoint.
    """
    try:
        with tarfile.open(archive, "r:gz") as opened:
            opened.extractall(folder, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; gzip's own have no number
        raise DeeplabError(
            f"{archive} is not an archive that unpacks: {one_line(str(error))[:200]}; remove the "
            "file to fetch it again"
        ) from error
    found = [path.with_suffix("") for path in folder.rglob("*.index")]
    found = found or [path for path in folder.rglob("*.ckpt") if path.is_file()]
    if len(found) != 1:
        raise DeeplabError(
            f"{archive} must have one checkpoint of TensorFlow. Received: {len(found)}"
        )
    return found[0]
