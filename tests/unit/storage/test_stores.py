"""What opens a path with `://` in it: the same of TensorFlow's file systems and of fsspec's."""

from __future__ import annotations

import sys

import fsspec
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.storage import files, stores
from rlstm_tf.storage.fsspec_store import FsspecStore


@pytest.fixture(params=["file", "memory"])
def place(request, tmp_path_factory):
    """A directory that TensorFlow opens, and one that fsspec does; both hold one file."""
    directory = f"{request.param}://bucket/stores"
    if request.param == "file":
        directory = f"file://{tmp_path_factory.mktemp('stores')}/stores"
    files.make_directory(f"{directory}/a")
    files.write_text(f"{directory}/a/text", "0123456789é")
    yield directory
    files.remove(directory)


def test_which_store(place):
    assert isinstance(stores.get_store(place), FsspecStore) == place.startswith("memory")


def test_read(place):
    file = files.open_file(f"{place}/a/text")
    assert file.size == 12
    assert file.read(3, 4) == b"3456"
    assert file.read(8, 100) == "89é".encode()
    assert file.read(12, 1) == file.read(50, 1) == b""
    assert files.read_text(f"{place}/a/text") == "0123456789é"
    assert files.open_text(f"{place}/a/text").read() == "0123456789é"


def test_what_is_there(place):
    files.write_text(f"{place}/b", "")
    assert files.list_directory(place) == ["a", "b"]
    assert files.list_directory(f"{place}/a/") == ["text"]
    assert files.is_directory(f"{place}/a")
    assert not files.is_directory(f"{place}/b")
    assert not files.is_directory(f"{place}/c")
    paths = [f"{place}/{name}" for name in ("a/text", "b", "a", "c")]
    assert files.file_sizes(paths) == [12, 0, None, None]


def test_what_is_not_there(place):
    with pytest.raises(FileNotFoundError) as caught:
        files.open_file(f"{place}/c")
    assert caught.value.strerror
    with pytest.raises(DataError, match=f"{place}/c: ."):
        files.list_directory(f"{place}/c")
    with pytest.raises(FileNotFoundError):
        files.remove(f"{place}/c")


def test_copies(place, tmp_path):
    files.copy(f"{place}/a/text", str(tmp_path / "local"))
    assert (tmp_path / "local").read_text() == "0123456789é"
    (tmp_path / "local").write_text("other")
    files.copy(str(tmp_path / "local"), f"{place}/b")
    files.copy(f"{place}/b", f"{place}/a/text")
    assert files.read_text(f"{place}/a/text") == "other"
    files.write_text(f"{place}/b", "third")
    files.move(f"{place}/b", f"{place}/a/text")
    assert files.read_text(f"{place}/a/text") == "third"
    assert files.list_directory(place) == ["a"]


def test_removes(place):
    files.make_directory(f"{place}/a/deep")
    files.write_text(f"{place}/a/deep/text", "")
    files.write_text(f"{place}/b", "")
    files.remove(f"{place}/a")
    assert files.list_directory(place) == ["b"]
    files.remove(f"{place}/b")
    assert not files.is_directory(f"{place}/a")
    files.write_text(f"{place}/b", "")


def test_what_a_library_raises_is_an_os_error(monkeypatch):
    def refused(path):
        raise RuntimeError("no credentials")

    # fsspec has one of a scheme, for all who ask.
    store = fsspec.filesystem("memory", use_listings_cache=False)
    monkeypatch.setattr(store, "info", refused)
    with pytest.raises(DataError, match="memory://bucket/b: no credentials"):
        files.is_directory("memory://bucket/b")


def test_nothing_opens_it(monkeypatch):
    stores._store.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(DataError, match=r"opens s3:// \(.*tensorflow_io.*; .*s3fs.*\)"):
        stores.get_store("s3://bucket/key")
    with pytest.raises(DataError, match=r"pip install 'rlstm-tf\[stores\]'.*rlstm-tf\[addons\]"):
        stores.get_store("nostore://bucket/key")
