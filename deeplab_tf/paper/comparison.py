"""The paper's tables as text, with our figures next to the paper's numbers.

Tested in tests/paper/test_results.py.
"""

from collections.abc import Sequence

from deeplab_tf.config import load_experiment
from deeplab_tf.paper.results import Ours, Result, ours_of
from deeplab_tf.paper.tables import TABLES
from deeplab_tf.text_table import align

NOT_RUN = "not run"


def format_table(number: int, results: Sequence[Result]) -> str:
    """Returns table `number` of the paper as text: mean IoU in %, the paper's / ours, or "not run".

    Our figures are those in `results`. A note to each of our figures names its files and its
    initial weights, and says how the figure deviates from its row.
    """
    table = TABLES[number]
    notes: list[str] = []
    lines = [["", *table.columns]]
    lines += [[name, f"{miou:.{table.digits}f}"] for name, miou in table.others.items()]
    for name, specs in table.rows.items():
        cells = []
        for spec in specs:
            experiment = load_experiment(spec, shipped=True)
            ours = [_format_ours(group, notes) for group in ours_of(experiment, results)]
            cells.append(f"{experiment.paper_miou:.{table.digits}f} / {', '.join(ours) or NOT_RUN}")
        lines.append([name, *cells])
    text = f"Table {number}: {table.title}\nmean IoU in %: the paper's / ours\n\n{align(lines)}\n"
    if table.note:
        text += f"\n{table.note}\n"
    if notes:
        text += "\nours:\n" + "\n".join(notes) + "\n"
    return text


def _format_ours(ours: Ours, notes: list[str]) -> str:
    """Returns the mean, the range over several models, and the number of the note that is added."""
    text = f"{ours.mean:.2f}"
    if len(ours.mious) > 1:
        text += f" ({min(ours.mious):.2f} to {max(ours.mious):.2f}, {len(ours.mious)} models)"
    files = ", ".join(str(result.path) for result in ours.results)
    weights = sorted({result.experiment.init_from or "random" for result in ours.results})
    note = "; ".join([f"{files}: initial weights {', '.join(weights)}", *ours.deviations])
    notes.append(f"[{len(notes) + 1}] {note}")
    return f"{text} [{len(notes)}]"
