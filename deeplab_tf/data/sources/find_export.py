"""The labelling tool that wrote a folder, found by the tool's own files."""

from pathlib import Path

from deeplab_tf.data.sources.find_images import visible_files
from deeplab_tf.data.sources.folder_layout import MASK_FOLDERS
from deeplab_tf.data.sources.known import TOOLS
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.suffixes import IMAGE_SUFFIXES


def find_export(root: Path) -> tuple[str, str] | None:
    """Returns the name in `TOOLS` of the export in a folder and the file that shows it, or None.

    A folder that has masks as image files is one of the user's own, whatever else is in it, unless
    the export is one of masks too.

    Raises:
        DeeplabError: the folder could be the export of two tools.
    """
    if not root.is_dir():
        return None
    only_masks = _has_mask_files(root)
    found = {
        name: seen
        for name, tool in TOOLS.items()
        if (tool.masks or not only_masks) and (seen := tool.seen(root))
    }
    if len(found) > 1:
        (first, one), (second, other) = list(found.items())[:2]
        raise DeeplabError(
            f"{root} could be {TOOLS[first].title} ({one}) or {TOOLS[second].title} ({other}); "
            f"give --dataset={first} or --dataset={second}"
        )
    return next(iter(found.items()), None)


def _has_mask_files(root: Path) -> bool:
    folders = [path for path in root.iterdir() if path.name.lower() in MASK_FOLDERS]
    return any(visible_files(folder, IMAGE_SUFFIXES) for folder in folders if folder.is_dir())
