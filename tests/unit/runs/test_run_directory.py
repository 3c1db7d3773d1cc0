"""Who may write into a run's directory."""

import dataclasses

import pytest

from rlstm_tf.data.schema import Manifest
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.directory import RunDirectory

FLAGS = {"data": "--data=shards", "epochs": "--epochs=5", "seed": "--seed=0"}
CLASSES = ["a", "<script>é"]


def add_checkpoint(run):
    run.checkpoints.mkdir()
    (run.checkpoints / "step-000000001.npz").write_bytes(b"")
    run._lock.close()


def claimed(path, flags=FLAGS, resume=False, classes=CLASSES, records="manifest"):
    run = RunDirectory(path)
    run.claim(flags, classes, records, resume, {"data", "epochs"})
    return run


def test_a_new_run_records_its_flags(tmp_path):
    run = claimed(tmp_path / "a" / "run")
    assert run.flags.read_text() == "--data=shards\n--epochs=5\n--seed=0\n"
    assert run.classes() == CLASSES


def test_in_use(tmp_path):
    first = claimed(tmp_path)
    with pytest.raises(DataError, match="in use by another training"):
        claimed(tmp_path, resume=True)
    assert first.flags.exists()


def test_a_run_without_a_checkpoint_is_started_anew(tmp_path):
    run = claimed(tmp_path)
    run.tensorboard.mkdir()
    run._lock.close()
    run = claimed(tmp_path, {**FLAGS, "seed": "--seed=1"}, classes=["b"])
    assert not run.tensorboard.exists()
    run.history.write_text("epoch")
    run._lock.close()
    # Someone deleted its checkpoints.
    with pytest.raises(UsageError, match=r"holds history\.csv of a run whose checkpoints are gone"):
        claimed(tmp_path)
    assert run.history.read_text() == "epoch"
    run = claimed(tmp_path, {**FLAGS, "seed": "--seed=1"}, resume=True, classes=["b"])
    assert "--seed=1" in run.flags.read_text()
    assert run.classes() == ["b"]
    assert not run.history.exists()


def test_a_run_goes_on_with_its_own_records_alone(tmp_path):
    add_checkpoint(claimed(tmp_path))
    with pytest.raises(DataError, match=r"shards holds other records than run .* that of the run"):
        claimed(tmp_path, resume=True, records="another manifest")
    claimed(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["history.csv", "classes.json", "tensorboard/events"])
def test_what_is_of_no_run_is_not_deleted(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(DataError, match=f"holds {name.split('/')[0]}, which is of no run"):
        claimed(tmp_path)
    assert path.read_text() == "mine"
    assert not (tmp_path / "flags.cfg").exists()


def test_an_old_run_is_continued_only_when_asked(tmp_path):
    add_checkpoint(claimed(tmp_path))
    with pytest.raises(UsageError, match=r"already holds a run.*--resume"):
        claimed(tmp_path)
    claimed(tmp_path, resume=True)


def test_continued_with_other_flags(tmp_path):
    add_checkpoint(claimed(tmp_path))
    with pytest.raises(UsageError, match="started with --seed=0, this command says --seed=1"):
        claimed(tmp_path, {**FLAGS, "seed": "--seed=1"}, resume=True)
    assert "--seed=0" in (tmp_path / "flags.cfg").read_text()
    claimed(tmp_path, {**FLAGS, "epochs": "--epochs=9"}, resume=True)
    assert "--epochs=9" in (tmp_path / "flags.cfg").read_text()


def test_continued_without_a_flag_that_it_had(tmp_path):
    whole = {**FLAGS, "cut": "--cut=block1", "flip": "--noflip", "list": "--list=1\n--list=2"}
    add_checkpoint(claimed(tmp_path, whole))
    for name, said in (
        ("cut", "--cut=block1"),
        ("flip", "--noflip"),
        ("list", "--list=1 --list=2"),
    ):
        less = {key: text for key, text in whole.items() if key != name}
        with pytest.raises(UsageError, match=f"with {said}, this command says nothing of it"):
            claimed(tmp_path, less, resume=True)
    with pytest.raises(UsageError, match="with no --units, this command says --units=3"):
        claimed(tmp_path, {**whole, "units": "--units=3"}, resume=True)
    assert "--cut=block1" in (tmp_path / "flags.cfg").read_text()
    claimed(tmp_path, whole, resume=True)


def test_what_was_half_written_goes(tmp_path):
    add_checkpoint(claimed(tmp_path))
    for name in ("history.csv.7.partial", "flags.cfg.7.partial"):
        (tmp_path / name).write_text("half")
    claimed(tmp_path, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".lock", "checkpoints", "classes.json", "flags.cfg", "manifest.json", "records.sha256")
    ]


def test_another_class_list(tmp_path):
    add_checkpoint(claimed(tmp_path))
    claimed(tmp_path, resume=True)._lock.close()
    more = {**FLAGS, "epochs": "--epochs=9"}
    with pytest.raises(DataError, match=r"shards has another class list.*'a' is 'b'"):
        claimed(tmp_path, more, resume=True, classes=["b", "<script>é"])
    with pytest.raises(DataError, match="2 are 3"):
        RunDirectory(tmp_path).check_classes([*CLASSES, "c"], "shards")
    assert "--epochs=5" in (tmp_path / "flags.cfg").read_text()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"[", b'"a"', b"7", b"[" * 99999])
@pytest.mark.parametrize("name", ["classes.json", "flags.cfg", "records.sha256"])
def test_damaged(tmp_path, name, content):
    """One line that names the file; an empty flags.cfg had other flags."""
    add_checkpoint(claimed(tmp_path))
    path = tmp_path / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((DataError, UsageError), match=f"{name} is missing or|was started with"):
        claimed(tmp_path, resume=True)
    assert (path.read_bytes() if path.exists() else None) == content


def test_reading_a_run_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).check_classes(["a"], "shards")
    assert not list(tmp_path.iterdir())


def test_not_a_run(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).classes()


def test_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        claimed(tmp_path / "file" / "run")


def test_it_keeps_the_manifest_of_its_shards(tmp_path):
    manifest = Manifest("folder", 0, "spatial", tuple(CLASSES), {"short_side": 32}, {})
    run = claimed(tmp_path, records=manifest.to_json())
    assert run.manifest() == manifest
    add_checkpoint(run)
    run._lock.close()
    # As a run of an older version: it has none until it goes on.
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"manifest.json: No such file.*--resume"):
        RunDirectory(tmp_path).manifest()
    assert claimed(tmp_path, resume=True, records=manifest.to_json()).manifest() == manifest
    text = manifest.to_json().replace('"short_side": 32', '"short_side": 33')
    other = dataclasses.replace(manifest, settings={"short_side": 33}).to_json()
    for changed in (text, other):  # by hand, and whole but of other shards
        (tmp_path / "manifest.json").write_text(changed)
        with pytest.raises(DataError, match=r"manifest\.json holds other records than run"):
            RunDirectory(tmp_path).manifest()
