"""Video files by PyAV (FFmpeg): upright RGB frames in, an H.264 file out."""

import contextlib
import dataclasses
import fractions
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import whole_file

VIDEO_SUFFIXES = tuple(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .3gp".split()
)
"""What counts as a video in a folder or a pattern."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """`pixels`, upright RGB uint8 [H, W, 3], shown `time` seconds after the video's beginning."""

    time: fractions.Fraction
    pixels: np.ndarray


class Video:
    """A video file that is open.

    Attributes:
        path: of the file.
        rate: frames a second, on the average.
        count: frames by what the file says; None where it does not.
        duration: seconds by what the file says; None where it does not.
        broken: packets that could not be decoded so far.
        problem: what was wrong with the first of them, or with the file's end; None if nothing.
    """

    def __init__(self, path: pathlib.Path, container: Any):
        self.path = path
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = fractions.Fraction(self._stream.average_rate or 25)
        self.count: int | None = self._stream.frames or None
        self.duration: fractions.Fraction | None = None
        if container.duration:
            self.duration = fractions.Fraction(container.duration, 1_000_000)  # FFmpeg's unit
        self.broken = 0
        self.problem: str | None = None

    def frames(self) -> Iterator[Frame]:
        """The frames in the order in which they are shown, all of the first one's size.

        A packet that cannot be decoded is counted, and the next one tried.
        """
        size, begin, packets = None, None, 0
        time = last = fractions.Fraction(0)
        for packet in self._packets():
            packets += packet.size > 0
            for frame in self._decoded(packet, time):
                rotation = frame.rotation
                if frame.pts is not None:
                    shown = frame.pts * fractions.Fraction(frame.time_base)
                    if begin is None or shown - begin < last:
                        begin = shown - time  # the first one, or a recording put behind another
                    time = shown - begin
                size = size or (frame.width, frame.height)
                pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                yield Frame(time, np.ascontiguousarray(np.rot90(pixels, rotation // 90)))
                last, time = time, time + 1 / self.rate
        # A trimmed video has more packets than it shows; its duration is what it shows.
        missing = self.duration - time if self.duration else 0
        if self.count and packets < self.count and missing > 1 and not self.problem:
            self.problem = f"it ends {float(missing):.1f} s early"

    def _packets(self) -> Iterator[Any]:
        import av.error

        packets = self._container.demux(self._stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                self.problem = self.problem or f"it ends early: {error.strerror}"
                return

    def _decoded(self, packet: Any, time: fractions.Fraction) -> list[Any]:
        import av.error

        try:
            return packet.decode()
        except av.error.FFmpegError as error:
            self.broken += 1
            self.problem = self.problem or f"after {float(time):.1f} s: {error.strerror}"
            return []


def check_video() -> None:
    """Raises `DeeplabError` where the library is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise DeeplabError("videos need PyAV: pip install av") from error


@contextlib.contextmanager
def open_video(path: pathlib.Path) -> Iterator[Video]:
    """The video file at `path`, closed at the end.

    Raises:
        DeeplabError: it is missing, is no video, or PyAV is not installed.
    """
    check_video()
    import av
    import av.error

    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise DeeplabError(
            f"video {path} cannot be read: {one_line(str(error.strerror))}"
        ) from error
    with container:
        if not container.streams.video:
            raise DeeplabError(f"video {path} cannot be read: it has no pictures")
        yield Video(path, container)


@contextlib.contextmanager
def video_file(
    path: pathlib.Path, size: tuple[int, int], rate: fractions.Fraction
) -> Iterator[Callable[[Frame], None]]:
    """Gives a function that adds a frame to a new H.264 file; the file is whole at the end, or not
    there.

    Args:
        path: ends in .mp4.
        size: even (height, width) of all frames.
        rate: frames a second, on the average; each is shown at its own time.
    """
    import av

    with whole_file(path) as beside, av.open(str(beside), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"  # what every player shows
        stream.codec_context.time_base = fractions.Fraction(1, 90_000)
        last = -1

        def add(frame: Frame) -> None:
            nonlocal last
            picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
            picture.time_base = stream.codec_context.time_base
            last = picture.pts = max(last + 1, round(frame.time / picture.time_base))
            container.mux(stream.encode(picture))

        yield add
        container.mux(stream.encode())
