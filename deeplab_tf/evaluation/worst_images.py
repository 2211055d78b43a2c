"""The part of the report that shows the worst images of each class.

Tested in tests/evaluation/test_report.py, through `write_report`.
"""

import pathlib
from html import escape

from deeplab_tf.evaluation.error_map import FOUND, MISSED, WRONG, error_map, overlay_of
from deeplab_tf.evaluation.evaluation import WORST_CLASSES, Evaluation
from deeplab_tf.evaluation.page import swatch
from deeplab_tf.evaluation.worst import KEPT, Rank
from deeplab_tf.images.classes import Classes
from deeplab_tf.images.confusion import percent

WORST_FILES = ("worst*.jpg",)
"""The names of the pictures, with wildcards."""
_QUALITY = 80


def worst_images(evaluation: Evaluation, classes: Classes, folder: pathlib.Path) -> str:
    """Returns the section and writes its pictures into `folder`; empty where nothing is wrong."""
    if not evaluation.worst:
        return ""
    numbers = {name: number for number, name in enumerate(sorted(evaluation.kept))}
    for name, number in numbers.items():
        overlay = overlay_of(evaluation.kept[name], classes)
        overlay.save(folder / f"worst{number}.jpg", quality=_QUALITY)
    blocks = []
    for class_id, ranks in evaluation.worst.items():
        shown = []
        for rank in ranks:
            number = numbers[rank[2]]
            drawn = error_map(evaluation.kept[rank[2]], class_id)
            drawn.save(folder / f"worst{number}_class{class_id}.jpg", quality=_QUALITY)
            shown.append(_pair(rank, number, class_id))
        name, iou = classes.names[class_id], evaluation.scores.classes[class_id].iou
        blocks.append(
            f"<details{'' if blocks else ' open'}><summary>{swatch(classes.palette[class_id])}"
            f"{escape(name)}: IoU {percent(iou, '-')} %</summary>\n"
            f"<div class='worst'>{''.join(shown)}</div></details>"
        )
    which = "every class"
    if len(blocks) == WORST_CLASSES:
        which = f"the {WORST_CLASSES} classes with the lowest IoU"
    legend = "".join(
        f"<li>{swatch(color)}{words}</li>"
        for color, words in ((FOUND, "found"), (MISSED, "missed"), (WRONG, "wrongly seen"))
    )
    return f"""<section><h2>Worst images</h2>
<p>Up to {KEPT} images of {which} that is not wholly right, those with the most wrong pixels of the
class first: the prediction over the image, and the errors of this class. Void is black.</p>
<ul class='legend'>{legend}</ul>
{"".join(blocks)}</section>"""


def _pair(rank: Rank, number: int, class_id: int) -> str:
    minus_wrong, iou, name = rank
    files = {"prediction": f"worst{number}.jpg", "errors": f"worst{number}_class{class_id}.jpg"}
    pictures = "".join(
        f"<a href='{file}'><img src='{file}' alt='{what} of {escape(name)}' loading='lazy'></a>"
        for what, file in files.items()
    )
    return (
        f"<figure><div class='pair'>{pictures}</div><figcaption>{escape(name)}: "
        f"{-minus_wrong:,} wrong pixels, IoU {percent(iou, '')} %</figcaption></figure>"
    )
