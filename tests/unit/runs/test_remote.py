"""Local mirrors of directories in a store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.remote import local_mirror

CHECKPOINTS = "checkpoints"


@pytest.fixture
def store(tmp_path):
    """The store's own directory, read without the store's interface."""
    root = tmp_path / "store/run"
    for name in ("flags.cfg", "checkpoints/step-1.npz", "evaluation/test/scores.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def files(root):
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_local_directory_is_used_directly(store):
    with local_mirror(str(store)) as mirror:
        assert mirror.path == store
        assert mirror.display_path(mirror.path / "flags.cfg") == f"{store}/flags.cfg"
        mirror.upload(last=CHECKPOINTS)
    assert "flags.cfg" in files(store)


def test_files_are_downloaded(store):
    with local_mirror(f"file://{store}/", exclude=("evaluation",)) as mirror:
        assert mirror.path.name == "run"
        assert files(mirror.path) == {n: n for n in ("flags.cfg", "checkpoints/step-1.npz")}
        assert mirror.display_path(mirror.path / "flags.cfg") == f"file://{store}/flags.cfg"
        path = mirror.path
    assert not path.exists()
    with local_mirror(f"file://{store}", fetch=False) as mirror:
        assert not mirror.path.exists()
    with local_mirror(f"file://{store}/none") as mirror:
        assert not mirror.path.exists()


def test_new_files_are_uploaded_and_deleted_ones_removed(store):
    evaluated = (store / "evaluation/test/scores.npz").stat().st_mtime_ns
    with local_mirror(f"file://{store}", exclude=("evaluation",)) as mirror:
        untouched = (store / "flags.cfg").stat().st_mtime_ns
        (mirror.path / "checkpoints/step-2.npz").write_text("2")
        (mirror.path / "checkpoints/step-3.partial").write_text("half")
        (mirror.path / ".lock").write_text("")
        (mirror.path / "checkpoints/step-1.npz").unlink()
        mirror.upload(last=CHECKPOINTS)
        assert set(files(store / CHECKPOINTS)) == {"step-2.npz"}
        assert (store / "flags.cfg").stat().st_mtime_ns == untouched
        (mirror.path / "flags.cfg").write_text("other")
        mirror.upload(last=CHECKPOINTS)
    assert files(store)["flags.cfg"] == "other"
    assert (store / "evaluation/test/scores.npz").stat().st_mtime_ns == evaluated


def test_upload_order(store, monkeypatch):
    """Uploads in the order of writing, so that an interrupted upload looks like a killed run."""
    from rlstm_tf.storage import files as data_files

    order = []
    monkeypatch.setattr(data_files, "copy", lambda source, target: order.append(Path(target).name))
    monkeypatch.setattr(data_files, "make_directory", lambda path: None)
    monkeypatch.setattr(data_files, "remove", lambda path: order.append(f"-{Path(path).name}"))
    with local_mirror(f"file://{store}", fetch=False) as mirror:
        for time, name in enumerate(
            ("checkpoints/step-2.npz", "checkpoints/best.npz", "z.cfg", "a.csv")
        ):
            (mirror.path / name).parent.mkdir(parents=True, exist_ok=True)
            (mirror.path / name).write_text(name)
            os.utime(mirror.path / name, (time, time))
        mirror._known = {"checkpoints/step-1.npz": (0, 0)}
        mirror.upload(last=CHECKPOINTS)
        assert order == ["z.cfg", "a.csv", "best.npz", "step-2.npz", "-step-1.npz"]
        order.clear()
        (mirror.path / "z.cfg").write_text("again")
        (mirror.path / "a.csv").write_text("again")
        mirror.upload(last="a.csv")
        assert order == ["-a.csv", "z.cfg", "a.csv"]


def test_upload_detects_files_of_another_process(store):
    with local_mirror(f"file://{store}") as mirror:
        (store / "checkpoints/step-7.npz").write_text("7")
        (mirror.path / "checkpoints/step-2.npz").write_text("2")
        with pytest.raises(DataError, match=r"/checkpoints/step-7\.npz was written meanwhile"):
            mirror.upload(last=CHECKPOINTS)
    assert "checkpoints/step-2.npz" not in files(store)


@pytest.mark.parametrize("kind", [DataError, UsageError])
def test_errors_name_the_store(store, kind):
    with pytest.raises(kind) as caught, local_mirror(f"file://{store}") as mirror:
        raise kind(f"{mirror.path}/flags.cfg is damaged")
    assert str(caught.value) == f"file://{store}/flags.cfg is damaged"


def test_store_that_cannot_be_written(store):
    store.with_name("file").write_text("")
    with local_mirror(f"file://{store.parent}/file/x", fetch=False) as mirror:
        mirror.path.mkdir()
        (mirror.path / "text").write_text("")
        with pytest.raises(DataError, match=f"cannot write file://{store.parent}/file/x: "):
            mirror.check_writable()
        with pytest.raises(DataError, match=f"cannot write file://{store.parent}/file/x: "):
            mirror.upload()
    before = files(store)
    with local_mirror(f"file://{store}", fetch=False) as mirror:
        mirror.check_writable()
    assert files(store) == before
