"""Makes the README's picture from the report of the demo.

    .venv/bin/python docs/make_shapes_picture.py demo/run/report docs/shapes.png

One column a sample; input, truth and prediction below one another.
"""

import pathlib
import sys

from PIL import Image

SAMPLES, HEIGHT, GAP = 6, 150, 6


def main(report: str, out: str) -> None:
    """Reads the pictures `sampleN_KIND.png` of the folder `report` and writes `out`."""
    columns = []
    for index in range(SAMPLES):
        for kind in ("input", "truth", "prediction"):
            picture = Image.open(pathlib.Path(report) / f"sample{index}_{kind}.png").convert("RGB")
            width = round(picture.width * HEIGHT / picture.height)
            columns.append(picture.resize((width, HEIGHT), Image.Resampling.NEAREST))
    total = sum(picture.width + GAP for picture in columns[::3]) - GAP
    canvas = Image.new("RGB", (total, 3 * HEIGHT + 2 * GAP), "white")
    x = 0
    for first in range(0, len(columns), 3):
        for row, picture in enumerate(columns[first : first + 3]):
            canvas.paste(picture, (x, row * (HEIGHT + GAP)))
        x += columns[first].width + GAP
    canvas.save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
