"""The record of the video files: what it holds, and that damage to it is found and repaired."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from builds import arguments, files, run

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.schema import SOURCES
from rlstm_tf.errors import DataError
from tfrecords_tools import verify
from tfrecords_tools.builder import decoded_video, output_directory
from tfrecords_tools.builder.sources import load_sources


def digest(path):
    content = path.read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()


@pytest.fixture
def shards(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "shards"))


def test_each_file_is_recorded(own, built):
    sources = load_sources(str(built), Manifest.load(str(built)))
    assert {source.id: source.digest for source in sources} == {
        str(path.relative_to(own)): digest(path) for path in own.rglob("*.mp4")
    }
    assert [source.subset for source in sources] == ["train"] * 5 + ["test"] * 2
    assert all(source.group == source.id for source in sources)


def test_damaged_videos_are_recorded_and_unread_ones_are_not(own, tmp_path, capfd):
    videos = Path(shutil.copytree(own, tmp_path / "videos"))
    (videos / "walk/0.mp4").write_bytes(b"text")
    more = "--max_bad_videos=2", "--leave_out=walk/2.mp4"
    assert run(capfd, *arguments(videos, tmp_path / "new", *more))[0] == 0
    sources = load_sources(str(tmp_path / "new"), Manifest.load(str(tmp_path / "new")))
    found = {source.id: source.digest for source in sources}
    assert found["walk/0.mp4"] == digest(videos / "walk/0.mp4")
    assert found["walk/2.mp4"] is None
    (tmp_path / "new" / SOURCES).unlink()
    given = str(tmp_path / "new"), "--repair", f"--videos={videos}", "--workers=1"
    assert run(capfd, *given, program=verify)[0] == 0
    assert load_sources(str(tmp_path / "new"), Manifest.load(str(tmp_path / "new"))) == sources


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_damage_is_found_and_repaired(own, built, shards, capfd, how):
    path = shards / SOURCES
    if how == "changed":
        path.write_bytes(path.read_bytes().replace(b"walk", b"talk", 1))
    else:
        path.unlink()
    status, _, errors = run(capfd, str(shards), program=verify)
    assert status == 1
    (line,) = errors
    assert line.startswith(f"error: {path}")
    repaired = str(shards), "--repair", f"--videos={own}", "--workers=1"
    status, out, errors = run(capfd, *repaired, program=verify)
    assert (status, errors) == (0, [])
    assert f"repaired: {SOURCES}" in out
    assert files(shards) == files(built)


def test_other_videos_do_not_repair_it(own, shards, tmp_path, capfd):
    videos = Path(shutil.copytree(own, tmp_path / "videos"))
    content = bytearray((videos / "walk/0.mp4").read_bytes())
    content[-1] ^= 1
    (videos / "walk/0.mp4").write_bytes(content)
    (shards / SOURCES).unlink()
    given = str(shards), "--repair", f"--videos={videos}", "--workers=1"
    status, _, errors = run(capfd, *given, program=verify)
    assert status == 1
    assert errors == [
        f"error: {SOURCES} is unchanged: the content of these videos gives another one"
    ]


def test_shards_without_the_record_have_no_sources(built, shards):
    """As version 0.1.0 wrote them."""
    values = json.loads((shards / "manifest.json").read_text())
    for key in ("sources_sha256", "sha256"):
        del values[key]
    (shards / "manifest.json").write_text(json.dumps(values))
    (shards / SOURCES).unlink()
    assert load_sources(str(shards), Manifest.load(str(shards))) == ()


def test_build_that_version_0_1_0_began_is_finished(own, built, tmp_path, capfd, monkeypatch):
    """Its work has no digests: those of what was decoded already are unknown."""
    given = arguments(own, tmp_path / "new")

    def stop(*_):
        raise DataError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("tfrecords_tools.builder.local_build.save_manifest", stop)
        assert run(capfd, *given)[0] == 1
    work = tmp_path / "new" / output_directory.BUILD
    for path in work.glob("t*.json"):
        values = json.loads(path.read_text())
        del values["sources"], values["sha256"]
        decoded_video._write_json(str(path), values)
    assert run(capfd, *given)[0] == 0
    found = files(tmp_path / "new")
    expected = files(built)
    for name in ("manifest.json", SOURCES):
        del found[name], expected[name]
    assert found == expected
    sources = load_sources(str(tmp_path / "new"), Manifest.load(str(tmp_path / "new")))
    assert [source.digest for source in sources] == [None] * 7
