"""deeplab-prepare on the exports of labelling tools, from the outside."""

import re

from support.commands import run
from support.tool_exports import scenes, write_cvat_xml, write_labelme

from deeplab_tf.data.records import open_records


def prepare(*arguments):
    return run("-m", "deeplab_tf.cli.prepare", *arguments)


def test_an_export_is_found_and_named_by_its_folder(tmp_path):
    root, data = tmp_path / "labelme", tmp_path / "data"
    write_labelme(root, scenes(3))
    done = prepare("--dataset=folder", f"--source={root}", "--init", "--name=streets")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is Labelme's JSON (frame_000.json), which needs no dataset.json" in done.stdout
    flags = re.search("next: deeplab-prepare (.*) --data_dir=data", done.stdout).group(1).split()
    assert flags == ["--dataset=labelme", f"--source={root}", "--name=streets"]
    assert not (root / "dataset.json").exists()
    done = prepare("--dataset=folder", f"--source={root}", f"--data_dir={data}", "--void=road")
    assert (done.returncode, done.stderr) == (0, "")
    assert "(frame_000.json): read as --dataset=labelme" in done.stdout
    row = "--config=configs/own.py:mobilenet_v2 --config.init_from=imagenet-mobilenet-v2"
    assert f"{row} --config.data.dataset=labelme" in done.stdout
    assert open_records(data, "labelme").classes.names == ("background", "car")


def test_a_tool_by_name_with_choices(tmp_path):
    root, data = tmp_path / "export", tmp_path / "data"
    write_cvat_xml(root, scenes(3))
    flags = (f"--source={root}", f"--data_dir={data}", "--name=streets")
    done = prepare("--dataset=cvat_xml", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert open_records(data, "streets").classes.names == ("background", "road", "car")
    assert "1 of 3 images, chosen by their names, are val" in done.stdout


def test_choices_of_an_export_go_with_no_other_data_set(tmp_path):
    flags = (f"--source={tmp_path}", f"--data_dir={tmp_path / 'data'}")
    done = prepare("--dataset=voc", *flags, "--void=road")
    assert done.returncode == 2 and "go with the export of a labelling tool" in done.stderr
    done = prepare("--dataset=folder", *flags, "--name=streets")
    assert done.returncode == 1 and "no labelling tool's export" in done.stderr
