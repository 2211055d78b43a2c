"""Keeps the results of the study in miniature, and draws its plot.

    .venv/bin/python docs/make_miniature.py runs/miniature

The results in the folder are joined to those kept before: a row and seed that is in both is
replaced. Writes deeplab_tf/paper/miniature.json and docs/miniature.png. The tables of
docs/miniature.md are what `deeplab-paper --miniature` prints from the former.
"""

import pathlib
import sys

from deeplab_tf.files import write_text
from deeplab_tf.paper import miniature

new = miniature.collect(pathlib.Path(sys.argv[1]))
measured = miniature.joined(miniature.read_measured(), new)
write_text(miniature.MEASURED, miniature.to_json(measured))
miniature.draw(measured, pathlib.Path(__file__).with_name("miniature.png"))
print(miniature.format_rows(measured))
