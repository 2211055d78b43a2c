"""An installed copy has every package of the repository."""

import configparser
import pathlib

ROOT = pathlib.Path(__file__).parents[1]


def test_setup_lists_every_folder_of_modules():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    folders = {"deeplab_tf": "deeplab_tf", "configs": "deeplab_tf.configs"}
    folders["export"] = "deeplab_tf.export"
    found = {
        ".".join([name, *path.parent.relative_to(ROOT / folder).parts])
        for folder, name in folders.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert set(listed) == found
