"""The notebook docs/tutorial.ipynb runs to its end and shows what it showed."""

import json
import pathlib

import nbclient
import nbformat

STEPS = "train.steps = 200"
TUTORIAL = pathlib.Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def texts(notebook):
    """What each code cell printed on stdout."""
    return [
        "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_notebook_runs_and_shows_what_it_showed(tmp_path):
    """Half as many steps are enough to reach the figures that are compared."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    kept = texts(notebook)
    (training,) = (cell for cell in notebook.cells if STEPS in cell.source)
    training.source = training.source.replace(STEPS, "train.steps = 100")
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert json.loads((tmp_path / "tutorial/run/eval.json").read_text())["mean_iou"] > 0.75
    assert (tmp_path / "tutorial/edge/model.tflite").stat().st_size > 1_000_000
    found = texts(notebook)
    # The drawn data are the same everywhere; what is chosen and measured differs by machine.
    assert found[1] == kept[1]
    assert "mean IoU" in kept[3] and "mean IoU" in found[3]
    assert found[-1] == kept[-1] == "the same labels: 100.0%\n"
