"""Hashes of the table: a whole one, one of Keras' MD5s, the first digits, and none at all."""

import hashlib

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.hashes import check_hash, describe_hash

CONTENT = b"weights"
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    return path


def test_what_was_checked_is_said(file):
    assert check_hash(file, f"sha256:{SHA256}") == "sha256 checked"
    assert check_hash(file, f"md5:{MD5}") == "md5 checked"
    assert check_hash(file, f"sha256-prefix:{SHA256[:8]}") == (
        "only the first 8 digits of the sha256 are known, and they are right"
    )
    assert check_hash(file, None) == (
        f"no hash is known, so the file is not checked; its sha256 is {SHA256}"
    )


@pytest.mark.parametrize(
    "expected", [f"sha256:{MD5 * 2}", f"md5:{SHA256[:32]}", "sha256-prefix:01234567"]
)
def test_another_file_is_refused_with_both_hashes(file, expected):
    with pytest.raises(DeeplabError, match=expected.rpartition(":")[2]) as raised:
        check_hash(file, expected)
    assert (MD5 if expected.startswith("md5") else SHA256) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_prefix_is_not_called_a_hash():
    assert describe_hash(f"sha256:{SHA256}") == f"sha256: {SHA256}"
    assert describe_hash("sha256-prefix:01234567").startswith("8 digits: ")
    assert "not checked" in describe_hash(None)
