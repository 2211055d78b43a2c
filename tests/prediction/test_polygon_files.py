"""Polygons in files: read back by our own readers, by matplotlib, and never over a correction."""

import json

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image
from scipy import ndimage
from support.geo_files import write_geotiff
from support.random_model import random_picture

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.coco_json import coco_json_source
from deeplab_tf.data.sources.labelme import labelme_source
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import CAMVID, SHAPES, VOID
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.prediction.predict_files import check_files, run_files
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.writes import Writes

pytest.importorskip("rasterio")
HEIGHT, WIDTH = 31, 43


def drawn(classes, seed=0):
    """Labels of nested patches, holes in holes, single pixels, and void."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(4, HEIGHT, WIDTH)), (0, 2, 2))
    labels = smooth.argmax(axis=0).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.05] = 0
    labels[4:20, 5:30] = 1
    labels[6:18, 7:28] = 0
    labels[8:16, 9:26] = 3
    labels[10:14, 11:24] = 0
    labels[11, 12] = 2
    labels[25:28, 30:36] = VOID
    return labels % classes.num_classes if classes.num_classes < 4 else labels


def predictor_of(labels, classes):
    return Predictor(classes, lambda images: np.broadcast_to(labels, images.shape[:3]).copy())


def predicted(folder, labels, classes, *forms, name="photo.png", **fields):
    """Writes a photo turned by EXIF and the polygons of `labels`, into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    height, width = labels.shape
    Image.fromarray(random_picture(width, height)).save(folder / name, exif=exif)
    writes = Writes(("polygons",), forms, **fields)
    check_files([folder / name], folder, writes)
    model = predictor_of(labels, classes)
    run_files(model, [folder / name], folder, 1, lambda _: None, writes)
    return folder


def read_back(reader, folder):
    source = reader(folder, Choices(name="own"))
    ((pair,),) = source.splits.values()
    return pair.mask.read(), source.classes.names


@pytest.mark.parametrize("seed", range(2))
def test_labelme_gives_the_labels_again_holes_and_void_too(tmp_path, seed):
    labels = drawn(SHAPES, seed)
    folder = predicted(tmp_path / "a", labels, SHAPES, "labelme")
    found, names = read_back(labelme_source, folder)
    np.testing.assert_array_equal(found, labels)
    assert names == SHAPES.names
    content = json.loads((folder / "photo.json").read_text())
    assert content["imagePath"] == "photo.png" and content["imageData"] is None
    assert (content["imageHeight"], content["imageWidth"]) == (HEIGHT, WIDTH)  # upright
    assert "_background_" in {shape["label"] for shape in content["shapes"]}


def test_labelme_of_classes_without_a_background(tmp_path):
    labels = drawn(CAMVID)
    found, names = read_back(labelme_source, predicted(tmp_path / "a", labels, CAMVID, "labelme"))
    assert names == ("background", *CAMVID.names)  # of which no pixel is left
    np.testing.assert_array_equal(found, np.where(labels == VOID, VOID, labels + 1))


@pytest.mark.parametrize("classes", [SHAPES, CAMVID])
def test_coco_gives_the_labels_again(tmp_path, classes):
    labels = drawn(classes)
    found, names = read_back(coco_json_source, predicted(tmp_path / "a", labels, classes, "coco"))
    first = 0 if classes is SHAPES else 1
    np.testing.assert_array_equal(found, np.where(labels == VOID, VOID, labels + first))
    assert names == (classes.names if classes is SHAPES else ("background", *classes.names))


def test_coco_by_pycocotools(tmp_path):
    """Areas and boxes are those of the decoded regions, and no two overlap."""
    from pycocotools.coco import COCO

    labels = drawn(SHAPES)
    coco = COCO(predicted(tmp_path / "a", labels, SHAPES, "coco") / "coco.json")
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["photo.png"]
    covered, holed = np.zeros(labels.shape, int), 0
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation).astype(bool)
        wanted = VOID if annotation["iscrowd"] else annotation["category_id"]
        assert (labels[mask] == wanted).all() and mask.sum() == annotation["area"]
        rows, columns = np.where(mask)
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        covered += mask
        holed += isinstance(annotation["segmentation"], dict)
    np.testing.assert_array_equal(covered, (labels != 0).astype(int))
    assert holed > 2


def test_boxes_of_simplified_regions_are_those_of_their_segmentation(tmp_path):
    pytest.importorskip("shapely")
    from pycocotools.coco import COCO

    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away = np.maximum(abs(rows - 15) * 1.4, abs(columns - 20)) + abs(rows - columns + 5) * 0.6
    labels[away < 14] = 1  # with corners, which simplification cuts off
    labels[14:17, 19:22] = 0
    labels[2:5, 30:40] = VOID
    labels[1, 35] = VOID
    coco = COCO(predicted(tmp_path / "a", labels, SHAPES, "coco", simplify=4) / "coco.json")
    found = coco.loadAnns(coco.getAnnIds())
    assert len(found) == 2
    for annotation in found:
        assert isinstance(annotation["segmentation"], dict)
        rows, columns = np.where(coco.annToMask(annotation))
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def painted(features, coordinates=lambda points: points):
    """Labels by the rings of features; a pixel is inside where matplotlib finds its centre."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    centres = coordinates(np.stack([columns.ravel(), rows.ravel()], axis=-1))
    labels = np.zeros(HEIGHT * WIDTH, np.uint8)
    for feature in features:
        exterior, *holes = feature["geometry"]["coordinates"]
        inside = Outline(exterior).contains_points(centres)
        for hole in holes:
            inside &= ~Outline(hole).contains_points(centres)
        labels[inside] = feature["properties"]["class_id"]
        assert inside.sum() == feature["properties"]["pixels"]
    return labels.reshape(HEIGHT, WIDTH)


def area(ring):
    x, y = np.array(ring).T
    return (x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def test_geojson_of_a_photo_is_in_its_pixels(tmp_path):
    labels = drawn(SHAPES)
    folder = predicted(tmp_path / "a", labels, SHAPES, "geojson")
    content = json.loads((folder / "photo.geojson").read_text())
    assert content["type"] == "FeatureCollection" and content["crs"] is None
    assert content["image"] == "photo.png"
    expected = np.where(labels == VOID, 0, labels)
    np.testing.assert_array_equal(painted(content["features"]), expected)
    assert [each["id"] for each in content["features"]] == [*range(1, len(content["features"]) + 1)]
    for feature in content["features"]:
        rings = feature["geometry"]["coordinates"]
        assert all(ring[0] == ring[-1] for ring in rings)
        # RFC 7946, section 3.1.6: the exterior counterclockwise, holes clockwise.
        assert area(rings[0]) > 0 and all(area(ring) < 0 for ring in rings[1:])
        assert feature["properties"]["class"] == SHAPES.names[feature["properties"]["class_id"]]


def test_geojson_of_a_geotiff_is_on_the_map(tmp_path):
    labels = drawn(SHAPES)
    path = write_geotiff(tmp_path / "scene.tif", random_picture(HEIGHT, WIDTH))
    model, out = predictor_of(labels, SHAPES), tmp_path / "out"
    assert predict_images(model, [path], out, writes=Writes(("polygons",))) == []
    content = json.loads((out / "scene.geojson").read_text())

    def on_map(points):
        return np.array([500_000.0, 4_100_000.0]) + points * (0.5, -0.5)

    expected = np.where(labels == VOID, 0, labels)
    np.testing.assert_array_equal(painted(content["features"], on_map), expected)
    for feature in content["features"]:
        rings = feature["geometry"]["coordinates"]
        assert area(rings[0]) > 0 and all(area(ring) < 0 for ring in rings[1:])
        inside = sum(map(area, rings))
        assert inside == pytest.approx(feature["properties"]["pixels"] * 0.25)


def test_simplified_polygons_have_fewer_points(tmp_path):
    pytest.importorskip("shapely")
    labels = drawn(SHAPES)
    forms = ("geojson", "labelme", "coco")
    exact = predicted(tmp_path / "a", labels, SHAPES, *forms)
    smooth = predicted(tmp_path / "b", labels, SHAPES, *forms, simplify=1.5)
    for name in ("photo.geojson", "photo.json", "coco.json"):
        assert (smooth / name).stat().st_size < (exact / name).stat().st_size
    found, _ = read_back(labelme_source, smooth)
    assert 0.85 < np.mean(found == labels) < 1


@pytest.mark.parametrize(
    ("form", "name", "key"),
    [
        ("labelme", "photo.json", "shapes"),
        ("geojson", "photo.geojson", "features"),
        ("coco", "coco.json", "annotations"),
    ],
)
def test_what_a_person_corrected_is_never_replaced(tmp_path, form, name, key):
    labels = drawn(SHAPES)
    folder = predicted(tmp_path / "a", labels, SHAPES, form)
    predicted(folder, labels, SHAPES, form)  # its own file it replaces
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content, indent=2))
    predicted(folder, labels, SHAPES, form)  # the same list in other lines
    content[key].pop()
    corrected = json.dumps(content)
    (folder / name).write_text(corrected)
    with pytest.raises(DeeplabError, match=f"{name} would be replaced"):
        predicted(folder, labels, SHAPES, form)
    assert (folder / name).read_text() == corrected


LACKING = r"labels\.txt must have the names of all classes\. It lacks sky, building, .*; add a line"


def test_labelmes_names_of_another_model_are_refused(tmp_path):
    folder = predicted(tmp_path / "a", drawn(SHAPES), SHAPES, "labelme")
    with pytest.raises(DeeplabError, match=LACKING):
        predicted(folder, drawn(CAMVID), CAMVID, "labelme", name="b.png")
    assert not (folder / "b.json").exists()
    before = (folder / "labels.txt").read_bytes()
    writes = Writes(("polygons",), ("labelme",))
    with pytest.raises(DeeplabError, match=LACKING):  # before there is a model
        check_files([folder / "b.png"], folder, writes, CAMVID)
    assert (folder / "labels.txt").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "__ignore__\n_background_\ncircle\nsquare\ntriangle\nstar\nring",
        "\ufeffring\r\n__ignore__\r\n_background_\r\n circle \r\nstar\r\nsquare\r\ntriangle\r\nx",
    ],
)
def test_ones_own_labels_of_all_names_stay(tmp_path, text):
    path = tmp_path / "a" / "labels.txt"
    path.parent.mkdir()
    path.write_bytes(text.encode())
    predicted(path.parent, drawn(SHAPES), SHAPES, "labelme")
    assert path.read_bytes() == text.encode() and (tmp_path / "a" / "photo.json").is_file()
