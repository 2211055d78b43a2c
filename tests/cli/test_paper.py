"""deeplab-paper as a user runs it."""

import pytest
from PIL import Image
from support.commands import call


def paper(*arguments):
    return call("paper", *arguments)


def test_table_without_runs():
    done = paper("--table=5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "MG(1, 2, 4) ASPP(6, 12, 18) image pooling  77.21 / not run" in done.stdout


def test_figure_4(tmp_path):
    done = paper("--figure=4", f"--out={tmp_path}/figure4.png")
    assert (done.returncode, done.stderr) == (0, "")
    # 53 x 53 of the 65 x 65 positions have all nine weights at rate 6.
    assert "6              0.00 %   3.41 %  66.49 %" in done.stdout
    assert "agree at the rates 1 to 100" in done.stdout
    assert Image.open(tmp_path / "figure4.png").width > 600


def test_explain():
    done = paper("--explain=configs/shapes.py:demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "model.aspp_rates           (2, 4, 6)" in done.stdout


def test_miniature_as_measured(tmp_path):
    done = paper("--miniature", f"--out={tmp_path}/study.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Table 1 in miniature" in done.stdout
    assert Image.open(tmp_path / "study.png").width > 600


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give one of --table=N"),
        (["--table=1", "--figure=4"], 2, "give one of --table=N"),
        (["--table=8"], 2, "table"),
        (["--figure=4"], 2, "--figure needs --out=FILE.png"),
        (["--figure=4", "--out=figure.bmp"], 2, "must end in .png"),
        (["--run=configs/paper/table1.py"], 2, "--config needs --runs=DIR and --data_dir"),
        (["--config=configs/paper/table1.py"], 2, "--config needs --runs=DIR and --data_dir"),
        (["--run=a", "--config=b"], 2, "a and b: give one of them"),
        (["--table=1", "--seeds=1"], 2, "--seeds and --init_from are for --config"),
        (["--config=x", "--runs=r", "--data_dir=d", "--seeds=a"], 2, "whole numbers"),
        (["--table=1", "--runs=absent"], 1, "--runs=absent is not a folder"),
        (["--explain=configs/paper/table1.py:os9"], 1, "did you mean os"),
        (["--config=configs/paper/table9.py", "--runs=r", "--data_dir=d"], 1, "does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, code, said):
    done = paper(*arguments)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""
