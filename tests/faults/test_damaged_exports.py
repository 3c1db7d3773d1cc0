"""Exported networks in which bytes have changed, or lack: refused before they answer."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from exports import CLASSES

from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import CHECKSUMS, find_newest_version
from rlstm_tf.serving.predictor import Predictor
from rlstm_tf.storage.checksums import with_checksum

CONSTANT = np.float32(127.5).tobytes()


@pytest.fixture
def version(small_export, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(small_export / "1", tmp_path / "small" / "1")


def files_of(version):
    return sorted(
        path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()
    )


def refused(version):
    """Returns the one line that a prediction prints about it."""
    with pytest.raises(DataError) as caught:
        Predictor.load(find_newest_version(version.parent))
    line = " ".join(str(caught.value).split())
    assert str(version) in line
    return line


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_what_still_answers_otherwise(version, survived):
    """TensorFlow loads it, and it would be wrong without a word."""
    graph = version / "saved_model.pb"
    whole = graph.read_bytes()
    places = [whole.index(CONSTANT) + 2, whole.index(CLASSES[0].encode())]
    for at in places:
        flipped(graph, at)
        assert tf.saved_model.load(str(version)).signatures
        assert f"{graph} is damaged: its sha256 is " in refused(version)
        graph.write_bytes(whole)
    flipped(version / "assets" / "classes.txt", 0)
    assert f"{version}/assets/classes.txt is damaged: its sha256 is " in refused(version)
    survived(4, len(places) + 1)


def test_a_flipped_bit_of_any_file(version, survived, times):
    rng = np.random.default_rng(0)
    caused = 0
    for name in files_of(version):
        path = version / name
        whole = path.read_bytes()
        for at in rng.integers(0, len(whole), times(20, 2)):
            flipped(path, at)
            assert str(path) in refused(version)
            path.write_bytes(whole)
            caused += 1
    Predictor.load(version)
    survived(4, caused)


def test_a_file_that_is_gone(version, survived):
    names = set(files_of(version)) - {str(CHECKSUMS)}
    for name in names:
        path = version / name
        whole = path.read_bytes()
        path.unlink()
        assert name in refused(version)
        path.write_bytes(whole)
    survived(3, len(names))


@pytest.mark.parametrize("checksums", [True, False], ids=("with checksums", "of before them"))
def test_a_file_cut_short(version, survived, checksums):
    """Without checksums, TensorFlow's own error appears, or none."""
    if not checksums:
        (version / CHECKSUMS).unlink()
    names = files_of(version)
    for name in names:
        path = version / name
        whole = path.read_bytes()
        for size in (len(whole) // 2, 0):
            path.write_bytes(whole[:size])
            if checksums:
                assert str(path) in refused(version)
            elif name in ("saved_model.pb", "assets/model.json") or "variables" in name:
                refused(version)
            else:
                Predictor.load(version)
            path.write_bytes(whole)
    Predictor.load(version)
    survived(3, 2 * len(names))


def test_more_files_do_no_harm(version):
    (version / "README").write_text("mine")
    Predictor.load(version)


def change_list(version, files):
    """Writes a list of files with a correct checksum of its own."""
    (version / CHECKSUMS).write_text(json.dumps(with_checksum({"files": files})))


def test_a_list_of_files_elsewhere(version, tmp_path):
    known = json.loads((version / CHECKSUMS).read_text())["files"]
    (tmp_path / "outside").write_text("secret")
    for name in ("../../outside", str(tmp_path / "outside"), "assets/../../../outside"):
        change_list(version, {**known, name: "0"})
        # Its checksum would tell what the file holds.
        assert f"{version / CHECKSUMS} lists {name!r}: a name must not" in refused(version)


def test_a_list_without_files(version):
    known = json.loads((version / CHECKSUMS).read_text())["files"]
    change_list(version, {})
    assert f"{version} is damaged: files.json does not list " in refused(version)
    change_list(version, known)
    Predictor.load(version)
    # TensorFlow would load it in place of the graph.
    for name in ("saved_model.cpb", "assets/more.txt", "variables/link"):
        (version / name).symlink_to(version / "saved_model.pb")
        assert f"{version} is damaged: files.json does not list {name}" in refused(version)
        (version / name).unlink()
