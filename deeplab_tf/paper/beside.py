"""The paper's tables in text, with our figure beside each number."""

from collections.abc import Sequence

from deeplab_tf.config import load_experiment
from deeplab_tf.paper.results import Ours, Result, ours_of
from deeplab_tf.paper.tables import TABLES
from deeplab_tf.text_table import align

NOT_RUN = "not run"


def table_in_words(number: int, results: Sequence[Result]) -> str:
    """Table `number`: mean IoU in %, the paper's / ours from `results`, or "not run".

    Where ours deviates from the row, a note in brackets says in what.
    """
    table = TABLES[number]
    notes: list[str] = []
    lines = [["", *table.columns]]
    lines += [[name, f"{miou:.{table.digits}f}"] for name, miou in table.others.items()]
    for name, specs in table.rows.items():
        cells = []
        for spec in specs:
            row = load_experiment(spec)
            ours = ours_of(row, results, pretrained=True)
            cells.append(f"{row.paper_miou:.{table.digits}f} / {ours_in_words(ours, notes)}")
        lines.append([name, *cells])
    text = f"Table {number}: {table.title}\nmean IoU in %: the paper's / ours\n\n{align(lines)}\n"
    if table.note:
        text += f"\n{table.note}\n"
    if notes:
        text += "\nnot the paper's protocol:\n" + "\n".join(notes) + "\n"
    return text


def ours_in_words(ours: Ours | None, notes: list[str]) -> str:
    """The mean, with its spread over several results, and the number of a note added to `notes`."""
    if ours is None:
        return NOT_RUN
    text = f"{ours.mean:.2f}"
    if len(ours.mious) > 1:
        text += f" ({min(ours.mious):.2f} to {max(ours.mious):.2f}, {len(ours.mious)} runs)"
    if ours.deviations:
        note = f"{', '.join(map(str, ours.paths))}: {'; '.join(ours.deviations)}"
        notes.append(f"[{len(notes) + 1}] {note}")
        text += f" [{len(notes)}]"
    return text
