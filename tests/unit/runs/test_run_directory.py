"""The directory of a run: locking, resuming, refusing other flags, classes and shards."""

import dataclasses

import pytest

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.directory import RunDirectory

FLAGS = {
    **{"data": "--data=shards", "epochs": "--epochs=5"},
    **{"run_dir": "--run_dir=run", "seed": "--seed=0"},
}
CLASSES = ["a", "<script>é"]


def add_checkpoint(run):
    run.checkpoints.mkdir()
    (run.checkpoints / "step-000000001.npz").write_bytes(b"")
    run._lock.close()


DEFAULTS = {"flip": "--flip", "units": "--units=64"}


def opened(path, flags=FLAGS, resume=False, classes=CLASSES, records="manifest"):
    run = RunDirectory(path)
    run.open_for_training(flags, DEFAULTS, classes, records, resume)
    return run


def test_a_new_run_records_its_flags(tmp_path):
    run = opened(tmp_path / "a" / "run")
    assert run.flags.read_text() == "--data=shards\n--epochs=5\n--run_dir=run\n--seed=0\n"
    assert run.classes() == CLASSES


def test_directory_in_use_is_refused(tmp_path):
    first = opened(tmp_path)
    with pytest.raises(DataError, match="in use by another training"):
        opened(tmp_path, resume=True)
    assert first.flags.exists()


def test_a_run_without_a_checkpoint_starts_over(tmp_path):
    run = opened(tmp_path)
    run.tensorboard.mkdir()
    run._lock.close()
    run = opened(tmp_path, {**FLAGS, "seed": "--seed=1"}, classes=["b"])
    assert not run.tensorboard.exists()
    run.history.write_text("epoch")
    run._lock.close()
    # Its checkpoints were deleted.
    with pytest.raises(UsageError, match=r"holds history\.csv of a run whose checkpoints are gone"):
        opened(tmp_path)
    assert run.history.read_text() == "epoch"
    run = opened(tmp_path, {**FLAGS, "seed": "--seed=1"}, resume=True, classes=["b"])
    assert "--seed=1" in run.flags.read_text()
    assert run.classes() == ["b"]
    assert not run.history.exists()


def test_resume_with_other_shards_is_refused(tmp_path):
    add_checkpoint(opened(tmp_path))
    with pytest.raises(DataError, match=r"shards holds other records than run .* that of the run"):
        opened(tmp_path, resume=True, records="another manifest")
    opened(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["history.csv", "classes.json", "tensorboard/events"])
def test_foreign_files_are_not_deleted(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(DataError, match=f"holds {name.split('/')[0]}, which is not from a run"):
        opened(tmp_path)
    assert path.read_text() == "mine"
    assert not (tmp_path / "flags.cfg").exists()


def test_a_run_is_resumed_only_with_resume(tmp_path):
    add_checkpoint(opened(tmp_path))
    with pytest.raises(UsageError, match=r"already holds a run.*--resume"):
        opened(tmp_path)
    opened(tmp_path, resume=True)


def test_resume_with_other_flags_is_refused(tmp_path):
    add_checkpoint(opened(tmp_path))
    with pytest.raises(UsageError, match="started with --seed=0, this command with --seed=1"):
        opened(tmp_path, {**FLAGS, "seed": "--seed=1"}, resume=True)
    assert "--seed=0" in (tmp_path / "flags.cfg").read_text()
    opened(tmp_path, {**FLAGS, "epochs": "--epochs=9"}, resume=True)
    assert "--epochs=9" in (tmp_path / "flags.cfg").read_text()


def test_resume_without_a_flag_of_the_run_is_refused(tmp_path):
    whole = {**FLAGS, "cut": "--cut=block1", "flip": "--noflip", "list": "--list=1\n--list=2"}
    add_checkpoint(opened(tmp_path, whole))
    for name, text in (
        ("cut", "--cut=block1"),
        ("flip", "--noflip"),
        ("list", "--list=1 --list=2"),
    ):
        less = {key: other for key, other in whole.items() if key != name}
        with pytest.raises(UsageError, match=f"with {text}, this command with no --{name}"):
            opened(tmp_path, less, resume=True)
    with pytest.raises(UsageError, match="with no --units, this command with --units=3"):
        opened(tmp_path, {**whole, "units": "--units=3"}, resume=True)
    assert "--cut=block1" in (tmp_path / "flags.cfg").read_text()
    opened(tmp_path, whole, resume=True)


def test_flag_newer_than_the_run_counts_as_its_default(tmp_path):
    add_checkpoint(opened(tmp_path))
    newer = {**FLAGS, "flip": "--flip", "units": "--units=64"}
    opened(tmp_path, newer, resume=True)._lock.close()
    assert "--units=64" in (tmp_path / "flags.cfg").read_text()
    (tmp_path / "flags.cfg").write_text("--data=shards\n--epochs=5\n")  # cut short
    with pytest.raises(UsageError, match="with no --flip, this command with --flip"):
        opened(tmp_path, newer, resume=True)


def test_partial_files_are_deleted(tmp_path):
    add_checkpoint(opened(tmp_path))
    for name in ("history.csv.7.partial", "flags.cfg.7.partial"):
        (tmp_path / name).write_text("half")
    opened(tmp_path, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".lock", "checkpoints", "classes.json", "flags.cfg", "manifest.json", "records.sha256")
    ]


def test_resume_with_other_classes_is_refused(tmp_path):
    add_checkpoint(opened(tmp_path))
    opened(tmp_path, resume=True)._lock.close()
    more = {**FLAGS, "epochs": "--epochs=9"}
    with pytest.raises(DataError, match=r"shards has another class list.*'a' is 'b'"):
        opened(tmp_path, more, resume=True, classes=["b", "<script>é"])
    with pytest.raises(DataError, match="2 are 3"):
        RunDirectory(tmp_path).check_classes([*CLASSES, "c"], "shards")
    assert "--epochs=5" in (tmp_path / "flags.cfg").read_text()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"[", b'"a"', b"7", b"[" * 99999])
@pytest.mark.parametrize("name", ["classes.json", "flags.cfg", "records.sha256"])
def test_damaged_files(tmp_path, name, content):
    """The error names the file; an empty flags.cfg counts as other flags."""
    add_checkpoint(opened(tmp_path))
    path = tmp_path / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((DataError, UsageError), match=f"{name} is missing or|was started with"):
        opened(tmp_path, resume=True)
    assert (path.read_bytes() if path.exists() else None) == content


def test_reading_a_run_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).check_classes(["a"], "shards")
    assert not list(tmp_path.iterdir())


def test_directory_without_run(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).classes()


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        opened(tmp_path / "file" / "run")


def test_manifest_of_the_shards_is_kept(tmp_path):
    manifest = Manifest("folder", 0, "spatial", tuple(CLASSES), {"short_side": 32}, {})
    run = opened(tmp_path, records=manifest.to_json())
    assert run.manifest() == manifest
    add_checkpoint(run)
    run._lock.close()
    # A run of an older version has no manifest until it is resumed.
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"manifest.json: No such file.*--resume"):
        RunDirectory(tmp_path).manifest()
    assert opened(tmp_path, resume=True, records=manifest.to_json()).manifest() == manifest
    text = manifest.to_json().replace('"short_side": 32', '"short_side": 33')
    other = dataclasses.replace(manifest, settings={"short_side": 33}).to_json()
    for changed in (text, other):  # edited by hand; from other shards
        (tmp_path / "manifest.json").write_text(changed)
        with pytest.raises(DataError, match=r"manifest\.json holds other records than run"):
            RunDirectory(tmp_path).manifest()


def test_the_epochs_of_a_cosine_may_not_change(tmp_path):
    whole = {**FLAGS, "schedule": "--schedule=cosine"}
    add_checkpoint(opened(tmp_path, whole))
    with pytest.raises(UsageError, match="started with --epochs=5, this command with --epochs=9"):
        opened(tmp_path, {**whole, "epochs": "--epochs=9"}, resume=True)
    opened(tmp_path, whole, resume=True)
