"""CVAT's "CVAT for images 1.1": one XML of polygons, boxes, ellipses and masks.

Shapes of a higher `z_order` are on top; of one `z_order`, the later one.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.find_images import ImageFinder, visible_files
from deeplab_tf.data.sources.labelled import (
    Labelled,
    LabelledImage,
    counted,
    fault,
    hex_color,
    labelled_source,
    unlisted,
)
from deeplab_tf.data.sources.outline import ellipse, rectangle
from deeplab_tf.data.sources.painted import Area, Runs, Shape
from deeplab_tf.data.sources.source import Source
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.images.classes import Color

NO_AREA = ("points", "polyline", "cuboid", "skeleton")
OTHER = ("tag", "attribute")
"""Elements that say something about the whole image."""


def cvat_xml_source(root: Path, choices: Choices) -> Source:
    """Returns the images of every annotation XML in or below `root`.

    Raises:
        DeeplabError: there is no XML, one is malformed, or one is of a video.
    """
    files = [path for path in visible_files(root, (".xml",)) if _root_tag(path) == "annotations"]
    if not files:
        raise DeeplabError(f"{root} has no annotations.xml of CVAT; give the unpacked export")
    finder = ImageFinder(root)
    classes: dict[str, Color | None] = {}
    images, left_out = [], []
    for file in files:
        tree = _parse(file)
        classes |= _classes(tree, file)
        for element in tree.iter("image"):
            image, without = _image(element, root, file, finder)
            images.append(image)
            left_out += without
    notes = [
        *counted(left_out, "shapes have no area and were left out"),
        *unlisted(finder, images, "images are in no XML and were left out"),
    ]
    return labelled_source(root, Labelled(classes, images, "later", notes), choices)


def seen_cvat_xml(root: Path) -> str | None:
    """Returns the name of an annotation XML of CVAT in `root`, or None."""
    found = visible_files(root, (".xml",))[:20]
    return next((p.name for p in found if _root_tag(p) == "annotations"), None)


def _root_tag(path: Path) -> str | None:
    try:
        return next(ET.iterparse(path, ("start",)))[1].tag
    except (ET.ParseError, OSError, ValueError, LookupError, StopIteration):
        # A file that CVAT calls annotations.xml is CVAT's however broken, and reading it says so.
        return "annotations" if path.name == "annotations.xml" else None


def _parse(file: Path) -> ET.Element:
    try:
        tree = ET.parse(file).getroot()
    except (ET.ParseError, OSError, ValueError, LookupError) as error:
        raise DeeplabError(f"{file} is not CVAT's XML: {one_line(str(error))}") from error
    if tree.find(".//track") is not None:
        raise DeeplabError(f"{file} is of a video; export 'CVAT for images' from CVAT")
    return tree


def _classes(tree: ET.Element, file: Path) -> dict[str, Color | None]:
    """Returns the labels with their colours, as the element `meta` declares them.

    The labels of the shapes are taken where `meta` declares none.
    """
    classes: dict[str, Color | None] = {}
    for label in tree.iterfind("./meta//label"):
        name = label.findtext("name")
        if not name:
            raise DeeplabError(f"{file} declares a label without a name")
        classes[name] = hex_color(label.findtext("color"))
    used = {shape.get("label", "") for image in tree.iter("image") for shape in _shapes(image)}
    return classes or dict.fromkeys(sorted(used))


def _shapes(image: ET.Element) -> Iterator[ET.Element]:
    return (shape for shape in image if shape.tag not in (*OTHER, *NO_AREA))


def _image(
    element: ET.Element, root: Path, file: Path, finder: ImageFinder
) -> tuple[LabelledImage, list[str]]:
    """Returns an image, and a line for each of its shapes that is left out."""
    name = element.get("name") or ""
    subset = element.get("subset") or ""
    folders = [root / "images" / subset, root / "images", file.parent / "images", file.parent]
    image = finder.find(name, folders)
    shapes, problem = [], None
    # A sort keeps the order of shapes on one level.
    for number, shape in enumerate(sorted(_shapes(element), key=_level), 1):
        try:
            shapes.append((shape.get("label", ""), _shape(shape)))
        except (ValueError, KeyError, OverflowError) as error:
            problem = problem or f"shape {number} ({shape.tag}) is malformed: {fault(error)}"
    try:
        size = int(element.attrib["height"]), int(element.attrib["width"])
    except (ValueError, KeyError):
        size = 0, 0
    if min(size) < 1:
        problem, size = problem or "its XML has no width and height of 1 or more", None
    left_out = [f"a {shape.tag} of {name} in {file}" for shape in element if shape.tag in NO_AREA]
    return LabelledImage(
        id=finder.id_of(image, name),
        image=image,
        where=f"of image {name} in {file}",
        shapes=shapes,
        size=size,
        split=subset or None,
        problem=problem,
    ), left_out


def _level(shape: ET.Element) -> int:
    try:
        return int(shape.get("z_order", "0"))
    except ValueError:
        return 0


def _shape(shape: ET.Element) -> Shape:
    """Returns the pixels of a shape.

    Raises:
        ValueError, KeyError: an attribute is malformed or missing, or the kind is unknown.
    """
    values = shape.attrib
    turned = float(values.get("rotation", 0))
    match shape.tag:
        case "polygon":
            pairs = [pair.split(",") for pair in values["points"].split(";")]
            return Area([[float(value) for x, y in pairs for value in (x, y)]])
        case "box":
            left, top, right, bottom = (
                float(values[side]) for side in ("xtl", "ytl", "xbr", "ybr")
            )
            return Area([rectangle(left, top, right, bottom, turned)])
        case "ellipse":
            x, y, across, down = (float(values[name]) for name in ("cx", "cy", "rx", "ry"))
            return Area([ellipse(x, y, across, down, turned)])
        case "mask":
            left, top, width, height = (
                int(values[name]) for name in ("left", "top", "width", "height")
            )
            counts = tuple(int(value) for value in values["rle"].split(","))
            return Runs(counts, "row", (left, top, width, height))
    raise ValueError(f"no reader knows a {shape.tag}")
