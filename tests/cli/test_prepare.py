"""deeplab-prepare from the outside: what it prints, its exit codes, what it leaves."""

import os
import re

import numpy as np
from PIL import Image
from support.commands import run
from support.shared_data import SHARED, needs_shared_data
from support.tiny_folder import BY_NUMBER, write_folder
from support.tiny_voc import save_mask, write_voc

from deeplab_tf.config import load_experiment
from deeplab_tf.data.records import open_records
from deeplab_tf.data.sources.known import DATA_SETS


def prepare(*arguments, code=None):
    start = ["-c", code] if code else ["-m", "deeplab_tf.cli.prepare"]
    return run(*start, *arguments)


def test_voc_prints_counts_the_folder_and_a_next_command_that_exists(tmp_path):
    folder = write_voc(tmp_path, train=["a"], val=["b", "c"], test=["t"])
    (folder / "SegmentationClass" / "t.png").unlink()
    save_mask(folder, "a", np.array([255, 0] + 3 * [15], np.uint8).repeat(20).reshape(10, 10))
    Image.new("RGB", (10, 10)).save(folder / "JPEGImages" / "a.jpg")
    flags = ("--dataset=voc", f"--source={tmp_path}", f"--data_dir={tmp_path / 'data'}")
    done = prepare(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["test", "train", "val"]
    table = {line.split()[0]: line.split()[1:] for line in lines[1 : lines.index("")]}
    assert table["images"] == ["1", "1", "2"]
    assert table["background"][:3] == ["absent", "20", "25.0%"]  # of 80 pixels that are not void
    assert table["person"] == ["absent", "60", "75.0%", "absent"]
    # Every pixel of the test image is void, and 20 of the training image's 100.
    assert table["void"][1:4] == ["100.0%", "20", "20.0%"]
    assert f"written: {tmp_path / 'data' / 'voc' / '1.0.0'}" in done.stdout
    row = re.search(r"next: deeplab-train --config=(\S+) --data_dir=\S+ --workdir=", lines[-1])
    assert load_experiment(row.group(1)).data.dataset == "voc"
    again = prepare(*flags)
    assert again.returncode == 0
    assert again.stdout.splitlines()[: lines.index("")] == lines[: lines.index("")]
    assert again.stdout.endswith(
        "\n".join(lines[-2:]).replace("written", "already prepared") + "\n"
    )


# Draws 3 + 2 images in place of 2,100.
FEW_SHAPES = """
import functools, sys
from deeplab_tf.data.sources import shapes
shapes.write_shapes_devkit = functools.partial(shapes.write_shapes_devkit, train=3, val=2)
from deeplab_tf.cli import prepare
prepare.run()
"""


def test_shapes_are_drawn_once_and_prepared(tmp_path):
    flags = ("--dataset=shapes", f"--data_dir={tmp_path}")
    done = prepare(*flags, code=FEW_SHAPES)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"the shapes were drawn in {tmp_path / 'shapes_VOCdevkit'}" in done.stdout
    assert re.search(r"images +3 +2\n", done.stdout)
    assert sorted(os.listdir(tmp_path)) == ["shapes", "shapes.check", "shapes_VOCdevkit"]
    again = prepare(*flags)  # would draw 2,100
    assert again.returncode == 0 and "stay as they are" in again.stdout
    assert "already prepared" in again.stdout


def test_an_own_folder_from_init_to_the_next_command(tmp_path):
    root = write_folder(tmp_path / "roofs", None)
    flags = ["--dataset=folder", f"--source={root}"]
    done = prepare(*flags, "--init")
    assert (done.returncode, done.stderr) == (0, "")
    command = re.search("next: deeplab-prepare (.*)", done.stdout).group(1)
    assert "void" in done.stdout and command.split()[:2] == flags
    done = prepare(*flags, f"--data_dir={tmp_path / 'data'}")
    # The drawn pictures are of one colour each, those of training and validation of different ones.
    assert (done.returncode, done.stderr) == (0, "")
    row = "--config=configs/own.py:mobilenet_v2 --config.init_from=imagenet-mobilenet-v2"
    assert f"{row} --config.data.dataset=roofs" in done.stdout
    records = open_records(tmp_path / "data", "roofs")
    assert records.classes.names == ("class_0", "class_7", "class_9")
    assert records.pixels == {"train": [6, 6, 3, 3], "val": [2, 2, 1, 1]}
    again = prepare(*flags, "--init")
    assert again.returncode == 1 and "dataset.json exists already" in again.stderr


def test_what_255_means_is_asked_for_by_a_flag(tmp_path):
    root = write_folder(tmp_path / "roofs", None)
    for path in (root / "masks").iterdir():
        Image.fromarray(np.array([[0, 255, 255], [0, 0, 255]], np.uint8)).save(path)
    flags = ["--dataset=folder", f"--source={root}", "--init"]
    done = prepare(*flags)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--meaning_of_255=class or --meaning_of_255=void" in done.stderr
    done = prepare(*flags, "--meaning_of_255=class", "--name=tiles")
    assert done.returncode == 0 and re.search(r"255 +50\.00% +4 +object", done.stdout)
    assert '"name": "tiles"' in (root / "dataset.json").read_text()


def test_soft_masks_are_prepared_by_the_thresholds_that_the_refusal_names(tmp_path):
    root = write_folder(tmp_path / "roofs", None)
    soft = np.arange(0, 256, 3, dtype=np.uint8)[None].repeat(8, 0)
    for number, path in enumerate(sorted((root / "masks").iterdir())):
        Image.fromarray(soft).save(path)
        Image.new("RGB", soft.shape[::-1], (number, 0, 0)).save(root / "images" / path.name)
    flags = ["--dataset=folder", f"--source={root}"]
    done = prepare(*flags, "--init")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    thresholds = re.search(r"--thresholds=\S+", done.stderr).group()
    assert not (root / "dataset.json").exists()
    done = prepare(*flags, "--init", thresholds)
    assert (done.returncode, done.stderr) == (0, "")
    done = prepare(*flags, f"--data_dir={tmp_path / 'data'}")
    assert (done.returncode, done.stderr) == (0, "")
    records = open_records(tmp_path / "data", "roofs")
    assert records.classes.names == ("background", "object")
    assert records.pixels["train"] == [3 * 8 * 43, 3 * 8 * 43, 0]


def test_the_next_command_trains_on_the_split_that_there_is(tmp_path):
    description = {**BY_NUMBER, "splits": {"training": "train.txt", "held_val": "lists/val.txt"}}
    root = write_folder(tmp_path / "roofs", description)
    (root / "images" / "e.heic2").touch()
    done = prepare("--dataset=folder", f"--source={root}", f"--data_dir={tmp_path / 'data'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config.data.dataset=streets --config.data.split=training --data_dir" in done.stdout
    assert "note: passed over, not read as images: 1 .heic2" in done.stdout


def test_every_next_command_names_a_row_of_its_data_set():
    for dataset, known in DATA_SETS.items():
        row, *override = known.example.removeprefix("--config=").split(" --config.data.dataset=")
        assert (override or [load_experiment(row).data.dataset])[0] == dataset


def test_wrong_flags_are_one_line_and_exit_code_2(tmp_path):
    for flags, words in (
        (["--dataset=voc", f"--data_dir={tmp_path}"], "missing --source"),
        (["--dataset=vox", f"--data_dir={tmp_path}"], "should be one of <voc|voc_aug|coco"),
        ([], "missing --dataset"),
        (["--dataset=voc", "--source=x"], "missing --data_dir"),
        (["--dataset=voc", "--source=x", "--init"], "--init goes with --dataset=folder"),
        (["--dataset=folder", "--init"], "missing --source"),
        (["--dataset=folder", "--source=x", "--init", "--thresholds=9,9"], "must be rising whole"),
        (["--dataset=folder", "--source=x", "--data_dir=y", "--thresholds=9"], "with --init"),
        (["--dataset=shapes", "--beam_options=a=b"], "--beam_options needs --runner"),
    ):
        done = prepare(*flags)
        assert done.returncode == 2 and words in done.stderr
        assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_bad_input_is_one_line_and_leaves_the_report_alone(tmp_path):
    folder = write_voc(tmp_path, train=["a", "b", "c"])
    Image.new("RGB", (30, 30)).save(folder / "SegmentationClass" / "b.png")
    (folder / "SegmentationClass" / "c.png").unlink()
    data = tmp_path / "data"
    flags = ("--dataset=voc", f"--source={tmp_path}", f"--data_dir={data}")
    done = prepare(*flags)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"deeplab-prepare: error: mask {folder}/SegmentationClass/b.png ")
    assert "(1 more errors in " in done.stderr and "--on_error=skip" in done.stderr
    assert os.listdir(data) == ["voc.check"]
    report = (data / "voc.check" / "report.txt").read_text()
    assert "b.png" in report and "c.png is missing" in report
    skipped = prepare(*flags, "--on_error=skip")
    assert (skipped.returncode, skipped.stderr) == (0, "")
    assert "skipped: 2 errors" in skipped.stdout
    assert open_records(data, "voc").splits["train"].num_examples == 1


def test_a_source_that_is_not_there_leaves_nothing(tmp_path):
    data = tmp_path / "data"
    done = prepare("--dataset=camvid", f"--source={tmp_path}/no", f"--data_dir={data}")
    assert done.returncode == 1 and "no does not exist" in done.stderr and not data.exists()


def test_check_looks_and_writes_no_records(tmp_path):
    folder = write_voc(tmp_path, train=["a"], val=["b"])
    data = tmp_path / "data"
    flags = ("--dataset=voc", f"--source={tmp_path}", f"--data_dir={data}", "--check")
    done = prepare(*flags)
    assert (done.returncode, done.stderr) == (0, "") and "no errors" in done.stdout
    assert os.listdir(data) == ["voc.check"]
    (folder / "JPEGImages" / "a.jpg").write_bytes((folder / "JPEGImages" / "b.jpg").read_bytes())
    save_mask(folder, "a", np.asarray(Image.open(folder / "SegmentationClass" / "b.png")))
    done = prepare(*flags)
    assert done.returncode == 1 and "train/a and val/b are the same picture" in done.stderr


@needs_shared_data
def test_real_camvid_images(tmp_path):
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
            for file in sorted((SHARED / "camvid" / folder).iterdir())[:4]:
                os.symlink(file, tmp_path / "CamVid" / folder / file.name)
    done = prepare("--dataset=camvid", f"--source={tmp_path}", f"--data_dir={tmp_path / 'data'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"images +4 +4\n", done.stdout)
    masks = [Image.open(file) for file in sorted((tmp_path / "CamVid" / "valannot").iterdir())]
    road = sum(np.count_nonzero(np.asarray(mask) == 3) for mask in masks)
    assert re.search(rf"road .* {road:,} ", done.stdout)
