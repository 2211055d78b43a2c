"""The transfer of a file from a server on the loopback address, whatever happens to it."""

import builtins
import contextlib
import errno
import pathlib
import socket
import socketserver
import ssl
import threading

import numpy as np
import pytest
from support.file_server import file_server

from deeplab_tf.named.download import NotFetchedError, download

CERTIFICATE = pathlib.Path(__file__).with_name("self_signed.pem")
"""A certificate for 127.0.0.1 that nobody vouches for, with its key, of these tests alone."""

CONTENT = np.random.default_rng(0).bytes(3 << 20)


@contextlib.contextmanager
def tls_address():
    """The address of a server with that certificate, which ends each connection after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):  # the client ends the connection
                context.wrap_socket(self.request, server_side=True).close()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


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


def test_a_cut_transfer_goes_on_behind_a_redirect(server, tmp_path):
    part = tmp_path / "a.bin.part"
    server.moved = {"latest.bin": "a.bin"}
    server.cuts = [1 << 20, None]
    download(f"{server.address}/latest.bin", part)
    assert part.read_bytes() == CONTENT
    begun = server.asked[-1][1]
    assert begun > 0 and server.asked == [
        *(("latest.bin", 0), ("a.bin", 0)),
        *(("latest.bin", begun), ("a.bin", begun)),
    ]


def test_another_success_is_not_appended(server, tmp_path):
    part = tmp_path / "a.bin.part"
    part.write_bytes(CONTENT[:1000])
    server.ranges, server.success = False, 203
    with pytest.raises(NotFetchedError, match="^the server answered 203$"):
        download(f"{server.address}/a.bin", part)
    assert part.read_bytes() == CONTENT[:1000]


def test_a_refused_certificate_and_an_absent_proxy_are_named(tmp_path, monkeypatch):
    part = tmp_path / "a.part"
    with tls_address() as address, pytest.raises(NotFetchedError, match="^the server's certif"):
        download(f"{address}/a.bin", part)
    with file_server() as plain, pytest.raises(NotFetchedError, match="^no secure connection"):
        download(f"{plain.address.replace('http', 'https')}/a.bin", part)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(NotFetchedError, match="^the proxy of HTTPS_PROXY or HTTP_PROXY"):
            download("http://models.invalid/a.bin", part)


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
