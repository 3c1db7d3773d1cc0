"""Damage anywhere in a directory of shards is repaired; a killed repair can be repeated."""

from __future__ import annotations

import random
import shutil

import pytest
from build_processes import Build
from builds import arguments, files, run

from tfrecords_tools import verify


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """Shards of an undisturbed build."""
    directory = tmp_path_factory.mktemp("whole") / "shards"
    assert Build(arguments(videos, directory, "--shards=3")).status() == 0
    return directory


def damage(path, draw):
    """Flips a byte of a file, cuts it, lengthens it, or deletes it."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    kind = draw.choice(["flip", "flip", "cut", "longer", "delete"])
    if kind == "flip":
        content[place] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "longer":
        content += draw.randbytes(1 + draw.randrange(40))
    path.unlink()
    if kind != "delete":
        path.write_bytes(content)


def damageable(directory):
    return sorted(path for path in directory.iterdir() if path.name != "manifest.json")


def test_damage_anywhere_is_repaired(videos, whole, tmp_path, times, survived, capfd):
    draw = random.Random("repair")
    expected, caused = files(whole), 0
    for number in range(times(20, 2)):
        directory = tmp_path / str(number)
        shutil.copytree(whole, directory)
        for path in draw.sample(damageable(directory), draw.randint(1, 4)):
            damage(path, draw)
            caused += 1
        given = (str(directory), "--repair", f"--videos={videos}", "--workers=1")
        status, out, errors = run(capfd, *given, program=verify)
        assert (status, errors) == (0, [])
        assert "repaired: " in out
        assert files(directory) == expected
        assert not (directory / ".repair").exists()
    survived(4, caused)


def test_killed_repair_is_repeated(videos, whole, tmp_path, times, survived):
    draw = random.Random("kill")
    expected, kills, held = files(whole), 0, []

    def repair(directory, point=None):
        given = [f"--data={directory}", "--repair", f"--videos={videos}", "--workers=2"]
        return Build(given, point, program="verify")

    def spoiled(directory):
        """Makes a copy with damaged .tfrecord files."""
        shutil.copytree(whole, directory)
        for path in damageable(directory):
            if path.suffix == ".tfrecord":
                damage(path, draw)
        return files(directory)

    spoiled(tmp_path / "whole")
    left_alone = repair(tmp_path / "whole")
    assert left_alone.status() == 0
    count = times(20, 2)
    for number in range(count):
        directory = tmp_path / str(number)
        before = spoiled(directory)
        # One point in each of `count` equal parts of the repair.
        point = 1 + int((number + draw.random()) * left_alone.touches / count)
        killed = repair(directory, point)
        held.append(killed.held())
        if held[-1] is None:
            assert killed.status() == 0
        else:
            killed.kill(alone=draw.random() < 0.5)
            kills += 1
        # Each file is either unchanged or repaired.
        for name, content in files(directory).items():
            assert content in (before.get(name), expected[name]), name
        assert repair(directory).status() == 0
        assert files(directory) == expected
        assert not (directory / ".repair").exists()
    assert kills >= count - 1
    survived(1, kills)
