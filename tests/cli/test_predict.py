"""deeplab-predict as a user runs it, on images good and bad."""

import contextlib
import fractions
import os
import signal
import tarfile
import time

import numpy as np
import pytest
from PIL import Image
from support.commands import Command, call
from support.random_model import random_picture, random_trained_model, shared_model, write_kinds
from support.tiny_voc import write_voc

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.artefacts.saved_model import EXTRA_DIR, SAVED_MODEL_FILE
from deeplab_tf.artefacts.trained_model import save_model
from deeplab_tf.images.classes import VOC
from deeplab_tf.images.video import Frame, open_video, video_file


def predict(*arguments):
    return call("predict", *arguments)


@contextlib.contextmanager
def reading(*arguments):
    """The command, and a binary stream to its standard input that ends with the block."""
    end, beginning = os.pipe()
    with open(beginning, "wb") as stream:
        process = Command("-m", "deeplab_tf.cli.predict", *arguments, stdin=end)
        os.close(end)
        yield process, stream


@pytest.fixture(scope="module")
def trained():
    return shared_model()


@pytest.fixture
def model(artefacts):
    return f"--model={artefacts}/model.keras"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    write_kinds(folder)
    Image.fromarray(random_picture(40, 53)).convert("CMYK").save(folder / "cmyk.jpg")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    return folder


def test_good_images_are_predicted_beside_bad_ones(model, trained, images, tmp_path):
    (images / "cut.jpg").write_bytes((images / "turned.jpg").read_bytes()[:400])
    (images / "text.png").write_text("no picture")
    out = tmp_path / "out"
    done = predict(model, f"--images={images}", f"--out={out}")
    assert done.returncode == 1
    assert done.stdout == f"7 of 9 images predicted into {out}\n"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "deeplab-predict: error: 2 of 9 files could not be read, or not to the end: "
    )
    assert "cut.jpg cannot be read" in done.stderr and "text.png cannot be read" in done.stderr

    sizes = {}
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "P"
            sizes[path.stem] = image.size
    assert sizes == {
        "rgb": (53, 40),
        "turned": (40, 53),  # upright
        "grey": (53, 40),
        "alpha": (53, 40),
        "cmyk": (53, 40),
        "one": (1, 1),
        "thin": (1, 2000),
    }
    assert {path.stem for path in out.glob("*_overlay.jpg")} == {f"{n}_overlay" for n in sizes}
    assert len(list(out.iterdir())) == 2 * len(sizes)
    with Image.open(out / "rgb.png") as image:
        expected = trained.model(random_picture(40, 53)[None]).numpy()[0].argmax(-1)
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_everything_is_written_by_its_flags(model, images, tmp_path):
    pytest.importorskip("rasterio")
    out = tmp_path / "out"
    arguments = (model, f"--images={images}/turned.jpg", f"--out={out}")
    done = predict(
        *arguments, "--write=areas,confidence", "--polygons=labelme,coco", "--min_area=9"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [
        "areas.csv",
        "coco.json",
        "labels.txt",
        "turned.json",
        "turned_confidence.png",
    ]
    with Image.open(out / "turned_confidence.png") as confidence:
        assert confidence.size == (40, 53)  # upright


def test_labels_of_others_are_named_before_the_model_is_loaded(trained, images):
    pytest.importorskip("rasterio")
    (images / "labels.txt").write_text("cat")
    model = images.parent / "saved"
    (model / EXTRA_DIR).mkdir(parents=True)
    (model / EXTRA_DIR / DESCRIPTION).write_text(describe(trained.experiment, trained.classes))
    (model / SAVED_MODEL_FILE).write_text("cannot be loaded")
    arguments = (f"--model={model}", f"--images={images}/rgb.png", f"--out={images}")
    done = predict(*arguments, "--write=polygons", "--polygons=labelme")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "labels.txt must have the names of all classes. It lacks __ignore__, " in done.stderr


def test_bad_input_is_one_line(images, tmp_path):
    out = f"--out={tmp_path}/out"
    for code, message, arguments in (
        (2, "missing --model, --out", ()),
        (2, "give one of --images=FILES and --data_dir=DIR", ("--model=a", out)),
        (2, "--output_stride", ("--output_stride=7", "--model=a", f"--images={images}", out)),
        (1, "matches no image", ("--model=a", f"--images={images}/*.webp", out)),
    ):
        done = predict(*arguments)
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert (done.returncode, done.stdout) == (code, "")
    assert not (tmp_path / "out").exists()


def test_videos_beside_images(model, trained, images, tmp_path):
    pytest.importorskip("av")
    with video_file(images / "clip.mp4", (48, 64), fractions.Fraction(5)) as add:
        for k in range(5):
            add(Frame(fractions.Fraction(k, 5), random_picture(48, 64, k)))
    (images / "cut.mov").write_bytes((images / "clip.mp4").read_bytes()[:300])
    out = tmp_path / "out"
    done = predict(model, f"--images={images}", f"--out={out}", "--batch_size=2")
    assert done.stdout == f"7 of 7 images and 1 of 2 videos (5 frames) predicted into {out}\n"
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "error: 1 of 9 files could not be read, or not to the end: video " in done.stderr
    assert "cut.mov cannot be read" in done.stderr
    with open_video(images / "clip.mp4") as video:
        expected = [
            trained.model(frame.pixels[None]).numpy().argmax(-1) for frame in video.frames()
        ]
    found = [np.asarray(Image.open(path))[None] for path in sorted((out / "clip").glob("*.png"))]
    assert np.mean(np.equal(found, expected)) > 0.999
    assert (out / "clip_overlay.mp4").is_file() and not (out / "cut").exists()


def test_a_stream_is_answered_as_it_comes(model, images, tmp_path):
    frames = [(images / name).read_bytes() for name in ("rgb.png", "turned.jpg", "grey.jpg")]
    frames.insert(1, frames[1][:400])
    out = tmp_path / "out"
    arguments = [model, "--images=-", f"--out={out}"]
    with reading(*arguments) as (process, stream):
        for number, frame in enumerate(frames, 1):
            stream.write(frame)
            stream.flush()
            # What is cut ends where the next one begins, and says nothing before.
            deadline = time.monotonic() + 120
            while number != 2 and not (out / f"frame_{number:06}_overlay.jpg").exists():
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == f"3 of 4 frames predicted into {out}\n"
    assert process.returncode == 1
    assert "1 of 4 frames could not be read: image frame_000002 cannot be read" in stderr
    assert len(list(out.iterdir())) == 6
    with Image.open(out / "frame_000003.png") as labels:
        assert labels.size == (40, 53)  # upright


def test_ctrl_c_ends_a_stream_with_its_summary(model, images, tmp_path):
    out = tmp_path / "out"
    arguments = [model, "--images=-", f"--out={out}"]
    with reading(*arguments) as (process, stream):
        stream.write((images / "rgb.png").read_bytes())
        stream.flush()
        deadline = time.monotonic() + 120
        while not (out / "frame_000001_overlay.jpg").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert stdout == f"1 of 1 frames predicted into {out}\n"


def test_an_empty_stream_is_an_error(model, tmp_path):
    done = predict(model, "--images=-", f"--out={tmp_path}/out")
    assert done.returncode == 1
    assert "standard input ended before any image came" in done.stderr


def test_submission_of_the_listed_images(tmp_path):
    trained = random_trained_model(num_classes=21)
    trained.classes = VOC
    save_model(trained, tmp_path / "model.keras")
    voc = write_voc(tmp_path, test=["2008_000006", "2008_000011"], train=["2007_000001"])
    arguments = [
        f"--model={tmp_path}/model.keras",
        f"--images={voc}/JPEGImages",
        f"--list={voc}/ImageSets/Segmentation/test.txt",
        f"--out={tmp_path}/out",
        f"--submission={tmp_path}/results.tar.gz",
    ]
    done = predict(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"submission of 2 images, checked: {tmp_path}/results.tar.gz\n")
    with tarfile.open(tmp_path / "results.tar.gz") as tar:
        for member in tar:
            packed = np.asarray(Image.open(tar.extractfile(member)))
            name = member.name.removeprefix("results/VOC2012/Segmentation/comp6_test_cls/")
            np.testing.assert_array_equal(packed, np.asarray(Image.open(tmp_path / "out" / name)))
    assert not (tmp_path / "out" / "2007_000001.png").exists()

    # A picture that cannot be read: the others are predicted, and there is no archive.
    (voc / "JPEGImages" / "2008_000011.jpg").write_text("no picture")
    (tmp_path / "results.tar.gz").unlink()
    done = predict(*arguments)
    assert done.returncode == 1 and "2008_000011.jpg" in done.stderr
    assert not (tmp_path / "results.tar.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--submission=a.tar.gz"], 2, "--submission needs --list="),
        (["--submission=a.zip", "--list=b"], 2, "must end in .tar.gz"),
        (["--images=-", "--list=b"], 2, "--list needs files, and --images=- is a stream"),
        (["--runner=DirectRunner", "--images=-"], 2, "--runner does not go with --images=-"),
        (["--runner=DirectRunner", "--list=b"], 2, "--runner does not go with --images=-, --list"),
        (["--runner=Nobody"], 1, "--runner=Nobody must be a runner of Beam"),
        (["--beam_options=region=x"], 2, "--beam_options needs --runner"),
        (["--dataset=voc", "--split=val"], 2, "--data_dir, --dataset and --split go together"),
        (["--batch_size=0"], 2, "0 is not a positive integer"),
        (["--write=labels,masks"], 2, "must be some of labels, overlay, probabilities, confidence"),
        (["--polygons=shp"], 2, "must be some of geojson, labelme, coco"),
        (["--simplify=2"], 2, "--simplify needs polygons in --write"),
        (["--min_area=-1"], 2, "--min_area"),
        (["--submission=a.tar.gz", "--list=b", "--write=overlay"], 2, "needs labels in --write"),
        (["--list=absent.txt"], 1, "--list=absent.txt cannot be read"),
    ],
)
def test_wrong_flags(images, arguments, code, said, tmp_path):
    done = predict("--model=m.keras", f"--images={images}", f"--out={tmp_path}/out", *arguments)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_other_classes_are_refused_before_anything_is_predicted(model, images, tmp_path):
    (tmp_path / "list.txt").write_text("rgb\n")
    done = predict(
        model,
        f"--images={images}",
        f"--out={tmp_path}/out",
        f"--list={tmp_path}/list.txt",
        f"--submission={tmp_path}/a.tar.gz",
    )
    assert done.returncode == 1
    assert "this model has the 6 classes of shapes" in done.stderr
    assert not (tmp_path / "out").exists()
