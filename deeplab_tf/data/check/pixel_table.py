"""What a data set has, as a table to read."""

from collections.abc import Mapping, Sequence

from deeplab_tf.text_table import align


def pixel_table(
    names: Sequence[str], images: Mapping[str, int], pixels: Mapping[str, Sequence[int]]
) -> str:
    """Images by split, and pixels by split and class; shares are of the pixels that are not void.

    Args:
        names: the class names.
        images: their number by split.
        pixels: by split: one number a class, then void. Its share is of all pixels.
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
