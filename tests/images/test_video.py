import fractions
import sys

import numpy as np
import pytest
from support.random_model import random_picture

from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.video import Frame, open_video, video_file

av = pytest.importorskip("av")


def write_clip(path, frames=20, size=(48, 64), rotation=0, **options):
    """Blobs that move, ten frames a second; frame k is the same `random_picture` k pixels on."""
    whole = random_picture(size[0], size[1] + frames)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "8", "g": "8"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for k in range(frames):
            pixels = np.ascontiguousarray(whole[:, k : k + size[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return whole


def test_frames_are_those_of_the_file(tmp_path):
    whole = write_clip(tmp_path / "clip.mp4")
    with open_video(tmp_path / "clip.mp4") as video:
        frames = list(video.frames())
    assert (video.count, video.rate, video.problem, video.broken) == (20, 10, None, 0)
    assert [frame.time for frame in frames] == [fractions.Fraction(k, 10) for k in range(20)]
    for k, frame in enumerate(frames):
        assert frame.pixels.shape == (48, 64, 3)
        difference = frame.pixels.astype(int) - whole[:, k : k + 64]
        assert np.abs(difference).mean() < 6  # H.264 keeps colours at half the resolution


def test_reading_and_writing_without_pyav_say_the_same_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DeeplabError, match="videos need PyAV: pip install av"):
        open_video(tmp_path / "clip.mp4").__enter__()
    with pytest.raises(DeeplabError, match="videos need PyAV: pip install av"):
        video_file(tmp_path / "clip.mp4", (48, 64), fractions.Fraction(10)).__enter__()


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_frames_are_upright(tmp_path, rotation):
    """A phone held upright writes lying frames and the angle by which players turn them, whose
    positive sense is against the clock."""
    whole = write_clip(tmp_path / "turned.mp4", rotation=rotation)
    with open_video(tmp_path / "turned.mp4") as video:
        first = next(video.frames()).pixels
    expected = np.rot90(whole[:, :64], rotation // 90)
    assert first.shape == expected.shape
    assert np.abs(first.astype(int) - expected).mean() < 6


def test_written_frames_keep_their_times(tmp_path):
    """A phone's frames come at uneven times."""
    times = [fractions.Fraction(t, 1000) for t in (0, 40, 41, 300, 1000)]
    pixels = [random_picture(32, 48, seed) for seed in range(5)]
    with video_file(tmp_path / "made.mp4", (32, 48), fractions.Fraction(25)) as add:
        for time, picture in zip(times, pixels, strict=True):
            add(Frame(time, picture))
    with open_video(tmp_path / "made.mp4") as video:
        frames = list(video.frames())
    assert [frame.time for frame in frames] == times
    for frame, picture in zip(frames, pixels, strict=True):
        assert np.abs(frame.pixels.astype(int) - picture).mean() < 12


def test_a_recording_behind_another_goes_on(tmp_path):
    """Concatenated transport streams begin anew with their times."""
    write_clip(tmp_path / "clip.ts", frames=10)
    content = (tmp_path / "clip.ts").read_bytes()
    (tmp_path / "clip.ts").write_bytes(content + content)
    with open_video(tmp_path / "clip.ts") as video:
        times = [float(frame.time) for frame in video.frames()]
    np.testing.assert_allclose(times, np.arange(20) / 10, atol=1e-3)


def test_nothing_stays_of_a_video_that_was_not_finished(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        video_file(tmp_path / "made.mp4", (32, 48), fractions.Fraction(25)) as add,
    ):
        add(Frame(fractions.Fraction(0), random_picture(32, 48)))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_broken_middle_is_left_out(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames=40, size=(240, 320))
    content = bytearray(clip.read_bytes())
    begin, damaged = content.index(b"mdat") + len(content) // 3, len(content) // 3
    content[begin : begin + damaged] = np.random.default_rng(0).bytes(damaged)
    clip.write_bytes(content)
    with open_video(clip) as video:
        frames = list(video.frames())
    assert 20 <= len(frames) < 40
    assert frames[-1].time == fractions.Fraction(39, 10)
    assert video.broken > 0
    assert "Invalid data" in video.problem and "after " in video.problem


def test_a_cut_end_is_reported(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames=40, size=(240, 320), movflags="faststart")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with open_video(clip) as video:
        frames = list(video.frames())
    assert 5 < len(frames) < 40
    assert video.problem is not None and " early" in video.problem


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_what_is_no_video_is_named(tmp_path, content):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with (
        pytest.raises(DeeplabError, match=r"video .*clip.mp4 cannot be read: \w+"),
        open_video(path),
    ):
        pass
