"""build --add: what is decoded, what stays, and that nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builds import arguments, files, run

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.schema import SOURCES
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from tfrecords_tools import verify
from tfrecords_tools.builder import local_build, shard_builder
from tfrecords_tools.builder.sources import load_sources


@pytest.fixture
def videos(own, tmp_path):
    return Path(shutil.copytree(own, tmp_path / "videos"))


@pytest.fixture
def shards(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "shards"))


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded, not copied."""
    names = []

    def recording(function, tasks, workers):
        def record():
            for task in tasks:
                if task.stored is None:
                    names.append("/".join(Path(task.video).parts[-2:]))
                yield task

        return run_tasks(function, record(), workers)

    run_tasks = shard_builder.run_tasks
    monkeypatch.setattr(shard_builder, "run_tasks", recording)
    return names


def add(capfd, videos, shards, *more):
    return run(capfd, *arguments(videos, shards, "--add", *more))


def content(directory):
    """Subset, label and images of each video, by its id."""
    manifest = Manifest.load(str(directory))
    found = {}
    for subset in manifest.subsets:
        opened = Shards.open(str(directory), subset)
        labels = {
            int(opened.samples["video"][n]): int(opened.samples["label"][n])
            for n in range(len(opened.samples["video"]))
        }
        for video, name in enumerate(opened.ids):
            images = list(opened.read_frames(video, range(int(opened.num_frames[video]))))
            found[name] = subset, manifest.classes[labels[video]], images
    return found


def require_intact(capfd, directory):
    assert run(capfd, str(directory), "--decode", program=verify)[0] == 0
    listed = {shard.name for shard in Manifest.load(str(directory)).shards}
    assert {p.name.split(".")[0] for p in directory.glob("*-of-*")} == listed
    assert not (directory / ".build").exists()


def test_new_videos(make_video, videos, shards, capfd, decoded):
    before, was = files(shards), content(shards)
    for number in range(10, 16):
        make_video(videos / f"walk/{number}.mp4", frames=3, seed=number)
    status, out, errors = add(capfd, videos, shards)
    assert (status, errors) == (0, [])
    assert "videos: 6 to decode, 0 to copy; 3 shards stay as they are" in out
    assert sorted(decoded) == [f"walk/{number}.mp4" for number in range(10, 16)]
    now = content(shards)
    assert {name: now[name] for name in was} == was
    assert set(now) - set(was) == {f"walk/{number}.mp4" for number in range(10, 16)}
    after = files(shards)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"manifest.json", SOURCES}
    require_intact(capfd, shards)
    # Nothing is new any more.
    status, out, _ = add(capfd, videos, shards)
    assert status == 0
    assert "has these videos already" in out
    assert files(shards) == after
    require_intact(capfd, shards)
    # More shards beside those that were added before.
    make_video(videos / "walk/20.mp4", frames=3)
    assert add(capfd, videos, shards)[0] == 0
    assert decoded[6:] == ["walk/20.mp4"]
    assert len(content(shards)) == 14
    require_intact(capfd, shards)


def test_changed_video(make_video, videos, shards, capfd, decoded):
    was = content(shards)
    make_video(videos / "walk/4.mp4", frames=2, seed=99)
    assert add(capfd, videos, shards)[0] == 0
    assert decoded == ["walk/4.mp4"]
    now = content(shards)
    assert len(now.pop("walk/4.mp4")[2]) == 2
    del was["walk/4.mp4"]
    assert now == was
    require_intact(capfd, shards)


def test_new_class_and_renamed_files_need_no_decoding(videos, shards, capfd, decoded):
    """All numbers of classes change; the images are copied."""
    was = content(shards)
    (videos / "clap").mkdir()
    (videos / "walk/2.mp4").rename(videos / "clap/a.mp4")
    shutil.copy(videos / "walk/4.mp4", videos / "walk/again.mp4")
    status, _, errors = add(capfd, videos, shards)
    assert status == 1
    assert errors == [
        f"error: videos in {shards} are no longer listed or no longer there: 1 (walk/2.mp4); "
        "--allow_missing removes them from the shards"
    ]
    assert content(shards) == was
    status, out, errors = add(capfd, videos, shards, "--allow_missing")
    assert (status, errors, decoded) == (0, [], [])
    assert "0 to decode, 8 to copy, 1 (walk/2.mp4) to remove; 0 shards stay" in out
    subset, _, images = was.pop("walk/2.mp4")
    was["clap/a.mp4"] = subset, "clap", images
    was["walk/again.mp4"] = was["walk/4.mp4"]
    assert content(shards) == was
    require_intact(capfd, shards)


def test_removed_video(videos, shards, capfd, decoded):
    was = content(shards)
    (videos / "walk/0.mp4").unlink()
    assert add(capfd, videos, shards, "--allow_missing")[0] == 0
    del was["walk/0.mp4"]
    assert content(shards) == was
    assert decoded == []
    require_intact(capfd, shards)


def test_split_of_old_videos_stays(make_video, videos, shards, capfd):
    """A build of all videos would choose others."""
    was = {name: subset for name, (subset, _, _) in content(shards).items()}
    for number in range(10, 30):
        make_video(videos / f"walk/{number}.mp4", frames=2, seed=number)
    assert add(capfd, videos, shards)[0] == 0
    now = {name: subset for name, (subset, _, _) in content(shards).items()}
    assert {name: now[name] for name in was} == was
    assert {"train", "test"} == {subset for name, subset in now.items() if name not in was}
    # A plain build does not take them for its own.
    status, _, errors = run(capfd, *arguments(videos, shards))
    assert status == 1
    assert errors[0].endswith("give another --output, or delete it, or add videos to it with --add")


def test_subsets_that_a_list_states_count(videos, shards, tmp_path, capfd, decoded):
    rows = [f"walk/{n}.mp4,walk,{'test' if n == 0 else 'train'}" for n in (0, 2, 4, 6)]
    (videos / "list.csv").write_text("\n".join(["path,label,subset", *rows]))
    given = arguments(videos / "list.csv", tmp_path / "listed")
    assert run(capfd, *given)[0] == 0
    assert len(decoded) == 4
    (videos / "list.csv").write_text(
        "\n".join(["path,label,subset", *rows]).replace("2.mp4,walk,train", "2.mp4,walk,test")
    )
    assert run(capfd, *given, "--add")[0] == 0
    assert len(decoded) == 4
    now = {name: subset for name, (subset, _, _) in content(tmp_path / "listed").items()}
    assert now == {
        **dict.fromkeys(("walk/0.mp4", "walk/2.mp4"), "test"),
        **dict.fromkeys(("walk/4.mp4", "walk/6.mp4"), "train"),
    }
    require_intact(capfd, tmp_path / "listed")


def test_damaged_videos_stay_damaged_until_they_change(
    make_video, own, videos, tmp_path, capfd, decoded
):
    (videos / "walk/0.mp4").write_bytes(b"text")
    given = arguments(videos, tmp_path / "new", "--max_bad_videos=1")
    assert run(capfd, *given)[0] == 0
    damaged = Manifest.load(str(tmp_path / "new")).damaged
    make_video(videos / "run <b>é/7.mp4", frames=3)
    decoded.clear()
    assert run(capfd, *given, "--add")[0] == 0
    assert decoded == ["run <b>é/7.mp4"]
    assert Manifest.load(str(tmp_path / "new")).damaged == damaged
    shutil.copy(own / "walk/0.mp4", videos / "walk")
    assert run(capfd, *given, "--add")[0] == 0
    assert decoded[1:] == ["walk/0.mp4"]
    assert Manifest.load(str(tmp_path / "new")).damaged == ()
    require_intact(capfd, tmp_path / "new")


@pytest.mark.parametrize("lost", ["work", "manifest"])
def test_an_interrupted_addition_loses_nothing(
    make_video, videos, shards, capfd, decoded, monkeypatch, lost
):
    """It ends before the shards are complete, or between `sources.jsonl` and the manifest."""
    make_video(videos / "walk/10.mp4", frames=3)
    make_video(videos / "walk/4.mp4", frames=2, seed=99)
    was = content(shards)

    def fail(*_):
        raise DataError("stopped")

    with monkeypatch.context() as patch:
        if lost == "work":
            patch.setattr(local_build, "save_manifest", fail)
        else:
            patch.setattr(Manifest, "save", fail)
        assert add(capfd, videos, shards)[2] == ["error: stopped"]
    assert content(shards) == was
    assert run(capfd, str(shards), "--decode", program=verify)[0] == 0
    # A plain build leaves the work alone.
    assert run(capfd, *arguments(videos, shards))[0] == 1
    assert sorted(decoded) == ["walk/10.mp4", "walk/4.mp4"]
    if lost == "work":
        # With other videos than before, it starts over.
        make_video(videos / "walk/11.mp4", frames=3)
    assert add(capfd, videos, shards)[0] == 0
    assert len(decoded) == (5 if lost == "work" else 2)
    assert len(content(shards)) == (9 if lost == "work" else 8)
    require_intact(capfd, shards)


def test_work_of_an_addition_that_is_given_up(make_video, videos, shards, capfd, monkeypatch):
    before = files(shards)
    make_video(videos / "walk/10.mp4", frames=3)

    def fail(*_):
        raise DataError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", fail)
        assert add(capfd, videos, shards)[0] == 1
    (videos / "walk/10.mp4").unlink()
    assert add(capfd, videos, shards)[0] == 0
    assert files(shards) == before
    require_intact(capfd, shards)


def test_repair(make_video, videos, shards, capfd):
    make_video(videos / "walk/10.mp4", frames=3)
    (videos / "walk/11.mp4").write_bytes(b"text")
    assert add(capfd, videos, shards, "--max_bad_videos=1")[0] == 0
    after = files(shards)
    for path in shards.glob("*.tfrecord"):
        path.write_bytes(b"")
    given = str(shards), "--repair", f"--videos={videos}", "--workers=1"
    assert run(capfd, *given, program=verify)[0] == 0
    assert files(shards) == after
    make_video(videos / "walk/12.mp4", frames=3)
    next(shards.glob("*.tfrecord")).write_bytes(b"")
    status, _, errors = run(capfd, *given, program=verify)
    assert status == 1
    assert "is not what" in errors[0]


def test_intervals(make_video, videos, tmp_path, capfd, decoded):
    """The times of frames are not in the shards: such videos are decoded, unless all stay."""
    rows = ["path,label,start,end"]
    rows += [f"walk/{n}.mp4,{label},0,0.1" for n in (0, 2, 4, 6) for label in ("walk", "sit")]
    (videos / "list.csv").write_text("\n".join(rows))
    given = arguments(videos / "list.csv", tmp_path / "new", "--test_share=0.25")
    assert run(capfd, *given)[0] == 0
    notes = Manifest.load(str(tmp_path / "new")).notes
    decoded.clear()
    make_video(videos / "walk/8.mp4", frames=4)
    (videos / "list.csv").write_text("\n".join([*rows, "walk/8.mp4,sit,9,10"]))
    assert run(capfd, *given, "--add")[0] == 0
    assert decoded == ["walk/8.mp4"]
    manifest = Manifest.load(str(tmp_path / "new"))
    labels = "labels_without_sample"
    assert (notes[labels], manifest.notes[labels], manifest.multi_label) == (0, 1, True)
    # Another interval of an old video: its shard is decoded.
    last = (videos / "list.csv").read_text().replace("walk/0.mp4,sit,0,0.1", "walk/0.mp4,sit,0,0.2")
    (videos / "list.csv").write_text(last)
    assert run(capfd, *given, "--add")[0] == 0
    assert "walk/0.mp4" in decoded
    assert len(decoded) < 6
    require_intact(capfd, tmp_path / "new")


def test_temporal_stream(make_video, videos, tmp_path, capfd, decoded):
    given = arguments(videos, tmp_path / "new", "--stream=temporal", "--flow=dis")
    assert run(capfd, *given)[0] == 0
    was = content(tmp_path / "new")
    make_video(videos / "jump/1.mp4", frames=3)
    decoded.clear()
    assert run(capfd, *given, "--add")[0] == 0
    assert decoded == ["jump/1.mp4"]
    now = content(tmp_path / "new")
    assert {name: now[name] for name in was} == was
    require_intact(capfd, tmp_path / "new")


def test_what_cannot_be_added_to_is_refused(videos, shards, tmp_path, capfd):
    before = files(shards)

    def assert_refused(message, *more, output=shards, status=1):
        found, _, errors = add(capfd, videos, output, *more)
        assert (found, len(errors)) == (status, 1)
        assert message in errors[0]
        assert files(shards) == before

    assert_refused("was built with jpeg_quality 95, not 90: give --add", "--jpeg_quality=90")
    assert_refused("was built with val_share 0.0, not 0.5", "--val_share=0.5")
    assert_refused("no shards in", output=tmp_path / "none")
    assert_refused("must be a local directory", output="ram://shards", status=2)
    assert not (tmp_path / "none").exists()
    values = json.loads((shards / "manifest.json").read_text())
    for key in ("sources_sha256", "sha256"):
        del values[key]
    (shards / "manifest.json").write_text(json.dumps(values))
    before = files(shards)
    assert_refused("was built by version 0.1.0")


def test_sources_have_the_actions(built):
    for source in load_sources(str(built), Manifest.load(str(built))):
        assert source.actions == ((source.id.split("/")[0], 0.0, None),)
