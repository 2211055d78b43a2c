"""deeplab-paper: the paper's tables and figure 4 with our figures, and the tables' rows, run.

    deeplab-paper --table=3
    deeplab-paper --table=3 --runs=runs
    deeplab-paper --config=configs/paper/table3.py:mg124_block7 --data_dir=data \\
        --runs=runs --init_from=imagenet-resnet101
    deeplab-paper --explain=configs/paper/table6.py:os8
    deeplab-paper --figure=4 --out=figure4.png
    deeplab-paper --miniature

--table prints mean IoU in %, the paper's / ours from the results under --runs, or "not run"; notes
say where each of our figures is from and how it deviates from its row. --figure draws figure 4 into
--out. --config trains and evaluates one row, or all rows of a file, into RUNS/FILE_ROW_seedN; a run
that was stopped goes on. --explain lists where a config deviates from the paper's protocol.
--miniature prints the study on CamVid, as measured or from --runs.

Exit code 0: done; 1: bad input; 2: wrong flag.
"""

import pathlib
import subprocess

from absl import flags

from deeplab_tf.cli.flag_rules import is_given, require
from deeplab_tf.cli.flag_types import WHOLE_NUMBER, FileName, Items, define_two_names
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say

_TABLE = flags.DEFINE_integer(
    "table", None, "Print this table of the paper, 1 to 7.", lower_bound=1, upper_bound=7
)
_FIGURE = flags.DEFINE_enum("figure", None, ["4"], "Draw this figure of the paper into --out.")
_EXPLAIN = flags.DEFINE_string(
    "explain", None, "List the deviations of FILE.py:ROW or config.json from the paper's protocol."
)
_CONFIG = define_two_names(
    "config",
    "run",
    "Train and evaluate FILE.py:ROW, or all rows of FILE.py, into --runs, without overrides. "
    "--run is the same flag.",
)
_MINIATURE = flags.DEFINE_bool("miniature", False, "Print the study in miniature.")
_RUNS = flags.DEFINE_string("runs", None, "Read or write workdirs and results in this folder.")
_OUT = flags.DEFINE(
    FileName(".png"),
    "out",
    None,
    "Write the picture of --figure or the plot of --miniature to this FILE.png.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "With --config, read the records that deeplab-prepare wrote into this folder."
)
_SEEDS = flags.DEFINE(
    Items(WHOLE_NUMBER, "must be whole numbers with commas between, as in 0,1"),
    "seeds",
    None,
    "With --config, train with these seeds, as in 0,1; default: 0.",
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "With --config, begin with the weights in this FILE.keras, or of this NAME of deeplab-models; "
    "the paper begins with ImageNet's.",
)
require(
    {
        "give one of --table=N, --figure=4, --explain=CONFIG, --config=CONFIG and --miniature": (
            lambda table, figure, explain, config, miniature: (
                sum(map(is_given, (table, figure, explain, config, miniature))) == 1
            )
        ),
        "--figure needs --out=FILE.png": lambda figure, out: figure is None or out is not None,
        "--config needs --runs=DIR and --data_dir=DIR": (
            lambda config, runs, data_dir: config is None or None not in (runs, data_dir)
        ),
        "--out is for --figure and --miniature": (
            lambda out, figure, miniature: out is None or figure or miniature
        ),
        "--runs is for --table, --config and --miniature": (
            lambda runs, table, config, miniature: runs is None or table or config or miniature
        ),
        "--data_dir, --seeds and --init_from are for --config": (
            lambda data_dir, seeds, init_from, config: (
                config or not any(map(is_given, (data_dir, seeds, init_from)))
            )
        ),
    }
)


def main() -> int:
    """Does the one action that the flags ask for; returns the exit code."""
    runs = pathlib.Path(_RUNS.value) if _RUNS.value is not None else None
    if _TABLE.value is not None:
        return _print_table(_TABLE.value, runs)
    if _FIGURE.value is not None:
        return _draw_figure(pathlib.Path(str(_OUT.value)))
    if _EXPLAIN.value is not None:
        return _explain(_EXPLAIN.value)
    if _CONFIG.value is not None and runs is not None:
        return _run_rows(_CONFIG.value, runs)
    return _print_miniature(runs)


def _print_table(number: int, runs: pathlib.Path | None) -> int:
    from deeplab_tf.paper.comparison import format_table
    from deeplab_tf.paper.results import find_results

    print(format_table(number, find_results(runs) if runs is not None else []), end="")
    return 0


def _draw_figure(out: pathlib.Path) -> int:
    import_tensorflow()
    from deeplab_tf.paper import valid_weights

    text = valid_weights.format_valid_weights()
    valid_weights.draw_figure(out)
    print(f"{text}\nfigure 4: {out}")
    return 0


def _explain(config: str) -> int:
    from deeplab_tf.config import load_experiment
    from deeplab_tf.paper.protocol import explain

    print(explain(load_experiment(config), config))
    return 0


def _run_rows(config: str, runs: pathlib.Path) -> int:
    from deeplab_tf.paper.run_rows import plan_jobs, run_jobs

    jobs = plan_jobs(config, runs, _SEEDS.value or (0,))
    try:
        run_jobs(jobs, pathlib.Path(str(_DATA_DIR.value)), _INIT_FROM.value, say)
    except subprocess.CalledProcessError as error:
        return error.returncode  # the process has printed the reason
    return 0


def _print_miniature(runs: pathlib.Path | None) -> int:
    from deeplab_tf.paper import miniature

    measured = miniature.collect(runs) if runs is not None else miniature.read_measured()
    print(miniature.format_rows(measured))
    if _OUT.value is not None:
        miniature.draw(measured, pathlib.Path(_OUT.value))
        print(f"\nplot: {_OUT.value}")
    return 0


def run() -> None:
    """Runs the console script `deeplab-paper`."""
    run_binary("deeplab-paper", __name__, main)


if __name__ == "__main__":
    run()
