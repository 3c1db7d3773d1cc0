"""Row 4: bytes of a run that are cut off or flipped, in its checkpoints and in its other files."""

import random
import re
import shutil

import numpy as np
import pytest
from small_shards import flip_byte
from trainings import SHORT, assert_same_run, contents, error_of, evaluate_here, train_here

from rlstm_tf.runs.checkpoints import Checkpoints


@pytest.fixture
def run_dir(short, tmp_path):
    return shutil.copytree(short, tmp_path / "run")


def assert_same(a, b):
    assert a[1] == b[1]
    assert set(a[0]) == set(b[0])
    for name in a[0]:
        np.testing.assert_array_equal(a[0][name], b[0][name])


def places(draws, size, count):
    """Half of them where zipfile and NumPy keep what they need to read the arrays."""
    return [draws.randrange(size * 9 // 10 * (i % 2), size) for i in range(count)]


def test_every_flip_and_cut_of_the_newest_checkpoint(run_dir, capsys, times, survived):
    checkpoints = Checkpoints(run_dir / "checkpoints")
    before, newest = checkpoints.all()[-2:]
    expected = {path: checkpoints.load(path) for path in (before, newest)}
    whole, draws = newest.read_bytes(), random.Random(4)
    flips, cuts = (places(draws, len(whole), count) for count in (times(200, 20), times(50, 5)))
    refused = 0
    for number, place in enumerate([*flips, *cuts]):
        newest.write_bytes(whole if number < len(flips) else whole[:place])
        if number < len(flips):
            flip_byte(newest, place)
        *found, path = checkpoints.load_newest()
        # Dates and attributes in the container carry nothing: with others it loads, but the same.
        assert_same(found, expected[path])
        warned = f"checkpoint {newest} is damaged" in capsys.readouterr().out
        assert warned == (path == before)
        assert warned or number < len(flips)
        refused += warned
    assert refused > 0.8 * (len(flips) + len(cuts))
    survived(4, len(flips) + len(cuts))


def ruin(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_a_run_goes_on_from_the_checkpoint_before(shards, short, run_dir, capsys, survived):
    newest = Checkpoints(run_dir / "checkpoints").all()[-1]
    flip_byte(newest, newest.stat().st_size // 2)
    assert train_here(shards, run_dir, *SHORT) == 0
    assert f"checkpoint {newest} is damaged" in capsys.readouterr().out
    assert_same_run(run_dir, short)
    assert newest.with_suffix(".damaged").exists()
    survived(4, 1)


def test_a_run_goes_on_from_the_best_where_there_is_nothing_else(
    shards, short, run_dir, capsys, thorough, survived
):
    """Such is one that is killed before its first checkpoint has its number."""
    for path in Checkpoints(run_dir / "checkpoints").all():
        ruin(path)
    assert train_here(shards, run_dir, *SHORT) == 0
    assert re.search(r"resumed from .*best\.npz", capsys.readouterr().out)
    assert_same_run(run_dir, short)
    survived(4, 1)


def test_all_checkpoints_damaged(shards, run_dir, capsys, survived):
    for path in (run_dir / "checkpoints").iterdir():
        ruin(path)
    before = contents(run_dir / "checkpoints")
    assert train_here(shards, run_dir, *SHORT) == 1
    assert f"every checkpoint in {run_dir / 'checkpoints'} is damaged" in error_of(
        capsys.readouterr().err
    )
    assert contents(run_dir / "checkpoints") == before
    assert evaluate_here(run_dir) == 1
    assert "is damaged" in error_of(capsys.readouterr().err)
    survived(4, 1)


def test_the_best_damaged(run_dir, capsys, survived):
    best = Checkpoints(run_dir / "checkpoints").best
    flip_byte(best, best.stat().st_size // 2)
    assert evaluate_here(run_dir, "--checkpoint=best") == 1
    assert f"checkpoint {best} is damaged" in error_of(capsys.readouterr().err)
    survived(4, 1)


def damages(draws, text, count):
    """A file that is not there, empty, cut and flipped."""
    yield None
    for _ in range(count):
        place = draws.randrange(len(text))
        yield text[:place] + bytes([text[place] ^ (1 << draws.randrange(8))]) + text[place + 1 :]
        yield text[:place]


def test_history_is_written_anew(shards, short, run_dir, thorough, survived):
    (run_dir / "history.csv").write_bytes(b"\xff\n,,\0")
    Checkpoints(run_dir / "checkpoints").all()[-1].unlink()
    assert train_here(shards, run_dir, *SHORT) == 0
    assert_same_run(run_dir, short)
    survived(4, 1)


@pytest.mark.parametrize("name", ["classes.json", "flags.cfg", "records.sha256"])
def test_the_other_files_of_a_run(shards, short, run_dir, capsys, times, survived, name):
    """One line, and nothing changed; or no harm, where what was changed may change."""
    path = run_dir / name
    text, caused = path.read_bytes(), 0
    for damage in damages(random.Random(name), text, times(3, 0)):
        path.unlink(missing_ok=True)
        if damage is not None:
            path.write_bytes(damage)
        if train_here(shards, run_dir, *SHORT):
            error = error_of(capsys.readouterr().err)
            assert re.search(f"{name} is missing or damaged|class list|was started with", error)
            assert (path.read_bytes() if path.exists() else None) == damage
        else:
            assert_same_run(run_dir, short)
        if evaluate_here(run_dir):
            error_of(capsys.readouterr().err)
        path.write_bytes(text)
        caused += 1
    survived(4, caused)
