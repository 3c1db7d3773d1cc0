"""A directory of a store, worked on as a local one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.remote import local_mirror

CHECKPOINTS = "checkpoints"


@pytest.fixture
def there(tmp_path):
    """Where the store keeps its files, which are seen without it here."""
    root = tmp_path / "store/run"
    for name in ("flags.cfg", "checkpoints/step-1.npz", "evaluation/test/scores.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def files(root):
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_a_local_one_is_itself(there):
    with local_mirror(str(there)) as copy:
        assert copy.path == there
        assert copy.display_path(copy.path / "flags.cfg") == f"{there}/flags.cfg"
        copy.upload(last=CHECKPOINTS)
    assert "flags.cfg" in files(there)


def test_what_is_copied(there):
    with local_mirror(f"file://{there}/", exclude=("evaluation",)) as copy:
        assert copy.path.name == "run"
        assert files(copy.path) == {n: n for n in ("flags.cfg", "checkpoints/step-1.npz")}
        assert copy.display_path(copy.path / "flags.cfg") == f"file://{there}/flags.cfg"
        path = copy.path
    assert not path.exists()
    with local_mirror(f"file://{there}", fetch=False) as copy:
        assert not copy.path.exists()
    with local_mirror(f"file://{there}/none") as copy:
        assert not copy.path.exists()


def test_what_is_new_is_uploaded_and_what_is_gone_deleted(there):
    evaluated = (there / "evaluation/test/scores.npz").stat().st_mtime_ns
    with local_mirror(f"file://{there}", exclude=("evaluation",)) as copy:
        untouched = (there / "flags.cfg").stat().st_mtime_ns
        (copy.path / "checkpoints/step-2.npz").write_text("2")
        (copy.path / "checkpoints/step-3.partial").write_text("half")
        (copy.path / ".lock").write_text("")
        (copy.path / "checkpoints/step-1.npz").unlink()
        copy.upload(last=CHECKPOINTS)
        assert set(files(there / CHECKPOINTS)) == {"step-2.npz"}
        assert (there / "flags.cfg").stat().st_mtime_ns == untouched
        (copy.path / "flags.cfg").write_text("other")
        copy.upload(last=CHECKPOINTS)
    assert files(there)["flags.cfg"] == "other"
    assert (there / "evaluation/test/scores.npz").stat().st_mtime_ns == evaluated


def test_order_of_an_upload(there, monkeypatch):
    """As it was written, so that a run that is cut short is one that was killed; then the last."""
    from rlstm_tf.storage import files as data_files

    order = []
    monkeypatch.setattr(data_files, "copy", lambda source, target: order.append(Path(target).name))
    monkeypatch.setattr(data_files, "make_directory", lambda path: None)
    monkeypatch.setattr(data_files, "remove", lambda path: order.append(f"-{Path(path).name}"))
    with local_mirror(f"file://{there}", fetch=False) as copy:
        for time, name in enumerate(
            ("checkpoints/step-2.npz", "checkpoints/best.npz", "z.cfg", "a.csv")
        ):
            (copy.path / name).parent.mkdir(parents=True, exist_ok=True)
            (copy.path / name).write_text(name)
            os.utime(copy.path / name, (time, time))
        copy._known = {"checkpoints/step-1.npz": (0, 0)}
        copy.upload(last=CHECKPOINTS)
        assert order == ["z.cfg", "a.csv", "best.npz", "step-2.npz", "-step-1.npz"]
        order.clear()
        (copy.path / "z.cfg").write_text("again")
        (copy.path / "a.csv").write_text("again")
        copy.upload(last="a.csv")
        assert order == ["-a.csv", "z.cfg", "a.csv"]


def test_another_process_writes_there_too(there):
    with local_mirror(f"file://{there}") as copy:
        (there / "checkpoints/step-7.npz").write_text("7")
        (copy.path / "checkpoints/step-2.npz").write_text("2")
        with pytest.raises(DataError, match=r"/checkpoints/step-7\.npz was written meanwhile"):
            copy.upload(last=CHECKPOINTS)
    assert "checkpoints/step-2.npz" not in files(there)


@pytest.mark.parametrize("kind", [DataError, UsageError])
def test_errors_name_the_store(there, kind):
    with pytest.raises(kind) as caught, local_mirror(f"file://{there}") as copy:
        raise kind(f"{copy.path}/flags.cfg is damaged")
    assert str(caught.value) == f"file://{there}/flags.cfg is damaged"


def test_what_cannot_be_written(there):
    there.with_name("file").write_text("")
    with local_mirror(f"file://{there.parent}/file/x", fetch=False) as copy:
        copy.path.mkdir()
        (copy.path / "text").write_text("")
        with pytest.raises(DataError, match=f"cannot write file://{there.parent}/file/x: "):
            copy.check_writable()
        with pytest.raises(DataError, match=f"cannot write file://{there.parent}/file/x: "):
            copy.upload()
    before = files(there)
    with local_mirror(f"file://{there}", fetch=False) as copy:
        copy.check_writable()
    assert files(there) == before
