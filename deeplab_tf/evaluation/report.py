"""The report page of an evaluation: `report/index.html` with its pictures, readable offline."""

import json
import pathlib
from html import escape

import numpy as np
from PIL import Image

from deeplab_tf.evaluation.calibration import BINS
from deeplab_tf.evaluation.curves import PICTURES, draw_curves
from deeplab_tf.evaluation.evaluation import Evaluation, Sample
from deeplab_tf.evaluation.object_sizes import (
    FOUND_IOU,
    IOU_UNITS,
    group_names,
    of_all_objects,
)
from deeplab_tf.evaluation.page import GENERATOR, page, swatch, table
from deeplab_tf.evaluation.report_figures import (
    CONFUSION,
    FIGURES,
    NUMBERED,
    RELIABILITY,
    SIZES,
    draw_confusion,
    draw_reliability,
    draw_sizes,
)
from deeplab_tf.evaluation.worst_images import WORST_FILES, worst_images
from deeplab_tf.files import any_of, containing, folder_of, shown, whole_folder
from deeplab_tf.images.classes import VOID, Classes
from deeplab_tf.images.confusion import TITLES, percent
from deeplab_tf.images.coverage import Coverage
from deeplab_tf.images.drawing import labels_image

MAX_PICTURE_SIDE = 640
REPORT_DIR = "report"
LARGEST = 10
"""The number of confusions in the table."""
is_report = folder_of(
    *("index.html", "sample*_*.png", *PICTURES, *FIGURES, *WORST_FILES),
    known={
        "index.html": any_of(
            containing(GENERATOR.encode()),
            # Earlier versions wrote no generator.
            containing(b"<section class='tiles'>", b"<dl class='facts'>"),
        )
    },
)
"""Recognises the folder of a report."""


def write_report(
    title: str,
    evaluation: Evaluation,
    truth: Coverage,
    classes: Classes,
    facts: dict[str, str],
    config_json: str | None,
    folder: pathlib.Path,
    metrics: pathlib.Path | None = None,
) -> pathlib.Path:
    """Writes the page and returns its path, `folder/report/index.html`.

    Args:
        title: the headline.
        evaluation: the figures and samples.
        truth: what the ground truth covers.
        classes: the names and colours of the classes.
        facts: texts by title that say what was evaluated; shown under the headline.
        config_json: the experiment as JSON; None where there is none.
        folder: the folder of the results.
        metrics: `metrics.jsonl` of the training, for the curves; skipped if absent.
    """
    report = folder / REPORT_DIR
    with whole_folder(report, is_report) as temporary:
        curves = draw_curves(metrics, temporary) if metrics and metrics.is_file() else []
        sections = [
            _headline(evaluation, facts),
            _coverage(truth),
            _class_table(evaluation, classes),
            _confusion(evaluation.matrix, classes, temporary),
            worst_images(evaluation, classes, temporary),
            _sizes(evaluation, classes, temporary),
            _calibration(evaluation, temporary),
            _samples(evaluation.samples, classes, temporary),
            _curves(curves),
            _config(config_json) if config_json else "",
        ]
        (temporary / "index.html").write_text(shown(page(title, sections)), encoding="utf-8")
    return report / "index.html"


def _headline(evaluation: Evaluation, facts: dict[str, str]) -> str:
    figures = {TITLES[key]: value for key, value in evaluation.scores.summary().items()}
    tiles = "".join(
        f"<div class='tile'><b>{percent(value, '-')}</b><span>{escape(title)}, %</span></div>"
        for title, value in (figures | evaluation.more_figures).items()
    )
    listed = "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(text)}</dd></div>"
        for title, text in facts.items()
    )
    return f"<section class='tiles'>{tiles}</section>\n<dl class='facts'>{listed}</dl>"


def _coverage(truth: Coverage) -> str:
    warnings = "".join(
        f"<p class='warning'>Warning: {escape(text)}.</p>" for text in truth.warnings
    )
    return f"<p>{escape(truth.summary[0].upper() + truth.summary[1:])}.</p>{warnings}"


def _class_table(evaluation: Evaluation, classes: Classes) -> str:
    total = max(int(evaluation.matrix.sum()), 1)
    boundary = evaluation.boundary_iou
    head = ["class", "IoU, %", "", "boundary IoU, %", "precision, %", "recall, %", "Dice, %"]
    rows = []
    for class_id, score in enumerate(evaluation.scores.classes):
        name = f"{swatch(classes.palette[class_id])}{escape(classes.names[class_id])}"
        iou, bar = "<td class='absent'>absent</td>", "<td class='bar'></td>"
        if score.iou is not None:
            iou = percent(score.iou, "")
            bar = f"<td class='bar'><i style='width:{100 * score.iou:.1f}%'></i></td>"
        figures = (boundary[class_id] if boundary else None, score.precision, score.accuracy)
        shares = [percent(share, "-") for share in (*figures, score.dice)]
        rows.append([name, iou, bar, *shares, percent(score.truth_pixels / total, "")])
    return f"<section><h2>Classes</h2>\n{table([*head, 'share of pixels, %'], rows)}</section>"


def _confusion(matrix: np.ndarray, classes: Classes, folder: pathlib.Path) -> str:
    draw_confusion(matrix, classes.names, folder / CONFUSION)
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:LARGEST]
    totals = matrix.sum(axis=1)
    rows = [
        [
            *(f"{swatch(classes.palette[i])}{escape(classes.names[i])}" for i in (true, taken)),
            f"{wrong[true, taken]:,}",
            percent(wrong[true, taken] / totals[true], ""),
        ]
        for true, taken in np.stack(np.unravel_index(order, wrong.shape), axis=-1).tolist()
        if wrong[true, taken]
    ]
    largest = table(["truth", "taken for", "pixels", "of the truth, %"], rows) if rows else ""
    alt = "confusion matrix: rows are true classes, columns predictions, shares of the true class"
    # Names of many classes need the width of the page.
    layout, size = ("side", "") if classes.num_classes <= NUMBERED else ("", " large")
    return f"""<section><h2>Confusion</h2>
<div class='{layout}'>{_figure(CONFUSION, alt, size)}<div>{largest}</div></div></section>"""


def _figure(file: str, alt: str, size: str = "") -> str:
    return f"<a class='figure{size}' href='{file}'><img src='{file}' alt='{escape(alt)}'></a>"


def _sizes(evaluation: Evaluation, classes: Classes, folder: pathlib.Path) -> str:
    counts = evaluation.sizes
    if counts is None or not counts.any():
        return ""
    draw_sizes(of_all_objects(counts, classes), folder / SIZES)
    rows = [
        [
            f"{swatch(color)}{escape(name)}",
            *(
                f"{percent(units / IOU_UNITS / objects, '')} ({objects:,})" if objects else "-"
                for objects, units, _ in groups
            ),
        ]
        for name, color, groups in zip(classes.names, classes.palette, counts.tolist(), strict=True)
    ]
    by_class = table(["class", *group_names()], rows)
    return f"""<section><h2>Objects by size</h2>
<p>An object is a connected piece of one class in the truth, of any class but background; its IoU is
that with the predicted pieces of its class that touch it, 0 where none does. Found: an IoU of at
least {100 * FOUND_IOU:.0f} %.</p>
{_figure(SIZES, "mean IoU of objects by size")}
<details><summary>Mean IoU, %, and number of objects by class and side in pixels</summary>
{by_class}</details></section>"""


def _calibration(evaluation: Evaluation, folder: pathlib.Path) -> str:
    calibration = evaluation.calibration
    if calibration is None:
        if evaluation.sizes is None:
            return ""
        return (
            "<section><h2>Calibration</h2>\n<p>The model gives labels without scores.</p></section>"
        )
    draw_reliability(calibration, folder / RELIABILITY)
    accuracy = evaluation.scores.pixel_accuracy or 0.0
    sure = calibration.mean_confidence or 0.0
    which = "too sure" if sure > accuracy else "not sure enough"
    return f"""<section><h2>Calibration</h2>
<p>The expected calibration error is {percent(calibration.error, "-")} %, over all pixels outside
void in {BINS} bins of confidence, the largest class probability. The mean confidence is
{percent(sure, "")} % and the accuracy {percent(accuracy, "")} %: on the whole the model is {which}.
On the dashed line it would be as often right as it is sure.</p>
{_figure(RELIABILITY, "accuracy of pixels against their confidence, and pixels by confidence")}
</section>"""


def _samples(samples: tuple[Sample, ...], classes: Classes, folder: pathlib.Path) -> str:
    if not samples:
        return ""
    rows = []
    for index, sample in enumerate(samples):
        pictures = {
            "input": Image.fromarray(sample.image),
            "truth": labels_image(sample.mask, classes),
            "prediction": labels_image(sample.labels, classes),
        }
        cells = []
        for kind, picture in pictures.items():
            file = f"sample{index}_{kind}.png"
            # Nearest for palette pictures: colours between two classes mean nothing.
            resample = Image.Resampling.NEAREST if kind != "input" else Image.Resampling.LANCZOS
            picture.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE), resample)
            picture.save(folder / file)
            alt = escape(f"{kind} of {sample.name}")
            cells.append(f"<a href='{file}'><img src='{file}' alt='{alt}' loading='lazy'></a>")
        rows.append(
            f"<figure><div class='triple'>{''.join(cells)}</div>"
            f"<figcaption>{escape(sample.name)}</figcaption></figure>"
        )
    shown = {int(i) for s in samples for part in (s.mask, s.labels) for i in set(part.flat)}
    legend = "".join(
        f"<li>{swatch(classes.palette[i])}{escape(classes.names[i])}</li>"
        for i in sorted(shown - {VOID})
    )
    if VOID in shown:
        legend += f"<li>{swatch(classes.void_color)}void (not counted)</li>"
    return f"""<section><h2>Samples</h2>
<ul class='legend'>{legend}</ul>
<div class='triple heads'><span>input</span><span>truth</span><span>prediction</span></div>
{"".join(rows)}</section>"""


def _curves(files: list[str]) -> str:
    if not files:
        return ""
    pictures = "".join(
        f"<img src='{file}' alt='{escape(pathlib.Path(file).stem)}'>" for file in files
    )
    return f"<section><h2>Training</h2><div class='curves'>{pictures}</div></section>"


def _config(text: str) -> str:
    return (
        "<section><details><summary>Config</summary>"
        f"<pre>{escape(json.dumps(json.loads(text), indent=2))}</pre></details></section>"
    )
