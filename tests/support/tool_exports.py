"""Drawn scenes, and one small writer for the export of each labelling tool.

A writer takes the folder to write and the scenes, and writes what the tool writes: the version
fields, the optional keys and the paths too.
"""

import base64
import dataclasses
import io
import json
import zlib

import numpy as np
import yaml
from matplotlib.path import Path as Outline
from PIL import Image

from deeplab_tf.data.read_pair import read_decoded
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.known import TOOLS

COLORS = {"background": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142)}
HEIGHT, WIDTH = 40, 60


@dataclasses.dataclass(frozen=True)
class Scene:
    """One photo and the polygons on it, the later on top and the smaller; in pixels.

    Attributes:
        name: the name without suffix.
        regions: for each region the class, the outline [N, 2], and outlines of holes.
    """

    name: str
    regions: tuple[tuple[str, np.ndarray, tuple[np.ndarray, ...]], ...]

    @property
    def file(self) -> str:
        return f"{self.name}.png"

    def photo(self):
        """Noise that no other scene has."""
        rng = np.random.default_rng(list(self.name.encode()))
        return Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))

    def labels(self, names):
        """The truth: uint8 [H, W] of places in `names`, and bool [H, W] of pixels on an outline.

        A pixel is inside where matplotlib finds its centre inside.
        """
        labels, edge = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), bool)
        for name, outline, holes in self.regions:
            covered = inside(outline)
            for hole in holes:
                covered &= ~inside(hole)
                edge |= near(hole)
            labels[covered] = names.index(name)
            edge |= near(outline)
        return labels, edge


def centres():
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def inside(outline):
    """bool [H, W] of the pixels whose centres are inside."""
    return Outline(outline).contains_points(centres()).reshape(HEIGHT, WIDTH)


def near(outline, reach=0.25):
    """bool [H, W] of the pixels whose centres are within `reach` of the outline."""
    found, points = np.zeros(HEIGHT * WIDTH, bool), centres()
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        along = end - start
        at = ((points - start) @ along / max(along @ along, 1e-9)).clip(0, 1)
        found |= np.linalg.norm(points - start - at[:, None] * along, axis=1) <= reach
    return found.reshape(HEIGHT, WIDTH)


def blob(rng, x, y, radius, points=7):
    """The outline [points, 2] of a convex shape about (x, y)."""
    angles = (np.arange(points) + rng.uniform(0, 0.5, points)) * 2 * np.pi / points
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], -1).round(2)


def scenes(count=4, holes=False):
    """Scenes of a road with a car on it; with `holes`, the road has a hole."""
    rng = np.random.default_rng(0)
    drawn = []
    for number in range(count):
        road = blob(rng, 28 + number, 20, 17)
        car = blob(rng, 36 + number, 22, 6)
        cut = (blob(rng, 20 + number, 18, 4),) if holes else ()
        regions = (("road", road, cut), ("car", car, ()))
        drawn.append(Scene(f"frame_{number:03d}", regions))
    return drawn


def save(picture, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def numbered(scene):
    """The truth as numbers 0 background, 1 road, 2 car."""
    return scene.labels([*COLORS])[0]


def write_cvat(root, drawn):
    for scene in drawn:
        save(scene.photo(), root / "JPEGImages" / scene.file)
        colors = np.array([*COLORS.values()], np.uint8)[numbered(scene)]
        save(Image.fromarray(colors), root / "SegmentationClass" / scene.file)
    write(root / "ImageSets/Segmentation/default.txt", "".join(f"{s.name}\n" for s in drawn))
    lines = [f"{name}:{','.join(map(str, color))}::\n" for name, color in COLORS.items()]
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))


def write_cvat_xml(root, drawn):
    labels = "".join(
        f"<label><name>{name}</name><color>#{bytes(COLORS[name]).hex()}</color>"
        "<type>any</type><attributes></attributes></label>"
        for name in ("road", "car")
    )
    images = ""
    for number, scene in enumerate(drawn):
        save(scene.photo(), root / "images" / scene.file)
        shapes = ""
        # The car comes first, and its level lifts it above the road.
        for level, (name, outline, _) in reversed([*enumerate(scene.regions)]):
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline)
            shapes += (
                f'<polygon label="{name}" source="manual" occluded="0" points="{points}" '
                f'z_order="{level}"></polygon>'
            )
        images += (
            f'<image id="{number}" name="{scene.file}" width="{WIDTH}" height="{HEIGHT}">'
            f"{shapes}</image>"
        )
    write(
        root / "annotations.xml",
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{images}</annotations>",
    )


def write_roboflow(root, drawn):
    for number, scene in enumerate(drawn):
        folder = root / ("valid" if number == len(drawn) - 1 else "train")
        save(scene.photo(), folder / scene.file)
        save(Image.fromarray(numbered(scene)), folder / f"{scene.name}_mask.png")
        write(folder / "_classes.csv", "Pixel Value, Class\n0, background\n1, road\n2, car\n")


def labelme_file(scene, shapes):
    return {
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": scene.file,
        "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH,
    }  # fmt: skip


def labelme_shape(label, points, kind="polygon", **more):
    points = np.asarray(points).tolist()
    fields = {"group_id": None, "description": "", "flags": {}}
    return {"label": label, "points": points, "shape_type": kind, **fields, **more}


def write_labelme(root, drawn):
    for scene in drawn:
        save(scene.photo(), root / scene.file)
        shapes = [labelme_shape(name, outline) for name, outline, _ in scene.regions]
        write(root / f"{scene.name}.json", labelme_file(scene, shapes))


def via_region(name, outline):
    x, y = np.asarray(outline).T.tolist()
    shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    return {"shape_attributes": shape, "region_attributes": {"class": name}}


def write_via(root, drawn):
    """A project of version 2."""
    metadata = {}
    for scene in drawn:
        save(scene.photo(), root / scene.file)
        # The car comes first: it is on top since it is smaller.
        regions = [via_region(name, outline) for name, outline, _ in reversed(scene.regions)]
        fields = {"filename": scene.file, "size": 123, "file_attributes": {}}
        metadata[f"{scene.file}123"] = {**fields, "regions": regions}
    project = {
        "_via_settings": {"project": {"name": "streets"}},
        "_via_img_metadata": metadata,
        "_via_attributes": {"region": {"class": {"type": "text"}}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": [*metadata],
    }
    write(root / "via_project.json", project)


def percent_result(kind, value, name, number=0):
    return {
        "id": f"r{number}", "type": kind, "from_name": "label", "to_name": "image",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
        "value": {**value, kind: [name]}, "origin": "manual",
    }  # fmt: skip


def label_studio_task(file, results, number=1):
    annotation = {"id": number, "was_cancelled": False, "ground_truth": False, "result": results}
    return {
        "id": number, "annotations": [annotation], "file_upload": f"0a1b2c3d-{file}",
        "data": {"image": f"/data/upload/1/0a1b2c3d-{file}"}, "meta": {}, "project": 1,
    }  # fmt: skip


def write_label_studio(root, drawn):
    tasks = []
    for number, scene in enumerate(drawn, 1):
        save(scene.photo(), root / "images" / scene.file)
        results = []
        for name, outline, _ in scene.regions:
            points = (outline * 100 / [WIDTH, HEIGHT]).tolist()
            results.append(percent_result("polygonlabels", {"points": points}, name))
        tasks.append(label_studio_task(scene.file, results, number))
    write(root / "project-1-at-2024-01-01.json", tasks)


def pack_brush(mask):
    """Label Studio's run lengths of bool [H, W], each run a repeated value or single ones."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        length = end - start
        if length == 4 and start % 8:
            bits += f"001{length - 1:04b}" + "".join(f"{value:08b}" for value in values[start:end])
            continue
        kind, size = (3, 16) if length > 256 else (2, 8)
        bits += f"1{kind:02b}{length - 1:0{size}b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def supervisely_object(name, geometry, **fields):
    return {
        "id": 1, "classId": 2, "classTitle": name, "geometryType": geometry, "tags": [],
        "description": "", "labelerLogin": "me", **fields,
    }  # fmt: skip


def supervisely_bitmap(mask, left, top):
    """A palette PNG whose number 0 is transparent, compressed by zlib, in base64."""
    picture, buffer = Image.fromarray(mask.astype(np.uint8)), io.BytesIO()
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(buffer, "PNG", transparency=0)
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    return {"bitmap": {"data": data, "origin": [left, top]}}


def write_supervisely(root, drawn):
    colors = {"road": "#804080", "car": "#00008E"}
    classes = [
        {"title": name, "shape": "any", "color": color, "id": number, "hotkey": ""}
        for number, (name, color) in enumerate(colors.items())
    ]
    write(root / "meta.json", {"classes": classes, "tags": [], "projectType": "images"})
    for scene in drawn:
        save(scene.photo(), root / "ds1/img" / scene.file)
        objects = []
        for name, outline, holes in scene.regions:
            points = {"exterior": outline.tolist(), "interior": [hole.tolist() for hole in holes]}
            objects.append(supervisely_object(name, "polygon", points=points))
        size = {"height": HEIGHT, "width": WIDTH}
        content = {"description": "", "tags": [], "size": size, "objects": objects}
        write(root / f"ds1/ann/{scene.file}.json", content)


def write_yolo(root, drawn):
    """Writes what Roboflow exports: the paths of its YAML lead out of the folder."""
    for number, scene in enumerate(drawn):
        folder = root / ("valid" if number == len(drawn) - 1 else "train")
        save(scene.photo(), folder / "images" / scene.file)
        lines = ""
        for name, outline, _ in reversed(scene.regions):
            points = (outline / [WIDTH, HEIGHT]).ravel()
            lines += f"{['road', 'car'].index(name)} {' '.join(f'{v:.6f}' for v in points)}\n"
        write(folder / f"labels/{scene.name}.txt", lines)
    content = {"train": "../train/images", "val": "../valid/images", "nc": 2}
    write(root / "data.yaml", yaml.safe_dump({**content, "names": ["road", "car"]}))


def coco_content(drawn):
    categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    images, annotations = [], []
    for number, scene in enumerate(drawn, 1):
        fields = {"id": number, "width": WIDTH, "height": HEIGHT, "license": 0, "coco_url": ""}
        images.append({**fields, "file_name": scene.file})
        for name, outline, _ in reversed(scene.regions):
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "iscrowd": 0,
                    "category_id": ["", "road", "car"].index(name), "bbox": [0, 0, 1, 1],
                    "segmentation": [outline.ravel().tolist()], "area": 1.0, "attributes": {},
                }
            )  # fmt: skip
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write_coco_json(root, drawn):
    for scene in drawn:
        save(scene.photo(), root / "images" / scene.file)
    write(root / "annotations/instances_default.json", coco_content(drawn))


def column_runs(mask):
    """Kaggle's pairs of a first pixel, from 1 down the columns, and a length."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    changes = np.flatnonzero(np.diff(flat)) + 1
    return " ".join(f"{a} {b - a}" for a, b in zip(changes[::2], changes[1::2], strict=True))


def write_rle_csv(root, drawn):
    rows = ["ImageId,ClassId,EncodedPixels"]
    for scene in drawn:
        save(scene.photo(), root / "train_images" / scene.file)
        labels = numbered(scene)
        rows += [
            f"{scene.file},{c},{column_runs(labels == n)}" for n, c in ((1, "road"), (2, "car"))
        ]
    write(root / "train.csv", "\n".join(rows) + "\n")


WRITERS = {
    "cvat": write_cvat,
    "cvat_xml": write_cvat_xml,
    "roboflow": write_roboflow,
    "labelme": write_labelme,
    "via": write_via,
    "label_studio": write_label_studio,
    "supervisely": write_supervisely,
    "yolo": write_yolo,
    "coco_json": write_coco_json,
    "rle_csv": write_rle_csv,
}
"""By the names of `--dataset`."""
EXACT = ("cvat", "roboflow", "rle_csv")
"""The exports of masks and run lengths, in which no outline is drawn anew."""


def one_image(root, name="a.png", orientation=1):
    """A photo of `HEIGHT` and `WIDTH`, turned by EXIF where the orientation is not 1."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (WIDTH, HEIGHT) if orientation <= 4 else (HEIGHT, WIDTH)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 9)).save(path, exif=exif)


def only_mask(tool, root, **choices):
    """The mask of the only image that the tool's reader finds, and the source."""
    source = TOOLS[tool].read(root, Choices(**choices))
    ((pair,),) = source.splits.values()
    return read_decoded(pair)[1], source


def boxed(*boxes):
    """Labels: uint8 [H, W] of 0 with each (label, left, top, right, bottom) painted in turn."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, left, top, right, bottom in boxes:
        labels[top:bottom, left:right] = label
    return labels


def corners(left, top, right, bottom):
    """The outline of a box."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]
