"""A folder that one process at a time writes into.

Tested in tests/test_files.py and tests/test_machine.py.
"""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.lease import leased
from deeplab_tf.files.mirror import mirror_of
from deeplab_tf.files.ours import check_folder, own_folder
from deeplab_tf.files.temporary import made_folder
from deeplab_tf.machine.system import NoLocksError, locked


@contextlib.contextmanager
def held_folder(path: pathlib.Path, busy: str) -> Iterator[None]:
    """Makes the folder `path` and holds it until the block or this process ends, however it ends.

    A folder that was made here and stays empty is removed again. On a file system without locks the
    folder is not held, and one line on stderr says so. A folder in the mirror of a store is held
    and fetched there, and at the end, that of an error too, what has changed is committed.

    Raises:
        DeeplabError: another process holds the folder, and the message begins with `busy`; or
            `path` is a file.
    """
    check_folder(path, own_folder)
    with made_folder(path), contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(path))
        except BlockingIOError as error:
            raise DeeplabError(f"{busy}; wait until it ends") from error
        except NoLocksError as error:
            print(
                f"note: the file system of {path} has no locks ({error.strerror}), so a second "
                "process there would not be noticed; start only one",
                file=sys.stderr,
            )
        mirror = mirror_of(path)
        if mirror is None:
            yield
            return
        with leased(mirror, mirror.name_of(path.absolute()), busy):
            mirror.refresh(path.absolute())
            with mirror.synced(path.absolute()):
                yield
