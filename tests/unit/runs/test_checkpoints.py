"""Checkpoints are written atomically, rotated, and refused if damaged."""

import errno
import os
import resource

import numpy as np
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.runs.checkpoints import Checkpoints, named_variables, named_weights, restore
from rlstm_tf.runs.directory import RunDirectory
from rlstm_tf.training.optimizers import sgd
from rlstm_tf.training.preemption import Stopped, StopRequest


def state(seed=0):
    rng = np.random.default_rng(seed)
    return {"model/a/kernel": rng.normal(size=(3, 4)).astype("float32"), "optimizer/0": np.int64(7)}


def assert_same(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_load_returns_saved_values(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new")
    path = checkpoints.save(12, state(), {"best": None, "epoch": 3})
    loaded, info = checkpoints.load(path)
    assert_same(loaded, state())
    assert (info["step"], info["epoch"], info["best"]) == (12, 3, None)


def test_keeps_the_newest_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 6):
        checkpoints.save(step, state(step), {}, best=step == 2)
    assert [path.name for path in checkpoints.all()] == ["step-000000004.npz", "step-000000005.npz"]
    assert_same(checkpoints.load(checkpoints.best)[0], state(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.npz",
        "step-000000004.npz",
        "step-000000005.npz",
    ]


def test_flipped_bytes_and_truncation_are_refused(tmp_path):
    """Flips one byte of the arrays, the JSON text or the container at a time."""
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, state(), {})
    whole = path.read_bytes()
    harmless = refused = 0
    for offset in range(0, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x10]) + whole[offset + 1 :])
        try:
            # Dates and attributes in the container do not matter; loaded values must be right.
            assert_same(checkpoints.load(path)[0], state())
            harmless += 1
        except DataError:
            refused += 1
        path.write_bytes(whole[:offset])
        with pytest.raises(DataError, match="damaged"):
            checkpoints.load(path)
    assert refused > 2 * harmless


def test_damaged_newest_checkpoint_falls_back_to_previous_one(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_newest() is None
    checkpoints.save(1, state(1), {})
    newest = checkpoints.save(2, state(2), {})
    newest.write_bytes(newest.read_bytes()[:-30])
    loaded, info, path = checkpoints.load_newest()
    assert info["step"] == 1
    assert path.name == "step-000000001.npz"
    assert_same(loaded, state(1))
    assert "step-000000002.npz is damaged" in capsys.readouterr().out
    path.write_bytes(b"")
    with pytest.raises(DataError, match="every checkpoint"):
        checkpoints.load_newest()


def test_checksum_covers_info(tmp_path):
    path = Checkpoints(tmp_path).save(5, state(), {"best": 0.5})
    with np.load(path) as file:
        arrays = dict(file)
    text = arrays["info"].tobytes().replace(b'"best": 0.5', b'"best": 0.9')
    np.savez(path, **{**arrays, "info": np.frombuffer(text, np.uint8)})
    with pytest.raises(DataError, match="is damaged: its sha256 differs"):
        Checkpoints(tmp_path).load(path)


def test_unreadable_newest_checkpoint_is_not_skipped(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state(), {})

    def refused(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(DataError, match=r"cannot read .*step-000000002.npz: Too many open files"):
        checkpoints.load_newest()


def test_unreadable_directory_does_not_count_as_new_run(tmp_path):
    """Without free file descriptors, Path.glob would find nothing, as in a new run."""
    run = RunDirectory(tmp_path)
    checkpoints = Checkpoints(run.checkpoints)
    assert not run.has_checkpoint()
    checkpoints.save(1, state(), {})
    assert run.has_checkpoint()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for look in (run.has_checkpoint, checkpoints.all, checkpoints.load_newest):
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(DataError, match=r"cannot read .*/checkpoints: Too many open file"):
                look()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_checkpoint_without_enough_memory_is_not_skipped(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        newest = checkpoints.save(step, state(), {})

    for said, reason in (("Unable to allocate 381. MiB", "Unable to allocate"), ("", "out of mem")):

        def none_left(*_, said=said):
            raise MemoryError(said)

        monkeypatch.setattr("rlstm_tf.storage.arrays._read_array", none_left)
        with pytest.raises(DataError, match=rf"cannot read .*step-000000002.npz: {reason}"):
            checkpoints.load_newest()
    # A damaged size field may ask for as much memory.
    newest.write_bytes(newest.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"step-000000002.npz is damaged"):
        checkpoints.load(newest)


def test_files_are_synced_before_rename(tmp_path, monkeypatch):
    synced, sync, replace = set(), os.fsync, os.replace

    def record(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def check(path, target):
        assert path in synced
        replace(path, target)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(os, "replace", check)
    Checkpoints(tmp_path).save(1, state(), {}, best=True)
    assert len(synced) == 2


def test_stop_request_while_loading_is_not_damage(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(), {})
    monkeypatch.setattr(
        "rlstm_tf.runs.checkpoints.arrays_sha256", lambda *_: StopRequest()._on_signal()
    )
    with pytest.raises(Stopped):
        checkpoints.load_newest()


def test_checkpoint_deleted_while_loading_is_replaced_by_newer_one(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    first, load = checkpoints.save(1, state(), {}), checkpoints.load

    def late(path):
        if path == first:
            checkpoints.save(2, state(2), {})
        return load(path)

    monkeypatch.setattr(checkpoints, "load", late)
    assert checkpoints.require_newest()[1]["step"] == 2


def test_failed_write_keeps_older_checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1), {})
    (tmp_path / "step-000000002.npz.partial").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*step-000000002\.npz"):
        checkpoints.save(2, state(2), {})
    assert_same(checkpoints.load_newest()[0], state(1))


@pytest.fixture(scope="module")
def network():
    config = ModelConfig(backbone="tiny_resnetv2", weights="none", image_size=32, num_segments=2)
    model = build_model(config, 5)
    return model, sgd(0.1, 0.9, model.trainable_variables)


def test_network_and_optimizer_are_restored(network, tmp_path):
    model, optimizer = network
    variables = named_variables(model, optimizer)
    before = {name: np.asarray(variable.numpy()) for name, variable in variables.items()}
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, before, {})
    for variable in variables.values():
        variable.assign(np.ones(variable.shape))
    restore(variables, checkpoints.load(path)[0], path)
    assert_same({name: np.asarray(v.numpy()) for name, v in variables.items()}, before)


def test_names_are_equal_on_both_stacks(network):
    """Pins the names: a checkpoint of one stack must load in the other."""
    model, optimizer = network
    names = [name for name, _ in named_weights(model)]
    assert len(names) == len(set(names)) == len(model.get_weights())
    for name in (
        "trunk/conv1_conv/kernel",
        "tail/post_bn/moving_variance",
        "non_local_tail/conv5_block3_1_conv/kernel",
        "relational_lstm/kernel",
        "relational_lstm/recurrent_bias",
        "logits/bias",
    ):
        assert name in names
    slots = [name for name in named_variables(model, optimizer) if name.startswith("optimizer/")]
    assert len(slots) >= len(model.trainable_variables) + 1


def test_checkpoint_of_another_model_is_refused_before_assigning(network, tmp_path):
    model, _ = network
    variables = named_variables(model)
    found = {name: np.zeros(variable.shape) for name, variable in variables.items()}
    last = list(found)[-1]
    before = [np.asarray(variable.numpy()) for variable in variables.values()]
    for wrong in (np.zeros((9, 9)), None):
        damaged = {**found, last: wrong} if wrong is not None else dict(list(found.items())[:-1])
        with pytest.raises(DataError, match="is from another model"):
            restore(variables, damaged, tmp_path / "x.npz")
    for a, variable in zip(before, variables.values()):
        np.testing.assert_array_equal(a, variable.numpy())


def test_partial_files_are_deleted_and_damaged_ones_renamed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    for step in (1, 9):
        Checkpoints(tmp_path).save(step, state(step), {})
    checkpoints.all()[1].write_bytes(b"")
    (tmp_path / "step-000000004.npz.partial").write_bytes(b"half")
    checkpoints.clear()
    _, _, path = checkpoints.load_newest()
    checkpoints.set_aside_after(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-000000001.npz",
        "step-000000009.damaged",
    ]
    # Otherwise the damaged one would be the newest, and this one deleted.
    newer = checkpoints.save(5, state(5), {})
    assert checkpoints.all() == [newer]
    assert_same(checkpoints.load_newest()[0], state(5))
