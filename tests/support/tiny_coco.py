"""A COCO folder of one image."""

import json

from PIL import Image

PERSON, BOAT, TRUCK, TV = 1, 9, 8, 72  # COCO's ids; a truck is no class of VOC
NAMES = {PERSON: "person", TRUCK: "truck", BOAT: "boat", TV: "tv"}


def box(left, top, right, bottom):
    """The polygon of the pixels left..right-1, top..bottom-1."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(category, segmentation, crowd=0):
    return {"category_id": category, "segmentation": segmentation, "iscrowd": crowd}


def write_coco(root, *annotations, size=(60, 80), split="train2017", names=NAMES):
    """One image of `size` (height, width) with the given annotations."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / split).mkdir()
    Image.new("RGB", size[::-1]).save(root / split / "000001.jpg")
    image = {"id": 7, "file_name": "000001.jpg", "height": size[0], "width": size[1]}
    content = {
        "images": [image],
        "annotations": [{"image_id": 7, **each} for each in annotations],
        "categories": [{"id": id_, "name": name} for id_, name in names.items()],
    }
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root
