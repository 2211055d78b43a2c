"""The reading and writing of video files by PyAV (FFmpeg).

Videos are read as upright RGB frames and written as H.264 files.
"""

import contextlib
import dataclasses
import fractions
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import Ours, containing, whole_file
from deeplab_tf.images.marks import MARK

VIDEO_SUFFIXES = tuple(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .3gp".split()
)
"""The suffixes of the files that count as videos in a folder or a pattern."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        time: the time in seconds, from the video's beginning, at which the frame is shown.
        pixels: upright RGB uint8 [H, W, 3].
    """

    time: fractions.Fraction
    pixels: np.ndarray


class Video:
    """An open video file.

    Attributes:
        path: the path of the file.
        rate: the average number of frames in a second.
        count: the number of frames according to the file; None where the file does not say.
        duration: the length in seconds according to the file; None where the file does not say.
        broken: the number of packets so far that could not be decoded.
        problem: the fault of the first broken packet or of the file's end; None without a fault.
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
        """Yields the frames in the order in which they are shown.

        All frames are scaled to the size of the first frame. A packet that cannot be decoded adds 1
        to `broken`, and the next packet is tried. At the end, `problem` says whether the file was
        cut.
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
                        # The frame is the first one, or time runs backwards because two
                        # recordings were joined; the times go on from `time`.
                        begin = shown - time
                    time = shown - begin
                size = size or (frame.width, frame.height)
                pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                yield Frame(time, np.ascontiguousarray(np.rot90(pixels, rotation // 90)))
                last, time = time, time + 1 / self.rate
        # A trimmed video has more packets than it shows, so missing packets do not prove that the
        # file was cut. The duration is that of the shown part, of which a second must be missing
        # as well.
        missing = self.duration - time if self.duration else 0
        if self.count and packets < self.count and missing > 1 and not self.problem:
            self.problem = f"it ends {float(missing):.1f} s early"

    def _packets(self) -> Iterator[Any]:
        """Yields the packets of the video; an error of the file ends them and sets `problem`."""
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
        """Decodes a packet into frames; a broken packet counts in `broken` and gives none."""
        import av.error

        try:
            return packet.decode()
        except av.error.FFmpegError as error:
            self.broken += 1
            self.problem = self.problem or f"after {float(time):.1f} s: {error.strerror}"
            return []


def check_video() -> None:
    """Raises `DeeplabError` where PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise DeeplabError("videos need PyAV: pip install av") from error


@contextlib.contextmanager
def open_video(path: pathlib.Path) -> Iterator[Video]:
    """Opens the video file at `path` and closes it at the end of the `with` statement.

    Raises:
        DeeplabError: the file is missing or is no video, or PyAV is not installed.
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


is_marked_video = containing(MARK.encode())
"""Recognises a video that `video_file` wrote, by its comment."""


@contextlib.contextmanager
def video_file(
    path: pathlib.Path,
    size: tuple[int, int],
    rate: fractions.Fraction,
    ours: Ours = is_marked_video,
) -> Iterator[Callable[[Frame], None]]:
    """Provides a function that adds a frame to a new H.264 file.

    The file appears when it is complete; an error leaves no partial file.

    Args:
        path: the file to write, which ends in .mp4.
        size: the (height, width) of all frames, which must be even.
        rate: the average number of frames in a second; each frame is shown at its own time.
        ours: as for `whole_file`.

    Raises:
        DeeplabError: PyAV is not installed.
    """
    check_video()
    import av

    whole = whole_file(path, ours, durable=False)
    with whole as temporary, av.open(str(temporary), "w") as container:
        container.metadata["comment"] = MARK
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"  # the pixel format that every player shows
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
