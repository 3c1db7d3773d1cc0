"""Access to remote files, through TensorFlow and through fsspec."""

from __future__ import annotations

import sys

import fsspec
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.storage import files, stores
from rlstm_tf.storage.fsspec_store import FsspecStore


@pytest.fixture(params=["file", "memory"])
def root(request, tmp_path_factory):
    """A directory with one file, accessed through TensorFlow (`file`) or fsspec (`memory`)."""
    directory = f"{request.param}://bucket/stores"
    if request.param == "file":
        directory = f"file://{tmp_path_factory.mktemp('stores')}/stores"
    files.make_directory(f"{directory}/a")
    files.write_text(f"{directory}/a/text", "0123456789é")
    yield directory
    files.remove(directory)


def test_get_store(root):
    assert isinstance(stores.get_store(root), FsspecStore) == root.startswith("memory")


def test_read(root):
    file = files.open_file(f"{root}/a/text")
    assert file.size == 12
    assert file.read(3, 4) == b"3456"
    assert file.read(8, 100) == "89é".encode()
    assert file.read(12, 1) == file.read(50, 1) == b""
    assert files.read_text(f"{root}/a/text") == "0123456789é"
    assert files.open_text(f"{root}/a/text").read() == "0123456789é"


def test_existing_paths(root):
    files.write_text(f"{root}/b", "")
    assert files.list_directory(root) == ["a", "b"]
    assert files.list_directory(f"{root}/a/") == ["text"]
    assert files.is_directory(f"{root}/a")
    assert not files.is_directory(f"{root}/b")
    assert not files.is_directory(f"{root}/c")
    paths = [f"{root}/{name}" for name in ("a/text", "b", "a", "c")]
    assert files.file_sizes(paths) == [12, 0, None, None]


def test_missing_paths(root):
    with pytest.raises(FileNotFoundError) as caught:
        files.open_file(f"{root}/c")
    assert caught.value.strerror
    with pytest.raises(DataError, match=f"{root}/c: ."):
        files.list_directory(f"{root}/c")
    with pytest.raises(FileNotFoundError):
        files.remove(f"{root}/c")


def test_copy_and_move(root, tmp_path):
    files.copy(f"{root}/a/text", str(tmp_path / "local"))
    assert (tmp_path / "local").read_text() == "0123456789é"
    (tmp_path / "local").write_text("other")
    files.copy(str(tmp_path / "local"), f"{root}/b")
    files.copy(f"{root}/b", f"{root}/a/text")
    assert files.read_text(f"{root}/a/text") == "other"
    files.write_text(f"{root}/b", "third")
    files.move(f"{root}/b", f"{root}/a/text")
    assert files.read_text(f"{root}/a/text") == "third"
    assert files.list_directory(root) == ["a"]


def test_remove(root):
    files.make_directory(f"{root}/a/deep")
    files.write_text(f"{root}/a/deep/text", "")
    files.write_text(f"{root}/b", "")
    files.remove(f"{root}/a")
    assert files.list_directory(root) == ["b"]
    files.remove(f"{root}/b")
    assert not files.is_directory(f"{root}/a")
    files.write_text(f"{root}/b", "")


def test_errors_of_a_library_become_os_errors(monkeypatch):
    def refuse(path):
        raise RuntimeError("no credentials")

    # fsspec returns the same instance for equal arguments.
    file_system = fsspec.filesystem("memory", use_listings_cache=False)
    monkeypatch.setattr(file_system, "info", refuse)
    with pytest.raises(DataError, match="memory://bucket/b: no credentials"):
        files.is_directory("memory://bucket/b")


def test_unsupported_scheme_is_refused(monkeypatch):
    stores._make_store.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(DataError, match=r"opens s3:// \(.*tensorflow_io.*; .*s3fs.*\)"):
        stores.get_store("s3://bucket/key")
    with pytest.raises(DataError, match=r"pip install 'rlstm-tf\[stores\]'.*rlstm-tf\[addons\]"):
        stores.get_store("nostore://bucket/key")
