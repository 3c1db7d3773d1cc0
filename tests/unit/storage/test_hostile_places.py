"""Links that others planted and names that lead elsewhere are refused."""

from __future__ import annotations

import os

import pytest
from builds import arguments

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError
from rlstm_tf.runs.remote import local_mirror
from rlstm_tf.serving.versions import new_version
from rlstm_tf.storage import creation, files, stores
from rlstm_tf.storage.atomic import atomic_file, write_atomic
from rlstm_tf.storage.fsspec_store import FsspecStore
from rlstm_tf.storage.locks import lock_file
from rlstm_tf.storage.names import confine
from tfrecords_tools import build


@pytest.fixture
def victim(tmp_path):
    """A file that must stay as it is."""
    path = tmp_path / "victim" / "file.partial"
    path.parent.mkdir()
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"
    assert os.listdir(path.parent) == [path.name]


WRITERS = {
    "text.partial": lambda path: files.write_text(str(path), "new"),
    "file.partial": lambda path: atomic_file(path).__enter__(),
    "lock": lambda path: lock_file(path, "in use"),
    "log": lambda path: creation.open_to_append(path),
    "new": lambda path: creation.write_new(path, b"new"),
    "copy": lambda path: files.copy(f"file://{path.parent}/source", str(path)),
    "directory": lambda path: creation.make_directory(path),
    "version/new.partial": lambda path: new_version(path.parent).__enter__(),
    "version/.lock": lambda path: new_version(path.parent).__enter__(),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_planted_link_is_refused(tmp_path, victim, name, exists):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "source").write_text("new")
    path.symlink_to(victim if exists else victim.parent / "none")
    target = path.with_suffix("") if name.endswith("t.partial") else path
    target = target if name != "file.partial" else path.with_suffix("")
    with pytest.raises(DataError, match=f"{path} is a link to {victim.parent}/.*: delete"):
        WRITERS[name](target)
    assert path.is_symlink()


@pytest.mark.parametrize("name", ["text.partial", "lock", "new"])
def test_a_planted_hard_link_is_not_written(tmp_path, victim, name):
    os.link(victim, tmp_path / name)
    made = WRITERS[name](tmp_path / name.replace(".partial", ""))
    if name == "lock":
        made.close()


def test_the_link_is_planted_at_the_last_moment(tmp_path, victim, monkeypatch):
    """After the check."""
    monkeypatch.setattr(creation, "refuse_link", lambda path: os.symlink(victim, path))
    for number, write in enumerate((creation.open_to_append, creation.open_to_lock)):
        with pytest.raises(OSError, match="symbolic links"):
            write(tmp_path / str(number))
    monkeypatch.setattr(creation.os, "remove", lambda path: os.symlink(victim, path))
    monkeypatch.setattr(creation, "refuse_link", lambda path: None)
    with pytest.raises(FileExistsError):
        creation.create_file(tmp_path / "file")


def test_unique_names_cannot_be_guessed(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "replace", lambda source, target: names.append(source))
    for _ in range(2):
        write_atomic(tmp_path / "file", b"1")
    assert names[0] != names[1]
    assert all(len(name) > len(str(tmp_path / "file.partial")) + 16 for name in names)


def test_a_file_of_a_killed_process_is_replaced(tmp_path):
    (tmp_path / "text.partial").write_text("much longer than the new one")
    files.write_text(str(tmp_path / "text"), "new")
    assert (tmp_path / "text").read_text() == "new"
    assert os.listdir(tmp_path) == ["text"]


@pytest.mark.parametrize("name", [".build", ".build/plan.json.partial", ".build/lock"])
def test_a_build_in_a_shared_directory(own, tmp_path, victim, capsys, name):
    link = tmp_path / "shards" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(victim.parent if name == ".build" else victim)
    given = arguments(own, tmp_path / "shards")
    assert app.run(build.main, build.define_flags, ["build", *given]) == 1
    assert f"error: {link} is a link to " in capsys.readouterr().err


BAD_NAMES = [
    *("..", "../x", "a/../../x", "a/..", ".", "./a", "", "a//b", "a/", "/etc/passwd", "/"),
    *("C:", "c:/x", "C:x", "\\x", "..\\x", "a\\b", "a\0b", "a\n\\b", "a\ud800"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(DataError, match=r"^the list lists .*: a name must not be absolute"):
        confine(name, "the list")


def test_names_that_stay():
    for name in ("a", "a/b.c", "..a/...", "a b/é\n", "train:1/x", "~"):
        assert confine(name, "") == name
    assert confine("a/b", "", 2) == "a/b"
    with pytest.raises(DataError):
        confine("a/b", "", 1)


class HostileStore:
    """An fsspec file system that lists any keys."""

    def __init__(self, keys):
        self.keys = keys

    def info(self, path):
        return {"type": "directory" if path == "s3://bucket/run" else "file", "size": 4}

    def ls(self, path, detail):
        return [f"{path[len('s3://') :]}/{key}" for key in self.keys]

    def get_file(self, source, target):
        with open(target, "wb") as file:
            file.write(b"evil")


@pytest.mark.parametrize("key", ["..", ".", "..\\..\\x", "C:", "a\0"])
def test_a_store_that_lists_other_places(tmp_path, monkeypatch, key):
    found = FsspecStore(HostileStore(["flags.cfg", key]))
    monkeypatch.setattr(files, "get_store", lambda path: found)
    monkeypatch.setattr(app, "load_tensorflow", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(DataError, match=r"^s3://bucket/run lists "),
        local_mirror("s3://bucket/run"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_store_that_lists_a_directory_in_itself(tmp_path, monkeypatch):
    class Endless(HostileStore):
        def info(self, path):
            return {"type": "directory", "size": 0}

    monkeypatch.setattr(files, "get_store", lambda path: FsspecStore(Endless(["a"])))
    monkeypatch.setattr(app, "load_tensorflow", lambda: None)
    with pytest.raises(DataError, match="more than 32 dir"), local_mirror("s3://bucket/run"):
        pass


def test_a_store_that_lists_the_directory_itself(tmp_path, monkeypatch):
    from tensorflow import io

    monkeypatch.setattr(io.gfile, "listdir", lambda path: ["", "a/", "b"])
    store = stores.get_store(f"file://{tmp_path}")
    assert store.names(f"file://{tmp_path}") == ["a", "b"]
