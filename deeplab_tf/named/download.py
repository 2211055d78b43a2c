"""The transfer of one file over HTTP, which goes on where an earlier one was cut.

Tested in tests/named/test_download.py.
"""

import os
import pathlib
import sys

import pooch
import requests

from deeplab_tf.errors import one_line
from deeplab_tf.machine.system import flush

CHUNK = 1 << 18
OK, PARTIAL_CONTENT, OUT_OF_RANGE = 200, 206, 416


class NotFetchedError(Exception):
    """The transfer did not come to its end; the message says why in a few words."""


def download(address: str, part: pathlib.Path) -> None:
    """Fetches `address` into the file `part`, appending to what is there.

    A cut transfer goes on by itself as long as it gets further. A full disk removes `part`; any
    other end leaves it, for the next call. A server that does not give ranges sends the whole file
    anew. A progress bar is on stderr where that is a terminal.

    Raises:
        NotFetchedError: there is no answer, an answer other than success, or a cut transfer that
            gets no further.
        OSError: the disk is full, or `part` cannot be written.
    """
    while True:
        begun = _size(part)
        try:
            _append(address, part, begun)
            return
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            if status == OUT_OF_RANGE and begun:
                return  # all of it is here already, which its hash will show
            if _size(part) <= begun:
                if not begun:
                    part.unlink(missing_ok=True)
                raise NotFetchedError(_reason(error)) from error
        except OSError as error:
            part.unlink(missing_ok=True)
            error.filename = error.filename or str(part)
            raise


def move_whole(part: pathlib.Path, path: pathlib.Path) -> None:
    """Flushes `part` and gives it the name `path`."""
    flush(part)
    os.replace(part, path)
    flush(path.parent)


def _append(address: str, part: pathlib.Path, begun: int) -> None:
    # A server that compresses would give other bytes, and ranges of those.
    headers = {"Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    with part.open("ab") as file:

        def look(response: requests.Response, *_args, **_kwargs) -> None:
            if response.status_code == PARTIAL_CONTENT:
                given = response.headers.get("Content-Range", "")
                if not given.startswith(f"bytes {begun}-"):
                    raise requests.RequestException(f"a wrong range: {given or 'none'}")
            elif response.status_code == OK:
                file.truncate(0)
            elif response.ok and not response.is_redirect:  # whose target is looked at next
                raise requests.RequestException(f"the server answered {response.status_code}")

        pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=CHUNK,
            headers=headers,
            hooks={"response": look},
        )(address, file, None)


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return one_line(f"the server answered {error.response.status_code} {error.response.reason}")
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy of HTTPS_PROXY or HTTP_PROXY refused or does not answer"
    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return (
                "the server's certificate was refused (REQUESTS_CA_BUNDLE can name a file of the "
                "certificates that count)"
            )
        return "no secure connection (TLS)"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return one_line(str(error))[:200]
