"""The results of the paper's studies in miniature, with the paper's own next to them.

`configs/paper/miniature.py` has the studies and `miniature.json` the measured results; `collect`
reads new results from a folder of runs.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Collection, Sequence

from deeplab_tf.config import Experiment, load_rows
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import whole_file
from deeplab_tf.images.figure import new_figure
from deeplab_tf.images.marks import MARK, is_marked
from deeplab_tf.paper.results import Result, deviations, find_results
from deeplab_tf.runs.workdir import METRICS_FILE, read_metrics
from deeplab_tf.text_table import align

CONFIG = "configs/paper/miniature.py"
MEASURED = pathlib.Path(__file__).with_name("miniature.json")
TITLES = {
    1: "output_stride, block7",
    2: "cascaded blocks, output_stride 16",
    4: "inference strategies on block7",
    5: "ASPP, output_stride 16",
    6: "inference strategies on MG(1, 2, 4), ASPP, image pooling",
}


@dataclasses.dataclass(frozen=True)
class MeasuredRow:
    """One row of the study, measured.

    Attributes:
        row: the row's name in the config.
        paper: the paper's mean IoU for the row's counterpart, in %.
        mious: our mean IoU in %, by seed.
        minutes: the minutes that the training's steps took, by seed; None for a row that has no
            training of its own.
    """

    row: str
    paper: float
    mious: dict[int, float]
    minutes: dict[int, float] | None

    @property
    def name(self) -> str:
        """The row's name within its table, such as `os8` of `table1_os8`."""
        return self.row.partition("_")[2]

    @property
    def mean(self) -> float:
        """Our mean IoU in %, averaged over the seeds."""
        return statistics.mean(self.mious.values())

    def gains(self, first: "MeasuredRow") -> list[float]:
        """Returns this row's mean IoU above that of the row `first`, in points, seed by seed.

        Seeds that only one of the two rows has are left out. Rows of one seed see the same crops
        in the same order, so part of a seed's luck is in both.
        """
        shared = sorted(self.mious.keys() & first.mious.keys())
        return [self.mious[seed] - first.mious[seed] for seed in shared]


def collect(runs: pathlib.Path) -> list[MeasuredRow]:
    """Returns the study's rows that `runs` has results for, in the config's order.

    Raises:
        DeeplabError: a result of the study deviates from its row, or there is no result.
    """
    results = find_results(runs)
    measured = [
        row
        for row in (_measure(experiment, results) for experiment in load_rows(CONFIG).values())
        if row
    ]
    if not measured:
        raise DeeplabError(
            f"{runs} has no result of {CONFIG}; make them with deeplab-paper --config"
        )
    return measured


def _measure(experiment: Experiment, results: Sequence[Result]) -> MeasuredRow | None:
    mious, minutes = {}, {}
    for result in results:
        found = deviations(experiment, result)
        if found is None or result.miou is None:
            continue
        if found:
            raise DeeplabError(f"{result.path} is not {experiment.row}: {'; '.join(found)}")
        seed = result.experiment.train.seed
        mious[seed] = round(result.miou, 2)
        log = read_metrics(result.path.parent / METRICS_FILE)
        if experiment.checkpoint_of is None and log:
            minutes[seed] = round(_training_minutes(result.experiment, log), 1)
    if not mious or experiment.paper_miou is None:
        return None
    name = str(experiment.row).rsplit(":", 1)[1]
    return MeasuredRow(name, experiment.paper_miou, dict(sorted(mious.items())), minutes or None)


def _training_minutes(experiment: Experiment, log: list[dict]) -> float:
    """Returns the minutes that the training's steps took, from the lines of the training's log."""
    seconds, before = 0.0, 0
    for line in log:
        if "images_per_second" not in line:  # the line of an evaluation
            continue
        images = (line["step"] - before) * experiment.train.batch_size
        seconds += images / line["images_per_second"]
        before = line["step"]
    return seconds / 60


def read_measured(path: pathlib.Path = MEASURED) -> list[MeasuredRow]:
    """Reads the rows that `docs/make_miniature.py` wrote."""
    rows = json.loads(path.read_text())
    return [
        MeasuredRow(
            row["row"],
            row["paper"],
            _by_seed(row["mious"]),
            _by_seed(row["minutes"]) if row["minutes"] else None,
        )
        for row in rows
    ]


def _by_seed(values: dict[str, float]) -> dict[int, float]:
    """Returns `values` with whole numbers as keys, which JSON stores as text."""
    return {int(seed): value for seed, value in values.items()}


def _by_table(measured: Sequence[MeasuredRow]) -> dict[int, list[MeasuredRow]]:
    """Returns the rows by the number of the paper's table, without the tables that have no row."""
    found = {n: [row for row in measured if row.row.startswith(f"table{n}_")] for n in TITLES}
    return {table: rows for table, rows in found.items() if rows}


def _with_error(values: Collection[float], sign: str = "") -> str:
    """Returns the mean of `values` with its standard error, where there are two values or more."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):{sign}.2f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.2f}"


def format_rows(measured: Sequence[MeasuredRow]) -> str:
    """Returns a text table for each of the paper's tables.

    The columns are the paper's mean IoU, ours, how much higher ours is than in the table's first
    row, ours by seed, and the minutes of training. Means of two seeds or more have their standard
    error.
    """
    blocks = []
    for table, rows in _by_table(measured).items():
        lines = [["", "paper", "ours", "gain", "seeds", "minutes"]]
        for row in rows:
            seeds = ", ".join(f"{miou:.2f}" for miou in row.mious.values())
            minutes = sum(row.minutes.values()) / len(row.minutes) if row.minutes else None
            lines.append(
                [
                    row.name,
                    f"{row.paper:.2f}",
                    _with_error(row.mious.values()),
                    "" if row is rows[0] else _with_error(row.gains(rows[0]), "+"),
                    seeds,
                    f"{minutes:.1f}" if minutes else "-",
                ]
            )
        blocks.append(f"Table {table} in miniature: {TITLES[table]}\n{align(lines)}")
    return "\n\n".join(blocks)


def draw(measured: Sequence[MeasuredRow], path: pathlib.Path) -> None:
    """Draws a panel for each table: the paper's mean IoU and ours, less that of the first row.

    The levels are of two data sets and two sizes of network, so only the trends can be compared.
    Every seed is a dash.
    """
    by_table = {table: rows for table, rows in _by_table(measured).items() if len(rows) > 1}
    lines = -(-len(by_table) // 2)
    figure = new_figure((11, 3.4 * lines), dpi=120)
    for place, (table, rows) in enumerate(by_table.items(), start=1):
        axes = figure.add_subplot(lines, 2, place)
        names = [row.name for row in rows]
        first = rows[0]
        paper = [row.paper - first.paper for row in rows]
        ours = [row.mean - first.mean for row in rows]
        axes.axhline(0, color="0.8")
        axes.plot(names, paper, "o--", color="0.5", label=f"the paper, VOC ({first.paper:.1f} + )")
        axes.plot(names, ours, "o-", color="C0", label=f"ours, CamVid ({first.mean:.1f} + )")
        for name, row in zip(names, rows, strict=True):
            dashes = [miou - first.mean for miou in row.mious.values()]
            axes.plot([name] * len(dashes), dashes, "_", color="C0", markersize=12)
        axes.set_title(f"Table {table}: {TITLES[table]}", fontsize=10)
        axes.set_ylabel(f"mean IoU, points above {names[0]}")
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with whole_file(path, is_marked) as temporary:
        figure.savefig(temporary, metadata={"Software": MARK})
