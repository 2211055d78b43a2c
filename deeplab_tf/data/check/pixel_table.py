"""The table of the images and pixels of a data set, for people to read.

Tested in tests/cli/test_prepare.py, through `deeplab-prepare`.
"""

from collections.abc import Mapping, Sequence

from deeplab_tf.text_table import align


def pixel_table(
    names: Sequence[str], images: Mapping[str, int], pixels: Mapping[str, Sequence[int]]
) -> str:
    """Returns a table of the number of images in each split and of pixels in each split and class.

    The share of a class is a share of the pixels that are not void; the share of void is a share of
    all pixels.

    Args:
        names: the class names.
        images: the number of images in each split.
        pixels: for each split, the number of pixels of each class, then of void.
    """
    rows = [["", *images], ["images", *(f"{count:,}" for count in images.values())]]
    for index, name in enumerate((*names, "void")):
        cells = []
        for split in images:
            count, total = pixels[split][index], sum(pixels[split])
            base = total if name == "void" else total - pixels[split][-1]
            cells.append(f"{count:,} {count / max(base, 1):6.1%}" if count else "absent       ")
        rows.append([name, *cells])
    return align(rows)
