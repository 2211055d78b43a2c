"""The transfer of a file from a server on the loopback address, whatever happens to it."""

import builtins
import errno
import socket

import numpy as np
import pytest
from support.file_server import file_server

from deeplab_tf.named.download import NotFetchedError, download

CONTENT = np.random.default_rng(0).bytes(3 << 20)


@pytest.fixture
def server():
    with file_server() as started:
        started.files["a.bin"] = CONTENT
        yield started


def test_a_file_comes_whole(server, tmp_path):
    part = tmp_path / "a.bin.part"
    download(f"{server.address}/a.bin", part)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("a.bin", 0)]


def test_a_cut_transfer_goes_on_where_it_was(server, tmp_path):
    part = tmp_path / "a.bin.part"
    server.cuts = [1 << 20, 1 << 19, None]
    download(f"{server.address}/a.bin", part)
    assert part.read_bytes() == CONTENT
    begins = [begin for _, begin in server.asked]
    assert begins[0] == 0 and 0 < begins[1] <= 1 << 20 and begins[1] < begins[2] <= 3 << 19


def test_another_process_goes_on_too(server, tmp_path):
    part = tmp_path / "a.bin.part"
    part.write_bytes(CONTENT[:1000])
    download(f"{server.address}/a.bin", part)
    assert part.read_bytes() == CONTENT and server.asked == [("a.bin", 1000)]
    download(f"{server.address}/a.bin", part)  # it is whole, and stays so
    assert part.read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    part = tmp_path / "a.bin.part"
    part.write_bytes(b"x" * 1000)
    download(f"{server.address}/a.bin", part)
    assert part.read_bytes() == CONTENT


def test_no_progress_is_an_error_and_keeps_what_is_there(server, tmp_path):
    part = tmp_path / "a.bin.part"
    server.cuts = [1 << 20, 0]
    with pytest.raises(NotFetchedError, match="^the connection was cut$"):
        download(f"{server.address}/a.bin", part)
    kept = part.read_bytes()
    assert kept and CONTENT.startswith(kept)


def test_a_missing_file_and_a_missing_server_leave_nothing(server, tmp_path):
    with pytest.raises(NotFetchedError, match="^the server answered 404 Not Found$"):
        download(f"{server.address}/b.bin", tmp_path / "b.part")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/b.bin"
        with pytest.raises(NotFetchedError, match="^no connection$"):
            download(address, tmp_path / "b.part")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    part = tmp_path / "a.bin.part"

    class Full:
        """A file whose disk has room for a megabyte."""

        def __init__(self, file):
            self._file = file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self._file.close()

        def write(self, chunk):
            if self._file.tell() + len(chunk) > 1 << 20:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(chunk)

    real = builtins.open
    monkeypatch.setattr("pathlib.Path.open", lambda path, *args: Full(real(path, *args)))
    with pytest.raises(OSError, match="No space left") as raised:
        download(f"{server.address}/a.bin", part)
    assert raised.value.filename == str(part)
    assert not part.exists()
