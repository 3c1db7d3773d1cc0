"""Remote videos and split files: compares lists and shards with those of local ones."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from builds import arguments, files, run
from jobs import upload
from repository import ROOT

from rlstm_tf.errors import DataError
from rlstm_tf.storage import files as data_files
from tfrecords_tools.builder import download
from tfrecords_tools.builder.decoded_video import DecodeTask
from tfrecords_tools.datasets.charades import read_charades
from tfrecords_tools.datasets.dataset import drop_missing
from tfrecords_tools.datasets.folder import read_folder
from tfrecords_tools.datasets.hmdb51 import read_hmdb51
from tfrecords_tools.datasets.ucf101 import read_ucf101


def same_but_moved(remote, local, there, here):
    """Returns whether two data sets differ only in the directory of their videos."""
    moved = tuple(replace(v, path=v.path.replace(str(here), there)) for v in local.videos)
    return remote == replace(local, videos=moved)


def test_folder(own, tmp_path):
    there = upload(own, "ram://folder/videos")
    assert same_but_moved(read_folder(there), read_folder(str(own)), there, own)
    with pytest.raises(DataError, match=r"no such directory or CSV file: ram://folder/none"):
        read_folder("ram://folder/none")


def test_other_files_in_a_folder_are_ignored(tmp_path, make_video):
    make_video(tmp_path / "walk/1.mp4")
    (tmp_path / "walk/2.mp4").mkdir()
    (tmp_path / "walk/2.mp4/x").write_text("")
    (tmp_path / "walk/notes.txt").write_text("")
    (tmp_path / "readme").write_text("")
    there = upload(tmp_path, "ram://other/videos")
    passed_over = read_folder(there).passed_over
    assert passed_over == read_folder(str(tmp_path)).passed_over
    assert sorted(path for paths in passed_over.values() for path in paths) == [
        *("readme", "walk/2.mp4", "walk/notes.txt")
    ]


def test_csv(own, tmp_path):
    there = upload(own, "ram://csv/videos")
    rows = ["path,label,subset", "walk/0.mp4,walk,train", f"{there}/walk/2.mp4,walk,test"]
    (tmp_path / "list.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    data_files.copy(str(tmp_path / "list.csv"), f"{there}/list.csv")
    videos = read_folder(f"{there}/list.csv").videos
    assert [video.path for video in videos] == [f"{there}/walk/0.mp4", f"{there}/walk/2.mp4"]
    assert drop_missing(read_folder(f"{there}/list.csv"), False).missing == ()
    (tmp_path / "list.csv").write_text("path,label\nwalk/0.mp4\n")
    data_files.copy(str(tmp_path / "list.csv"), f"{there}/short.csv")
    with pytest.raises(DataError, match=r"ram://csv/videos/short.csv:2 has 1 cells"):
        read_folder(f"{there}/short.csv")


def test_split_files(real, tmp_path):
    (tmp_path / "charades").mkdir()
    for path in (real / "splits/charades").glob("*.*"):
        name = path.name.replace(".UNVERIFIED_COPY", "").replace("_200", "")
        (tmp_path / "charades" / name).symlink_to(path)
    for name in ("ucfTrainTestlist", "testTrainMulti_7030_splits"):
        (tmp_path / name).symlink_to(real / "splits" / name)
    for name in ("ucfTrainTestlist", "testTrainMulti_7030_splits", "charades"):
        upload(tmp_path / name, f"ram://splits/{name}")
    upload(real / "hmdb51/videos", "ram://splits/videos")
    there, here = "ram://splits/videos", str(real / "hmdb51/videos")
    for read, name, split in (
        (read_ucf101, "ucfTrainTestlist", (1,)),
        (read_hmdb51, "testTrainMulti_7030_splits", (2,)),
        (read_charades, "charades", ()),
    ):
        remote = read(there, f"ram://splits/{name}", *split)
        local = read(here, str(tmp_path / name), *split)
        assert same_but_moved(remote, local, there, here)
        if read is read_hmdb51:
            remote, local = drop_missing(remote, True), drop_missing(local, True)
            assert len(remote.videos) == 5
            assert same_but_moved(remote, local, there, here)


def test_local_files_do_not_import_tensorflow():
    script = (
        "import sys\n"
        "from rlstm_tf.storage.files import is_directory, list_directory, open_text, file_sizes\n"
        "assert is_directory('.') and list_directory('.') and file_sizes(['setup.cfg']) != [None]\n"
        "open_text('setup.cfg').close()\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_unsupported_scheme_is_refused(tmp_path, capfd):
    status, _, errors = run(capfd, *arguments("nostore://videos", tmp_path / "new"))
    assert status == 1
    assert len(errors) == 1
    assert errors[0].startswith("error: no installed package opens nostore:// (")
    assert "rlstm-tf[stores]" in errors[0]


def test_an_address_in_a_list_gives_one_line(tmp_path):
    """In a process of its own: TensorFlow prints when it is loaded, and loads for the store."""
    (tmp_path / "list.csv").write_text("path,label\nhttp://127.0.0.1:9/a.mp4,walk\n")
    result = subprocess.run(
        [sys.executable, "-m", "tfrecords_tools.build", "--dataset=folder"]
        + [f"--videos={tmp_path}/list.csv", f"--output={tmp_path}/new"],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "http://127.0.0.1:9/a.mp4" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("scheme", ["ram://build/videos", "file"])
def test_build_of_remote_videos_gives_the_same_shards(own, built, tmp_path, capfd, scheme):
    there = f"file://{own}" if scheme == "file" else upload(own, scheme)
    status, _, errors = run(capfd, *arguments(there, tmp_path / "new", "--workers=2"))
    assert (status, errors) == (0, [])
    assert files(tmp_path / "new") == files(built)
    assert not (tmp_path / "new/.build").exists()


def test_downloads_are_deleted_one_by_one(own, tmp_path):
    there = upload(own, "ram://copies/videos")
    paths = [f"{there}/walk/{number}.mp4" for number in (0, 2, 4, 6)]
    tasks = [DecodeTask(str(tmp_path / str(n)), path, 32, 95) for n, path in enumerate(paths)]
    seen = []
    for number, task in enumerate(download.download_ahead(tasks, 1)):
        assert len(list(tmp_path.iterdir())) <= 3
        assert task.video == f"{tmp_path}/{number}.video.mp4"
        seen.append(Path(task.video).read_bytes())
        download.delete_download(task)
    assert seen == [(own / f"walk/{number}.mp4").read_bytes() for number in (0, 2, 4, 6)]
    assert not list(tmp_path.iterdir())


def test_failed_download_is_not_a_damaged_video(own, tmp_path, capfd, monkeypatch):
    there = upload(own, "ram://lost/videos")

    def lost(source, target):
        raise OSError(5, "the line is down", source)

    monkeypatch.setattr(download, "copy", lost)
    status, _, errors = run(capfd, *arguments(there, tmp_path / "new"))
    assert status == 1
    assert len(errors) == 1
    assert "cannot copy ram://lost/videos/" in errors[0]
    assert errors[0].endswith("the line is down")


def test_partial_download_is_deleted(tmp_path, monkeypatch):
    def half(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "copy", half)
    task = DecodeTask(str(tmp_path / "0000000"), "ram://half/0.mp4", 32, 95)
    with pytest.raises(DataError, match=r"cannot copy .*: No space left on device"):
        list(download.download_ahead([task], 1))
    assert list(tmp_path.iterdir()) == []


def test_local_videos_are_never_deleted(own, tmp_path):
    task = DecodeTask(str(tmp_path / "0"), str(own / "walk/0.mp4"), 32, 95)
    assert list(download.download_ahead([task], 2)) == [task]
    download.delete_download(task)
    assert (own / "walk/0.mp4").exists()
