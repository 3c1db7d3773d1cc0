"""Who may write into a run's directory."""

import pytest

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.run_directory import RunDirectory

FLAGS = {"epochs": "--epochs=5", "seed": "--seed=0"}


def add_checkpoint(run):
    run.checkpoints.mkdir()
    (run.checkpoints / "step-000000001.npz").write_bytes(b"")
    run._lock.close()


def claimed(path, flags=FLAGS, resume=False):
    run = RunDirectory(path)
    run.claim(flags, resume, {"epochs"})
    return run


def test_a_new_run_records_its_flags(tmp_path):
    run = claimed(tmp_path / "a" / "run")
    assert run.flags.read_text() == "--epochs=5\n--seed=0\n"


def test_in_use(tmp_path):
    first = claimed(tmp_path)
    with pytest.raises(DataError, match="in use by another training"):
        claimed(tmp_path, resume=True)
    assert first.flags.exists()


def test_a_run_without_a_checkpoint_is_started_anew(tmp_path):
    run = claimed(tmp_path)
    run.check_classes(["a"], "shards")
    run._lock.close()
    run = claimed(tmp_path, {**FLAGS, "seed": "--seed=1"})
    run.check_classes(["b"], "shards")
    assert "--seed=1" in run.flags.read_text()


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


def test_another_class_list(tmp_path):
    run = claimed(tmp_path)
    run.check_classes(["a", "<script>é"], "shards")
    assert RunDirectory(tmp_path).classes() == ["a", "<script>é"]
    run.check_classes(["a", "<script>é"], "shards")
    with pytest.raises(DataError, match=r"another class list.*'a' is 'b'"):
        run.check_classes(["b", "<script>é"], "shards")
    with pytest.raises(DataError, match="2 are 3"):
        run.check_classes(["a", "<script>é", "c"], "shards")


def test_reading_a_run_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).check_classes(["a"], "shards")
    assert not list(tmp_path.iterdir())


def test_not_a_run(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        RunDirectory(tmp_path).classes()


def test_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        claimed(tmp_path / "file" / "run")
