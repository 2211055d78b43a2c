"""A server of files on the loopback address that can cut, redirect, or know no ranges."""

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Iterator


@dataclasses.dataclass
class FileServer:
    """What the server gives and what it was asked.

    Attributes:
        address: the address of its folder, without a slash at the end.
        files: the content of each file by name.
        cuts: how many bytes the next answers send before the connection is cut, first answer
            first; None sends all.
        ranges: whether it knows ranges.
        moved: the name to which it redirects a request, by the name that is asked for.
        success: the status code of a whole file.
        asked: (name, first byte that was asked for) of each request.
    """

    address: str = ""
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    cuts: list[int | None] = dataclasses.field(default_factory=list)
    ranges: bool = True
    moved: dict[str, str] = dataclasses.field(default_factory=dict)
    success: int = 200
    asked: list[tuple[str, int]] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    """Runs a server until the block ends."""
    state = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
            state.asked.append((name, begin))
            if name in state.moved:
                self.send_response(302)
                self.send_header("Location", f"{state.address}/{state.moved[name]}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if name not in state.files:
                self.send_error(404)
                return
            content = state.files[name]
            if begin and state.ranges:
                if begin >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/*")
                content = content[begin:]
            else:
                self.send_response(state.success)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else None
            self.wfile.write(content[:cut])
            self.close_connection = True

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}/models"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
