"""JSON files with a list and its digest, by which a later run knows whether a person changed them.

Tested in tests/prediction/test_polygon_files.py, through `run_files`.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from deeplab_tf.files.ours import Ours

DIGEST = "deeplab_tf"
"""The key of the digest, a sha256 in hex."""


class ListFile:
    """A JSON object that is written item by item of its one long list, an item a line.

    Args:
        file: the file to write.
        key: the key of the list.
        head: the content before the list.
    """

    def __init__(self, file: TextIO, key: str, head: dict[str, Any]):
        self._file, self._sum, self._between = file, hashlib.sha256(), "\n"
        begin = _text(head).removesuffix("}")
        file.write(f"{begin}{', ' if head else ''}{_text(key)}: [")

    def add(self, items: Iterable[Any]) -> None:
        """Writes items of the list."""
        for item in items:
            text = _text(item)
            self._sum.update(text.encode())
            self._file.write(self._between + text)
            self._between = ",\n"

    def finish(self, tail: dict[str, Any]) -> None:
        """Writes the content after the list, and the digest."""
        end = _text({**tail, DIGEST: self._sum.hexdigest()}).removeprefix("{")
        self._file.write(f"\n], {end}\n")


def digested(key: str) -> Ours:
    """Recognises a file of `ListFile` whose list `key` is as it was written.

    A tool may have saved the file anew, with other keys or lines; only the list counts.
    """

    def ours(path: Path) -> bool:
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, OSError):
            return False
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            return False
        found = hashlib.sha256("".join(map(_text, content[key])).encode())
        return content.get(DIGEST) == found.hexdigest()

    return ours


def _text(content: Any) -> str:
    return json.dumps(content, allow_nan=False, ensure_ascii=False)
