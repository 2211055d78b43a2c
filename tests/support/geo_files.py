"""GeoTIFFs of drawn pixels, for tests to read and to break."""

import numpy as np
import tifffile

TAGS = {
    33550: (12, (0.5, 0.5, 0.0)),
    33922: (12, (0.0, 0.0, 0.0, 500_000.0, 4_100_000.0, 0.0)),
    34735: (3, (1, 1, 0, 1, 1024, 0, 1, 1)),
    34736: (12, (6378137.0,)),
    34737: (2, "WGS 84 / UTM zone 33N|"),
}
"""Type and value of each tag of the place."""


def write_geotiff(path, pixels, nodata=None, **options):
    """Writes uint8, uint16 or float32 [H, W, bands] with `TAGS` and the nodata text."""
    tags = [(tag, kind, len(value), value, True) for tag, (kind, value) in TAGS.items()]
    if nodata is not None:
        tags.append((42113, 2, len(nodata) + 1, nodata, True))
    rgb = pixels.dtype == np.uint8 and pixels.shape[-1] == 3
    path.parent.mkdir(parents=True, exist_ok=True)
    form = {"photometric": "rgb" if rgb else "minisblack", "planarconfig": "contig"}
    options = form | {"metadata": None} | options
    tifffile.imwrite(path, pixels, extratags=tags, **options)
    return path


def place_of(path):
    """The tags of the place in a file, as tifffile reads them."""
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        return {tag: tags[tag].value for tag in TAGS if tag in tags}


PLACE_OF_TAGS = {tag: value for tag, (_, value) in TAGS.items()}
"""What `place_of` gives for a file of `write_geotiff`."""


SCENE_TILE = 512
"""Pixels a side of a tile of `write_scene`."""
SCENE_PLACE = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0, 0, 5e5, 4e6, 0), True),
]
"""The tags of the place of `write_scene`, as tifffile takes them."""


def write_scene(path, side, tile):
    """Writes a tiled RGB GeoTIFF of any size without holding it in memory.

    `tile(number)` gives the pixels of a tile, uint8 [SCENE_TILE, SCENE_TILE, 3], row by row.
    """
    tifffile.imwrite(
        path,
        map(tile, range((-(-side // SCENE_TILE)) ** 2)),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(SCENE_TILE, SCENE_TILE),
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 1},
        metadata=None,
        extratags=SCENE_PLACE,
    )
