import fractions

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES, VOC
from deeplab_tf.images.video import Frame, open_video, video_file
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction.predict_video import predict_video

av = pytest.importorskip("av")
FRAMES = 11
SIZE = (48, 66)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    with video_file(path, SIZE, fractions.Fraction(5)) as add:
        for k in range(FRAMES):
            add(Frame(fractions.Fraction(k, 5), random_picture(*SIZE, k)))
    return path


def bright(images):
    """Class 0 where a pixel is dark, 3 where it is bright."""
    return np.where(images[..., 0] > 127, 3, 0).astype(np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_frame_has_its_labels(clip, tmp_path, batch_size):
    count, problems = predict_video(Predictor(SHAPES, bright), clip, tmp_path / "out", batch_size)
    assert (count, problems) == (FRAMES, [])
    with open_video(clip) as video:
        expected = [bright(frame.pixels) for frame in video.frames()]
    written = sorted((tmp_path / "out" / "clip").glob("*.png"))
    assert len(list((tmp_path / "out" / "clip").iterdir())) == FRAMES + 1  # and the mark
    assert [path.name for path in written] == [f"{k:06}.png" for k in range(1, FRAMES + 1)]
    for path, labels in zip(written, expected, strict=True):
        with Image.open(path) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), labels)


def test_the_overlay_is_the_video_in_colours(clip, tmp_path):
    predict_video(Predictor(SHAPES, bright), clip, tmp_path / "out")
    with open_video(clip) as video, open_video(tmp_path / "out" / "clip_overlay.mp4") as overlay:
        before, after = list(video.frames()), list(overlay.frames())
    assert [frame.time for frame in after] == [frame.time for frame in before]
    height, width = after[0].pixels.shape[:2]
    assert height > SIZE[0] and (height % 2, width % 2) == (0, 0)
    for frame, picture in zip(before, after, strict=True):
        shown = picture.pixels[: SIZE[0], : SIZE[1]].astype(float)
        dark = bright(frame.pixels) == 0
        assert np.abs(shown - frame.pixels)[dark].mean() < 12  # the background stays as it is
        mixed = 0.45 * frame.pixels[~dark] + 0.55 * np.array(SHAPES.palette[3])
        assert np.abs(shown[~dark] - mixed).mean() < 12


def test_a_large_video_is_shrunk_to_look_at(tmp_path):
    path = tmp_path / "wide.mp4"
    with video_file(path, (2, 2400), fractions.Fraction(5)) as add:
        add(Frame(fractions.Fraction(0), random_picture(2, 2400)))
    predict_video(Predictor(VOC, bright), path, tmp_path / "out")
    with open_video(tmp_path / "out" / "wide_overlay.mp4") as overlay:
        assert next(overlay.frames()).pixels.shape[1] == 1920
    with Image.open(tmp_path / "out" / "wide" / "000001.png") as labels:
        assert labels.size == (2400, 2)


def test_what_was_decoded_of_a_broken_video_is_kept(clip, tmp_path):
    content = bytearray(clip.read_bytes())
    begin = content.index(b"mdat") + len(content) // 2
    content[begin : begin + 1500] = np.random.default_rng(0).bytes(1500)
    clip.write_bytes(content)
    count, problems = predict_video(Predictor(SHAPES, bright), clip, tmp_path / "out")
    assert 1 <= count <= FRAMES
    assert len(problems) == 1
    assert "clip.mp4: " in str(problems[0]) and f"{count} frames were predicted" in str(problems[0])
    assert len(list((tmp_path / "out" / "clip").glob("*.png"))) == count


def test_an_earlier_longer_result_is_replaced(clip, tmp_path):
    folder = tmp_path / "out" / "clip"
    predict_video(Predictor(SHAPES, bright), clip, tmp_path / "out")
    (folder / "000099.png").touch()
    predict_video(Predictor(SHAPES, bright), clip, tmp_path / "out")
    assert len(list(folder.glob("*.png"))) == FRAMES


def test_a_model_that_fails_leaves_nothing(clip, tmp_path):
    def fail(images):
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        predict_video(Predictor(SHAPES, fail), clip, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))


def test_a_model_of_other_bands_says_so(clip, tmp_path):
    bands = Predictor(SHAPES, bright, ImageFormat(5, 16, (0.0,) * 5, (1.0,) * 5))
    with pytest.raises(DeeplabError, match="this model takes 5 bands of 16 bits"):
        predict_video(bands, clip, tmp_path / "out")
