"""A page of HTML that is readable offline, on a phone, in light and in dark.

Tested in tests/evaluation/test_report.py, through `write_report`.
"""

from collections.abc import Sequence
from html import escape

from deeplab_tf.images.classes import Color

GENERATOR = '<meta name="generator" content="deeplab_tf">'


def page(title: str, sections: Sequence[str]) -> str:
    """Returns a whole page with the `sections` that are not empty, readable offline.

    The page refers to nothing outside itself but what the sections refer to. `title` is plain text.
    """
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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table that scrolls in its own box where it is wider than the page.

    Args:
        head: the heads of the columns, plain text; empty over a bar, which a phone leaves out.
        rows: the cells of each row, HTML; the first is the row's head. A cell may begin with
            `<td`, where it has attributes.
    """
    heads = "".join(
        f"<th>{escape(text)}</th>" if text else "<th class='bar'></th>" for text in head
    )
    lines = "\n".join(
        f"<tr><th>{first}</th>{''.join(_cell(cell) for cell in cells)}</tr>"
        for first, *cells in rows
    )
    return (
        f"<div class='scroll'><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n"
        "</tbody></table></div>"
    )


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def swatch(color: Color) -> str:
    """Returns a small square of a colour."""
    return f"<span class='swatch' style='background:rgb{tuple(color)}'></span>"


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
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line); }
thead th { color: var(--dim); font-size: .8rem; font-weight: 500; vertical-align: bottom; }
th:first-child { text-align: left; font-weight: 500; white-space: nowrap; position: sticky;
  left: 0; background: var(--back); }
.absent { color: var(--dim); font-style: italic; }
td { white-space: nowrap; }
td.bar { width: 22%; }
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
.worst { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
.pair img { display: block; width: 100%; border-radius: 4px; }
.interval path { stroke: var(--dim); }
.interval .range { stroke: var(--bar); stroke-width: 3; }
.interval circle { fill: var(--bar); }
.figure { display: block; }
.figure img { width: 100%; max-width: 640px; height: auto; }
.large img { max-width: 100%; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr));
  gap: 20px; align-items: start; }
.curves { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); }
.curves img { width: 100%; }
details { margin-top: 12px; }
summary { cursor: pointer; font-weight: 600; padding: 6px 0; }
pre { overflow-x: auto; background: var(--tile); border-radius: 10px; padding: 14px;
  font-size: .85rem; }
@media (max-width: 560px) {
  th, td { padding: 4px; font-size: .85rem; }
  td.bar, th.bar { display: none; }
}
"""
