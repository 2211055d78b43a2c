"""The paper's tables in text, with our figures beside each number."""

from collections.abc import Sequence

from deeplab_tf.config import load_experiment
from deeplab_tf.paper.results import Ours, Result, ours_of
from deeplab_tf.paper.tables import TABLES
from deeplab_tf.text_table import align

NOT_RUN = "not run"


def format_table(number: int, results: Sequence[Result]) -> str:
    """Table `number`: mean IoU in %, the paper's / ours from `results`, or "not run".

    A note to each of ours has its files, its initial weights, and in what it is not as its row
    says.
    """
    table = TABLES[number]
    notes: list[str] = []
    lines = [["", *table.columns]]
    lines += [[name, f"{miou:.{table.digits}f}"] for name, miou in table.others.items()]
    for name, specs in table.rows.items():
        cells = []
        for spec in specs:
            row = load_experiment(spec, shipped=True)
            ours = [_format_ours(group, notes) for group in ours_of(row, results)]
            cells.append(f"{row.paper_miou:.{table.digits}f} / {', '.join(ours) or NOT_RUN}")
        lines.append([name, *cells])
    text = f"Table {number}: {table.title}\nmean IoU in %: the paper's / ours\n\n{align(lines)}\n"
    if table.note:
        text += f"\n{table.note}\n"
    if notes:
        text += "\nours:\n" + "\n".join(notes) + "\n"
    return text


def _format_ours(ours: Ours, notes: list[str]) -> str:
    """The mean, the range over several models, and the number of the note added to `notes`."""
    text = f"{ours.mean:.2f}"
    if len(ours.mious) > 1:
        text += f" ({min(ours.mious):.2f} to {max(ours.mious):.2f}, {len(ours.mious)} models)"
    files = ", ".join(str(result.path) for result in ours.results)
    weights = sorted({result.experiment.init_from or "random" for result in ours.results})
    note = "; ".join([f"{files}: initial weights {', '.join(weights)}", *ours.deviations])
    notes.append(f"[{len(notes) + 1}] {note}")
    return f"{text} [{len(notes)}]"
