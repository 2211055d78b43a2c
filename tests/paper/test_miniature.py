"""The study in miniature: collected from runs, kept as JSON, printed, drawn."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from deeplab_tf.config import load_experiment, to_json
from deeplab_tf.errors import DeeplabError
from deeplab_tf.paper import miniature


@pytest.fixture(scope="module")
def make_miniature():
    """The script that keeps the results, which lies in docs/."""
    path = pathlib.Path(__file__).parents[2] / "docs" / "make_miniature.py"
    spec = importlib.util.spec_from_file_location("make_miniature", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_run(folder, row, miou, *, seed=0, steps=3000, evaluate_as=None):
    """The eval.json and metrics.jsonl of a run of the miniature's `row`."""
    experiment = load_experiment(f"{miniature.CONFIG}:{row}")
    experiment.train.seed, experiment.train.steps = seed, steps
    evaluate_config = load_experiment(f"{miniature.CONFIG}:{evaluate_as or row}").evaluate
    folder.mkdir(parents=True)
    fields = {
        "model": str(folder),
        "dataset": "camvid",
        "images": 101,
        "step": steps,
        "mean_iou": miou / 100,
        **{name: getattr(evaluate_config, name) for name in vars(evaluate_config)},
        "experiment": json.loads(to_json(experiment)),
    }
    (folder / "eval.json").write_text(json.dumps(fields))
    # 1,000 steps of 8 images at 20 images/s and 2,000 at 40: 400 s each.
    lines = [{"step": 1000, "images_per_second": 20.0}, {"step": 3000, "images_per_second": 40.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rows_are_collected_by_seed_with_their_cost(tmp_path, make_miniature):
    write_run(tmp_path / "a", "table1_os16", 55.0)
    write_run(tmp_path / "b", "table1_os16", 54.0, seed=1)
    write_run(tmp_path / "c", "table1_os16", 56.123, evaluate_as="table4_os8")
    measured = {row.row: row for row in miniature.collect(tmp_path)}
    # Table 2's block7 is the same training, and Table 4's os16 its plain evaluation.
    assert list(measured) == ["table1_os16", "table2_block7", "table4_os16", "table4_os8"]
    assert measured["table1_os16"].mious == {0: 55.0, 1: 54.0}
    assert measured["table1_os16"].mean == 54.5
    assert measured["table1_os16"].minutes == {0: 13.3, 1: 13.3}
    assert measured["table2_block7"].mious == {0: 55.0, 1: 54.0}
    assert measured["table2_block7"].minutes is None
    assert measured["table4_os8"].mious == {0: 56.12}
    assert measured["table4_os8"].paper == 78.05

    rows = list(measured.values())
    (tmp_path / "measured.json").write_text(make_miniature.to_json(rows))
    assert miniature.read_measured(tmp_path / "measured.json") == rows
    text = miniature.format_rows(rows)
    assert "Table 1 in miniature: output_stride, block7" in text
    # The standard error of 55 and 54: 0.7071 / sqrt(2).
    assert "os16  73.88  54.50 ± 0.50        55.00, 54.00     13.3" in text
    assert "os8   78.05         56.12  +1.12         56.12        -" in text

    miniature.draw(rows, tmp_path / "study.png")
    picture = np.asarray(Image.open(tmp_path / "study.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_a_gain_is_taken_seed_by_seed():
    """Seeds differ by 4 points, and the gain is 1.2, 1.0 and 0.8 in each: 0.2 / sqrt(3)."""
    block4 = miniature.MeasuredRow("table2_block4", 64.8, {0: 50.0, 1: 52.0, 2: 54.0, 3: 9.0}, None)
    block5 = miniature.MeasuredRow("table2_block5", 72.1, {0: 51.2, 1: 53.0, 2: 54.8}, None)
    table = miniature.format_rows([block4, block5]).splitlines()
    assert "53.00 ± 1.04  +1.00 ± 0.12" in table[-1]
    other = miniature.MeasuredRow("table2_block6", 74.3, {7: 50.0}, None)
    assert miniature.format_rows([block4, other]).splitlines()[-1].split()[3] == "-"


def test_new_results_are_joined_to_those_kept_before(tmp_path, make_miniature):
    write_run(tmp_path / "1" / "a", "table1_os16", 55.0)
    write_run(tmp_path / "1" / "b", "table2_block4", 50.0)
    write_run(tmp_path / "2" / "a", "table1_os8", 57.0)
    write_run(tmp_path / "2" / "b", "table1_os16", 56.0)
    write_run(tmp_path / "2" / "c", "table1_os16", 54.0, seed=1)
    before, new = miniature.collect(tmp_path / "1"), miniature.collect(tmp_path / "2")
    rows = {row.row: row for row in make_miniature.joined(before, new)}
    assert list(rows) == [
        "table1_os8",
        "table1_os16",
        "table2_block4",
        "table2_block7",
        "table4_os16",
    ]
    assert rows["table1_os16"].mious == {0: 56.0, 1: 54.0}
    assert rows["table1_os16"].minutes == {0: 13.3, 1: 13.3}
    assert rows["table2_block7"].mious == {0: 56.0, 1: 54.0}
    assert rows["table2_block4"].mious == {0: 50.0}


def test_the_script_keeps_new_results_in_place_of_those_before(
    tmp_path, make_miniature, monkeypatch, capsys
):
    write_run(tmp_path / "runs" / "a", "table1_os16", 56.0)
    kept, plot = tmp_path / "miniature.json", tmp_path / "miniature.png"
    kept.write_text(miniature.MEASURED.read_text())
    plot.write_bytes(pathlib.Path(make_miniature.__file__).with_name("miniature.png").read_bytes())
    monkeypatch.setattr(miniature, "MEASURED", kept)
    monkeypatch.setattr(make_miniature, "PLOT", plot)
    make_miniature.main(tmp_path / "runs")
    rows = {row.row: row for row in miniature.read_measured(kept)}
    assert rows["table1_os16"].mious == {0: 56.0}
    assert set(rows) == {row.row for row in miniature.read_measured()}
    assert "os16   73.88  56.00" in capsys.readouterr().out


def test_a_run_that_is_not_its_row_is_refused(tmp_path):
    write_run(tmp_path / "a", "table1_os8", 55.0, steps=100)
    with pytest.raises(DeeplabError, match=r"a/eval.json is not .*table1_os8: train.steps=100"):
        miniature.collect(tmp_path)


def test_no_result_says_how_to_make_one(tmp_path):
    with pytest.raises(DeeplabError, match="make them with deeplab-paper --config"):
        miniature.collect(tmp_path)
