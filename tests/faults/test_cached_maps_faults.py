"""Rows 1, 3, 4, 7, 8 and 9: a cache of maps that is killed, full, changed, or another one."""

import random
import re
import shutil
import signal

import keras
import numpy as np
import pytest
from small_disks import mounted
from small_shards import flip_byte, texture_jpeg, write_shards
from trainings import contents, error_of, start, train_here

from rlstm_tf.cached_maps import builder, plan
from rlstm_tf.cached_maps.batches import training_rows
from rlstm_tf.cached_maps.plan import CacheConfig
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.storage import atomic

LENGTHS = [5, 9, 4, 12, 7, 6, 10, 8]
MAP_BYTES = 4 * 4 * 64 * 2
FROZEN = ("--freeze=trunk", "--val_subset=none", "--epochs=1")
AGAIN = "delete the directory, and the same command makes the cache again"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cached") / "shards"
    write_shards(directory, LENGTHS, image=texture_jpeg)
    return directory


@pytest.fixture(scope="module")
def open_cache(data):
    """open_cache(directory): what a training does; makes the maps, and reads those of 3 epochs."""
    keras.utils.set_random_seed(1)
    options = {"image_size": 32, "num_segments": 3}
    config = ModelConfig(model="tsn", backbone="tiny_resnetv2", weights="none", **options)
    model, shards = build_model(config, 3), Shards.open(str(data), "train")
    compute = builder.trunk_function(model)

    def open_or_make(directory):
        cache = CacheConfig(str(directory), ("center", "corners"))
        maps = builder.open_cache(model, shards, InputConfig(4, **options), cache, str(data))
        training_rows(maps, 0, 3 * len(LENGTHS))

    with pytest.MonkeyPatch.context() as patched:
        # Several files of maps, for faults between them, and a trunk that is traced once.
        patched.setattr(plan, "_FILE_BYTES", 200_000)
        patched.setattr(builder, "trunk_function", lambda model: compute)
        yield open_or_make


@pytest.fixture(scope="module")
def whole(open_cache, tmp_path_factory):
    """A cache that was never disturbed."""
    directory = tmp_path_factory.mktemp("undisturbed") / "maps"
    open_cache(directory)
    assert len(list(directory.glob("maps-*.npy"))) == 4
    return directory


def assert_same(directory, whole):
    """As if nothing had been, bit for bit."""
    found, expected = contents(directory), contents(whole)
    assert [path.name for path in found] == [path.name for path in expected]
    assert list(found.values()) == list(expected.values())


def refused(directory, open_cache):
    """The one line, which names the directory."""
    with pytest.raises(DataError, match=re.escape(str(directory))) as caught:
        open_cache(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_killed_between_any_two_files(open_cache, whole, tmp_path, monkeypatch, capsys, survived):
    """After some files, with the next one half written; the finished ones are not made again."""
    replace = atomic.os.replace
    for point in range(8):
        directory, left = tmp_path / str(point), iter(range(point))

        def killed(source, target, left=left):
            if str(target).endswith(".npy") and next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(atomic.os, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                open_cache(directory)
        # What a process that is killed does not clean up.
        (directory / "maps-00003.npy.partial").write_bytes(b"half")
        before = {path: path.stat().st_mtime_ns for path in directory.glob("checks-*.npy")}
        assert len(before) == point // 2
        capsys.readouterr()
        open_cache(directory)
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert (f"{len(before)} of 4 files" in capsys.readouterr().out) == bool(before)
        assert_same(directory, whole)
    survived(1, 8)


def test_killed_while_the_key_is_written(open_cache, whole, tmp_path, survived):
    left = tmp_path / "maps" / "cache.json.0123456789abcdef.partial"
    left.parent.mkdir()
    left.write_bytes(b"{")
    open_cache(left.parent)
    left.unlink()
    assert_same(left.parent, whole)
    survived(1, 1)


def test_killed_by_the_system(data, tmp_path, survived):
    """SIGKILL in a process of its own; its lock goes with it."""
    line = (*FROZEN, f"--cache_maps={tmp_path / 'maps'}")
    process = start(data, tmp_path / "run", *line)
    while process.poll() is None and not (tmp_path / "maps" / "cache.json").exists():
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert train_here(data, tmp_path / "run", *line) == 0
    survived(1, 1)


def test_too_large_for_the_disk(open_cache, tmp_path, survived):
    """Said before anything is computed; the directory takes a smaller cache then."""
    root = tmp_path / "disk"
    with mounted(root) as remount:
        remount("size=300k")
        error = refused(root / "maps", open_cache)
        assert error.startswith("maps of the trunk: 8 videos, 61 snippets, 5 views, 0.6 MB, ")
        assert "0.3 MB free: fewer --cache_views or --cache_frames, or another" in error
        assert [path.name for path in (root / "maps").iterdir()] == [".cache.lock"]
    survived(7, 1)


def test_the_disk_runs_full(open_cache, whole, tmp_path, monkeypatch, capsys, survived):
    """Another program takes the room meanwhile; with room, the same command continues."""
    root = tmp_path / "disk"
    with mounted(root) as remount:
        remount("size=500k")
        with monkeypatch.context() as patched:
            patched.setattr(builder, "_check_room", lambda *_: None)
            error = refused(root / "maps", open_cache)
        assert error.startswith(f"cannot write {root}/maps/maps-0000")
        assert "No space left on device" in error
        assert not list((root / "maps").glob("*.partial"))
        remount("size=2m")
        open_cache(root / "maps")
        assert "of 4 files of them are there" in capsys.readouterr().out
        assert_same(root / "maps", whole)
    survived(7, 1)


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "maps")
    return tmp_path / "maps"


def test_a_changed_byte(open_cache, copy, survived):
    """Of any file: refused by name, when it is opened or when the map is read."""
    draws = random.Random(1)
    paths = sorted(path for path in copy.iterdir() if path.name != ".cache.lock")
    for path in paths:
        before = path.read_bytes()
        # Of each map, since not all of them are read.
        maps = range(128, len(before), MAP_BYTES) if path.name.startswith("maps-") else [0]
        for first in maps:
            flip_byte(path, first + draws.randrange(min(MAP_BYTES, len(before) - first)))
        error = refused(copy, open_cache)
        if path.name.startswith("maps-"):
            assert re.search(rf"{path.name}, map \d+, of video 'v\d': checksum ", error)
            assert error.endswith(AGAIN)
        path.write_bytes(before)
    assert len(paths) == 10
    open_cache(copy)
    survived(4, len(paths))


def test_a_file_cut_short_or_gone(open_cache, copy, survived):
    for name in ("maps-00001.npy", "checks-00000.npy", "cache.json"):
        path = copy / name
        before = path.read_bytes()
        for content in (before[: len(before) // 2], None):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            error = refused(copy, open_cache)
            assert error.endswith(AGAIN) or not name.startswith("maps-")
            path.write_bytes(before)
    survived(3, 6)


def test_a_damaged_file_of_an_unfinished_cache_is_made_again(open_cache, copy, whole, survived):
    (copy / "manifest.json").unlink()
    flip_byte(copy / "maps-00001.npy", 500)
    flip_byte(copy / "checks-00000.npy", 130)
    open_cache(copy)
    assert_same(copy, whole)
    survived(4, 2)


def test_another_directory(open_cache, data, tmp_path, capsys, survived):
    """Someone's files, a file, the run's own directory, a place in a store."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    assert "holds thesis.tex but no cache.json" in refused(mine, open_cache)
    assert refused(mine / "thesis.tex", open_cache).startswith("cannot write ")
    assert (mine / "thesis.tex").read_text() == "mine"
    run_dir = tmp_path / "run"
    assert train_here(data, run_dir, *FROZEN, f"--cache_maps={run_dir}") == 1
    assert "but no cache.json" in error_of(capsys.readouterr().err)
    line = (*FROZEN, "--cache_maps=s3://bucket/maps")
    assert train_here(data, tmp_path / "run", *line) == 2
    assert "must be local" in error_of(capsys.readouterr().err)
    survived(9, 4)


def test_maps_that_do_not_fit_into_float16(open_cache, tmp_path, monkeypatch, survived):
    too_large = np.full((4, 4, 64), 1e6, np.float32)
    monkeypatch.setattr(
        builder, "trunk_function", lambda model: lambda frames: np.stack([too_large] * len(frames))
    )
    with pytest.raises(DataError, match="do not fit into float16"):
        open_cache(tmp_path / "maps")
    assert not list((tmp_path / "maps").glob("maps*"))
    survived(8, 1)
