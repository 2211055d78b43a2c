"""Archives of TF1 checkpoints, of both formats, and what is no such archive."""

import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.archive import unpack_checkpoint

VALUE = np.arange(6, dtype=np.float32).reshape(2, 3)


def save(path, version):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("w", initializer=VALUE)
        saver = tf.compat.v1.train.Saver({"scope/w": variable}, write_version=version)
        session.run(variable.initializer)
        saver.save(session, str(path), write_meta_graph=False, write_state=False)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_checkpoint_is_found_and_read(version, tmp_path):
    source = tmp_path / "deeplabv3_mnv2"
    source.mkdir()
    format_ = getattr(tf.compat.v1.train.SaverDef, version)
    save(source / ("resnet_v1_50.ckpt" if version == "V1" else "model.ckpt-30000"), format_)
    (source / "frozen_inference_graph.pb").write_bytes(b"graph")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(source, "deeplabv3_mnv2")
    (tmp_path / "out").mkdir()
    path = unpack_checkpoint(tmp_path / "a.tar.gz", tmp_path / "out")
    reader = tf.train.load_checkpoint(str(path))
    np.testing.assert_array_equal(reader.get_tensor("scope/w"), VALUE)


def archive_of(path, *names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


def test_what_is_no_archive_of_one_checkpoint_is_one_line(tmp_path):
    path, out = tmp_path / "a.tar.gz", tmp_path / "out"
    out.mkdir()
    for names, said in (
        ((), "must have one checkpoint of TensorFlow. Received: 0"),
        (("a.index", "b.index"), "Received: 2"),
        (("../../stranger.txt",), "is not an archive that unpacks: .*outside the destination"),
    ):
        archive_of(path, *names)
        with pytest.raises(DeeplabError, match=said):
            unpack_checkpoint(path, out)
    assert not (tmp_path.parent / "stranger.txt").exists()
    archive_of(path, *(f"{i}.index" for i in range(50)))
    for content in (path.read_bytes()[:100], b"no archive", b""):
        path.write_bytes(content)
        with pytest.raises(DeeplabError, match="a.tar.gz is not an archive that unpacks"):
            unpack_checkpoint(path, out)
