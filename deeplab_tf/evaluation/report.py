"""The report page of an evaluation: `report/index.html` with its pictures, readable offline."""

import json
import pathlib
from html import escape

from PIL import Image

from deeplab_tf.evaluation.curves import PICTURES, draw_curves
from deeplab_tf.evaluation.evaluate_split import Evaluation, Sample
from deeplab_tf.files import any_of, containing, folder_of, whole_folder
from deeplab_tf.images.classes import VOID, Classes, Color
from deeplab_tf.images.confusion import TITLES, ClassScore, percent
from deeplab_tf.images.coverage import Coverage
from deeplab_tf.images.drawing import labels_image

MAX_PICTURE_SIDE = 640
REPORT_DIR = "report"
GENERATOR = '<meta name="generator" content="deeplab_tf">'
is_report = folder_of(
    *("index.html", "sample*_*.png", *PICTURES),
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
            _samples(evaluation.samples, classes, temporary),
            _curves(curves),
            _config(config_json) if config_json else "",
        ]
        (temporary / "index.html").write_text(_page(title, sections), encoding="utf-8")
    return report / "index.html"


def _page(title: str, sections: list[str]) -> str:
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{GENERATOR}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{body}
</main>
</body>
</html>
"""


def _headline(evaluation: Evaluation, facts: dict[str, str]) -> str:
    tiles = "".join(
        f"<div class='tile'><b>{percent(value, '-')}</b><span>{escape(TITLES[key])}, %</span></div>"
        for key, value in evaluation.scores.summary().items()
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
    rows = "\n".join(
        _class_row(name, color, score, total)
        for name, color, score in zip(
            classes.names, classes.palette, evaluation.scores.classes, strict=True
        )
    )
    return f"""<section><h2>Classes</h2>
<table>
<thead><tr><th>class</th><th>IoU, %</th><th class='bar'></th><th>accuracy, %</th>
<th>share of pixels, %</th></tr></thead>
<tbody>
{rows}
</tbody></table></section>"""


def _class_row(name: str, color: Color, score: ClassScore, total: int) -> str:
    if score.iou is None:
        iou, bar = "<td class='absent'>absent</td>", ""
    else:
        iou = f"<td>{percent(score.iou, '')}</td>"
        bar = f"<i style='width:{100 * score.iou:.1f}%'></i>"
    return (
        f"<tr><th>{_swatch(color)}{escape(name)}</th>{iou}<td class='bar'>{bar}</td>"
        f"<td>{percent(score.accuracy, '-')}</td>"
        f"<td>{percent(score.truth_pixels / total, '')}</td></tr>"
    )


def _swatch(color: Color) -> str:
    return f"<span class='swatch' style='background:rgb{tuple(color)}'></span>"


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
        f"<li>{_swatch(classes.palette[i])}{escape(classes.names[i])}</li>"
        for i in sorted(shown - {VOID})
    )
    if VOID in shown:
        legend += f"<li>{_swatch(classes.void_color)}void (not counted)</li>"
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


STYLE = """\
:root { --text: #1d2530; --dim: #5d6875; --line: #d9dfe6; --back: #ffffff; --tile: #f3f6f9;
  --bar: #2f6fde; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6eaf0; --dim: #9aa6b4; --line: #333c47; --back: #14181d; --tile: #1e242c;
    --bar: #5b93f5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; margin: 0 0 16px; }
h2 { font-size: 1.2rem; margin: 40px 0 12px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile { background: var(--tile); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 1.8rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--dim); font-size: .85rem; }
.tile:first-child { background: var(--bar); color: #fff; }
.tile:first-child span { color: #fff; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 16px 0 0; }
.facts dt { color: var(--dim); font-size: .8rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.warning { border-left: 4px solid #d9822b; padding-left: 10px; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line); }
thead th { color: var(--dim); font-size: .8rem; font-weight: 500; vertical-align: bottom; }
th:first-child { text-align: left; font-weight: 500; }
.absent { color: var(--dim); font-style: italic; }
td.bar { width: 32%; }
td.bar i { display: block; height: 10px; border-radius: 5px; background: var(--bar); }
.swatch { display: inline-block; width: 14px; height: 14px; margin-right: 8px; border-radius: 3px;
  border: 1px solid var(--dim); vertical-align: -2px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0; margin: 0 0 12px;
  list-style: none; font-size: .9rem; }
.triple { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px; }
.heads { color: var(--dim); font-size: .85rem; margin-bottom: 4px; }
.triple img { display: block; width: 100%; max-height: 480px; object-fit: contain;
  border-radius: 4px; }
figure { margin: 0 0 14px; }
figcaption { color: var(--dim); font-size: .8rem; overflow-wrap: anywhere; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px; }
.curves img { width: 100%; }
details { margin-top: 40px; }
summary { cursor: pointer; font-size: 1.2rem; font-weight: 600; }
pre { overflow-x: auto; background: var(--tile); border-radius: 10px; padding: 14px;
  font-size: .85rem; }
@media (max-width: 560px) {
  th, td { padding: 4px; font-size: .85rem; }
  td.bar, th.bar { display: none; }
}
"""
