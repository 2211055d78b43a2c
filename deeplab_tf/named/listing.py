"""The table of models as text: all in columns, or one with everything that is known.

Tested in tests/named/test_table.py.
"""

from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.cache import MIRROR, cache_folder, imported_file
from deeplab_tf.named.hashes import describe_hash
from deeplab_tf.named.table import IMPORTER_NOTES, MODELS, VOC_FIGURES, NamedModel
from deeplab_tf.text_table import align

NOT_TRIED = "not tried"
NOT_MEASURED = "not measured here"


def format_models() -> str:
    """Returns the table: name, classes, our mean IoU, size, what is checked, and the download."""
    head = ("name", "labels", "mean IoU", "MB", "hash", "imported here", "download")
    rows = [head, *(_row(name, model) for name, model in MODELS.items())]
    return (
        f"{align(rows)}\n\n"
        "mean IoU in % on 467 images of VOC 2012, which may be images of the training;\n"
        f"{NOT_TRIED}: the address is the publisher's, and nobody has fetched the file from it "
        "with this package yet.\n"
        "deeplab-models --show=NAME says all of one model. "
        f"Files and imports are kept in {cache_folder('')}."
    )


def _row(name: str, model: NamedModel) -> tuple[str, ...]:
    return (
        name,
        model.classes.partition(":")[0],
        "-" if model.mean_iou is None else f"{model.mean_iou:.2f}",
        "-" if model.megabytes is None else f"{model.megabytes:g}",
        describe_hash(model.hash).partition(":")[0],
        "yes" if model.at_hand else "no",
        "tried" if model.download_tried else NOT_TRIED,
    )


def format_model(name: str) -> str:
    """Returns everything about one model, a line each.

    Raises:
        DeeplabError: there is no such name.
    """
    if name not in MODELS:
        raise DeeplabError(f"no model is called {name}; deeplab-models lists the names")
    model = MODELS[name]
    measured = NOT_MEASURED
    if model.mean_iou is not None:
        command = VOC_FIGURES.format(name=name)
        measured = f"{model.mean_iou:.2f} % mean IoU on 467 images of VOC 2012: {command}"
    kept = imported_file(name, model)
    rows = {
        "name": name,
        "address": model.address,
        "download": "tried" if model.download_tried else NOT_TRIED,
        "hash": describe_hash(model.hash),
        "size": "unknown" if model.megabytes is None else f"{model.megabytes:g} MB",
        "licence": model.licence,
        "importer": f"deeplab-import --source={model.source}",
        "conventions": IMPORTER_NOTES[model.source],
        "this file": "imported and run here"
        if model.at_hand
        else "never seen here; the importer was tried on random weights of this network",
        "labels": model.classes,
        "trained on": model.trained_on,
        "measured": measured,
        "by hand": f"put the file at {cache_folder(name) / model.file}, or into a folder that "
        f"{MIRROR} names",
        "imported": str(kept) if kept and kept.is_file() else "not yet",
    }
    width = max(map(len, rows))
    return "\n".join(f"{title:<{width}}  {text}" for title, text in rows.items())
