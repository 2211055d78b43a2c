"""Our figures next to the paper's: which result counts for which row, and what deviates."""

import dataclasses
import json
import re

import pytest

from deeplab_tf.config import load_experiment, to_json, validate
from deeplab_tf.errors import DeeplabError
from deeplab_tf.paper.comparison import format_table
from deeplab_tf.paper.results import deviations, find_results, ours_of
from deeplab_tf.paper.tables import TABLES

STAGE1 = "configs/paper/table3.py:mg121_block7"


def write_result(folder, row, miou, *, evaluate_config=None, images=1449, step=30_000, **changes):
    """An eval.json of a run of `row`; `changes` are fields of the train section."""
    experiment = load_experiment(row)
    experiment.init_from = changes.pop("init_from", "imagenet.keras")
    evaluate_config = evaluate_config or experiment.evaluate
    for name, value in changes.items():
        setattr(experiment.train, name, value)
    experiment = validate(
        dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, num_classes=21))
    )
    fields = {
        "model": str(folder),
        "dataset": "voc_aug",
        "images": images,
        "step": step,
        "mean_iou": miou / 100,
        **dataclasses.asdict(evaluate_config),
        "experiment": json.loads(to_json(experiment)),
    }
    folder.mkdir(parents=True)
    (folder / "eval.json").write_text(json.dumps(fields))


def ours(row, folder):
    """The figures for `row` that are as it says."""
    groups = ours_of(load_experiment(row), find_results(folder))
    return [miou for group in groups if not group.deviations for miou in group.mious]


def test_a_run_of_the_row_is_its_result(tmp_path):
    write_result(tmp_path / "a", STAGE1, 76.5)
    assert ours(STAGE1, tmp_path) == [76.5]
    assert (
        ours_of(load_experiment("configs/paper/table3.py:mg121_block6"), find_results(tmp_path))
        == []
    )
    text = format_table(3, find_results(tmp_path))
    assert "76.66 / 76.50 [1]" in text
    assert text.endswith(f"ours:\n[1] {tmp_path}/a/eval.json: initial weights imagenet.keras\n")


def test_seeds_are_averaged(tmp_path):
    write_result(tmp_path / "a", STAGE1, 76.0, seed=0)
    write_result(tmp_path / "b", STAGE1, 77.0, seed=1)
    assert ours(STAGE1, tmp_path) == [76.0, 77.0]
    text = format_table(3, find_results(tmp_path))
    assert "76.66 / 76.50 (76.00 to 77.00, 2 models) [1]" in text


def test_a_model_that_was_evaluated_twice_is_one_run(tmp_path):
    write_result(tmp_path / "a", STAGE1, 76.0)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "eval.json").write_text((tmp_path / "a" / "eval.json").read_text())
    assert ours(STAGE1, tmp_path) == [76.0]


def test_an_inference_row_is_another_evaluation_of_the_same_training(tmp_path):
    at_8 = load_experiment("configs/paper/table4.py:os8").evaluate
    write_result(tmp_path / "a", STAGE1, 76.5)
    write_result(tmp_path / "b", STAGE1, 78.0, evaluate_config=at_8)
    assert ours("configs/paper/table4.py:os16", tmp_path) == [76.5]
    assert ours("configs/paper/table4.py:os8", tmp_path) == [78.0]
    assert ours("configs/paper/table4.py:os8_ms", tmp_path) == []
    # Table 3's row is the training's own evaluation, at 16.
    assert ours(STAGE1, tmp_path) == [76.5]


def test_rows_of_equal_trainings_share_their_result(tmp_path):
    """ResNet-101 of Table 2 and multi-grid (1, 1, 1) of Table 3."""
    write_result(tmp_path / "a", "configs/paper/table2.py:resnet101_block6", 75.3)
    assert ours("configs/paper/table3.py:mg111_block6", tmp_path) == [75.3]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 150, "step": 150}, "train.steps=150 (the row: 30000)"),
        ({"step": 20_000}, "at step 20000 of 30000"),
        ({"init_from": None}, "random initial weights (the row: ImageNet)"),
        ({"images": 93}, "evaluated on 93 images (VOC val: 1449)"),
    ],
)
def test_what_is_not_the_rows_protocol_is_said(tmp_path, changes, said):
    write_result(tmp_path / "a", STAGE1, 12.3, **changes)
    text = format_table(3, find_results(tmp_path))
    assert "76.66 / 12.30 [1]" in text
    assert f"[1] {tmp_path}/a/eval.json: initial weights " in text and f"; {said}\n" in text
    # No result that deviates is hidden by another.
    write_result(tmp_path / "b", STAGE1, 70.0, batch_size=8)
    text = format_table(3, find_results(tmp_path))
    assert "76.66 / 12.30 [1], 70.00 [2]" in text
    assert "train.batch_size=8 (the row: 16)\n" in text
    # One that is as the row says is enough.
    write_result(tmp_path / "c", STAGE1, 76.0)
    assert "76.66 / 76.00 [1]\n" in format_table(3, find_results(tmp_path))


def test_jft_is_not_imagenet(tmp_path):
    """Table 7's two rows differ only in their initial weights."""
    write_result(tmp_path / "a", "configs/paper/test_server.py:deeplabv3", 85.0)
    text = format_table(7, find_results(tmp_path))
    assert "85.7 / 85.00 [1]" in text and "86.9 / not run" in text


def test_a_file_in_the_current_folder_does_not_stand_for_the_paper(tmp_path, monkeypatch):
    (tmp_path / "configs" / "paper").mkdir(parents=True)
    (tmp_path / "configs" / "paper" / "table1.py").write_text(
        "from deeplab_tf.config import Experiment\n"
        "EXPERIMENTS = {f'os{2 ** n}': Experiment(paper_miou=50.0) for n in range(3, 9)}\n"
    )
    monkeypatch.chdir(tmp_path)
    own = load_experiment("configs/paper/table1.py:os16")
    assert own.paper_miou == 50.0 and own.row == f"{tmp_path}/configs/paper/table1.py:os16"
    assert "73.88 / not run" in format_table(1, [])


def test_settings_that_an_older_file_lacks_are_the_defaults(tmp_path):
    write_result(tmp_path / "a", STAGE1, 76.0)
    path = tmp_path / "a" / "eval.json"
    fields = json.loads(path.read_text())
    del fields["window"], fields["crf"]
    path.write_text(json.dumps(fields))
    assert ours(STAGE1, tmp_path) == [76.0]


def test_another_split_and_windows_are_said(tmp_path):
    experiment = load_experiment(STAGE1)
    evaluate_config = dataclasses.replace(experiment.evaluate, split="dev_val", window=513)
    write_result(tmp_path / "a", STAGE1, 50.0, evaluate_config=evaluate_config)
    (result,) = find_results(tmp_path)
    assert deviations(experiment, result) == [
        "evaluated on split dev_val (the row: val)",
        "evaluated in windows of 513 pixels",
    ]


def test_every_number_of_the_tables_is_printed_as_not_run():
    """How many numbers of its own each table of the paper has."""
    for number, cells in {1: 6, 2: 8, 3: 20, 4: 4, 5: 5, 6: 5, 7: 2}.items():
        text = format_table(number, [])
        assert text.count("/ not run") == cells
        for specs in TABLES[number].rows.values():
            for spec in specs:
                digits = 1 if number == 7 else 2
                assert f"{load_experiment(spec).paper_miou:.{digits}f} / not run" in text
    assert re.search(r"PSPNet +85\.4\n", format_table(7, []))


def test_folders_and_files_that_are_not_results(tmp_path):
    with pytest.raises(DeeplabError, match="is not a folder"):
        find_results(tmp_path / "absent")
    assert find_results(tmp_path) == []
    (tmp_path / "eval.json").write_text('{"mean_iou": 0.5}')
    with pytest.raises(DeeplabError, match="eval.json is damaged or of an earlier version"):
        find_results(tmp_path)
