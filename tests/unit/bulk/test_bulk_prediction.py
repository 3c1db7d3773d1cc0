"""Jobs without Beam: what is in the output, and what is done again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bulk_jobs
import numpy as np
import pytest
from brightness import METADATA, Array, brightness
from bulk_jobs import PREDICTOR, StoppedError, link, predict, read
from jobs import remote_files, upload

from rlstm_tf.bulk import portion
from rlstm_tf.errors import DataError
from rlstm_tf.serving.predictor import Predictor
from rlstm_tf.storage.locks import lock_file


@pytest.fixture(scope="module")
def videos(make_video, tmp_path_factory):
    """20 videos, of 4 different contents: two portions, of 16 and 4."""
    folder = tmp_path_factory.mktemp("bulk")
    paths = []
    for seed in range(4):
        one = make_video(folder / f"{seed}.mp4", frames=3 + seed, seed=seed)
        paths += link(one, folder / "videos", 5, f"{seed}v")
    return paths


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_answers_are_those_of_single_predictions_in_order(videos, tmp_path, batch_size):
    assert predict(videos, tmp_path / "out", batch_size=batch_size) == (20, 0)
    found = read(tmp_path / "out", "results")
    assert [one["video"] for one in found] == videos
    for one in found:
        expected = PREDICTOR.predict(one["video"])
        np.testing.assert_allclose(one["logits"], expected.logits, rtol=1e-6)
        assert one["frames"] == expected.frames.tolist()
        assert [top["label"] for top in one["top"]] == [
            top.label for top in expected.top(METADATA.classes)
        ]
    assert len({tuple(one["logits"]) for one in found}) == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".bulk",
        "manifest.json",
        "results-00000-of-00002.jsonl",
        "results-00001-of-00002.jsonl",
    ]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["classes"] == ["dark", "bright"]
    assert (manifest["videos"], manifest["failed"], manifest["portions"]) == (20, 0, 2)
    assert os.listdir(tmp_path / "out/.bulk").count("started-00000") == 0


def test_videos_reach_the_network_in_batches(videos, tmp_path):
    sizes = []

    def noting(frames):
        sizes.append(len(frames))
        return brightness(frames)

    predict(videos, tmp_path / "out", Predictor(METADATA, noting), batch_size=7)
    assert sizes == [7, 7, 2, 4]


def test_broken_files_are_listed_apart(videos, tmp_path):
    broken = tmp_path / os.fsdecode(b"evil\n\xff.mp4")
    broken.write_bytes(b"no video")
    absent = str(tmp_path / "absent.mp4")
    given = [*videos[:3], str(broken), *videos[3:17], absent, *videos[17:]]
    assert predict(given, tmp_path / "out") == (22, 2)
    assert [one["video"] for one in read(tmp_path / "out", "results")] == videos
    first, second = read(tmp_path / "out", "failed")
    assert first["video"] == str(tmp_path / "evil\n\\xff.mp4")
    assert "cannot be opened" in first["error"]
    assert second == {"video": absent, "error": f"{absent}: No such file or directory"}
    assert json.loads((tmp_path / "out/manifest.json").read_text())["failed"] == 2
    assert predict(given, tmp_path / "out", portions=0) == (22, 2)


def test_scores_that_are_not_finite_fail_their_video_alone(videos, tmp_path):
    def broken(frames):
        outputs = brightness(frames)
        logits = outputs["logits"].numpy().copy()
        logits[0] = np.nan
        return {**outputs, "logits": Array(logits)}

    assert predict(videos, tmp_path / "out", Predictor(METADATA, broken)) == (20, 2)
    failed = [videos[0], videos[16]]
    assert read(tmp_path / "out", "failed") == [
        {"video": path, "error": f"{path}: the network's scores are not finite"} for path in failed
    ]
    assert [one["video"] for one in read(tmp_path / "out", "results")] == [
        path for path in videos if path not in failed
    ]


def test_a_network_that_fails_ends_the_job(videos, tmp_path):
    """The videos are not to blame."""
    import tensorflow as tf

    def broken(frames):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    with pytest.raises(DataError, match=r"0v000\.mp4: the network fails: OOM"):
        predict(videos, tmp_path / "out", Predictor(METADATA, broken))
    assert predict(videos, tmp_path / "out") == (20, 0)
    assert read(tmp_path / "out", "failed") == []


def test_a_stopped_job_is_resumed(videos, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    predict(videos, whole)
    with pytest.raises(StoppedError):
        predict(videos, out, portions=1)
    assert not (out / "manifest.json").exists()
    first = out / "results-00000-of-00002.jsonl"
    before = first.stat().st_mtime_ns
    left = out / "results-00001-of-00002.jsonl.0a.partial"
    left.write_text("half")
    assert predict(videos, out) == (20, 0)
    assert first.stat().st_mtime_ns == before
    assert not left.exists()
    for path in whole.glob("*.jsonl"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_complete_job_does_nothing(videos, tmp_path, capsys):
    predict(videos, tmp_path / "out")
    assert predict(videos, tmp_path / "out", portions=0) == (20, 0)
    assert capsys.readouterr().out == f"{tmp_path}/out is complete already\n"


def test_failed_videos_are_tried_again_where_the_results_are_deleted(videos, tmp_path):
    given = [*videos, str(tmp_path / "late.mp4")]
    out = tmp_path / "out"
    assert predict(given, out) == (21, 1)
    os.link(videos[0], given[-1])
    for name in ("manifest.json", "results-00001-of-00002.jsonl"):
        (out / name).unlink()
    assert predict(given, out) == (21, 0)
    assert [one["video"] for one in read(out, "results")] == given
    assert read(out, "failed") == []


def test_a_portion_without_an_end_is_missed(videos, tmp_path, monkeypatch):
    monkeypatch.setattr("rlstm_tf.bulk.job.Job.publish", lambda *given: None)
    message = "2 of 2 portions were not finished, the first .*00000-of-00002.jsonl: run the same"
    with pytest.raises(DataError, match=message):
        predict(videos, tmp_path / "out")


def test_another_job_in_the_directory_is_refused(videos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        predict(videos, out, portions=1)
    for change, message in (
        ({"videos": videos[1:]}, "for another list of videos, 20, not 19: give another --output"),
        ({"videos": videos[::-1]}, "for another list of videos, 20, not 20: give another --output"),
        ({"sha256": "1"}, "by another network, saved_models/x/1: give another --output"),
        ({"video_stream": 1}, "with --video_stream=None: give another --output"),
    ):
        with pytest.raises(DataError) as caught:
            predict(**{"videos": videos, "output": out, **change})
        assert str(caught.value) == f"{out} holds predictions {message}"
    assert predict(videos, out) == (20, 0)
    with pytest.raises(DataError, match="by another network"):
        predict(videos, out, sha256="1")


def test_paths_that_mean_other_files_are_another_list(videos, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(videos[0]).parent)
    names = [Path(path).name for path in videos]
    predict(names, tmp_path / "out")
    assert [one["video"] for one in read(tmp_path / "out", "results")] == names
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="another list of videos"):
        predict(names, tmp_path / "out")


def test_a_directory_with_other_files_is_refused(videos, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds other files: give another --output"):
        predict(videos, tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_second_job_is_refused(videos, tmp_path):
    predict(videos, tmp_path / "out")
    lock = lock_file(tmp_path / "out/.bulk/lock", "")
    with lock, pytest.raises(DataError, match="out is in use by another job"):
        predict(videos, tmp_path / "out")


def test_a_changed_file_of_the_job(videos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        predict(videos, out, portions=1)
    path = out / ".bulk/job.json"
    path.write_text(path.read_text().replace('"portion_size": 16', '"portion_size": 17'))
    with pytest.raises(DataError, match=r"job\.json was changed since it was written"):
        predict(videos, out)


def test_a_video_that_kills_its_decoder_is_listed(make_video, tmp_path, monkeypatch):
    """Once the portion was started before: a first attempt decodes in its own process."""
    videos = link(make_video(tmp_path / "one.mp4", frames=3), tmp_path / "videos", 5)

    def dead(*given):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(portion, "decode", dead)
        with pytest.raises(StoppedError):
            predict(videos, tmp_path / "out")
    monkeypatch.setattr(portion, "decode", bulk_jobs.killed)
    assert predict(videos, tmp_path / "out") == (5, 1)
    assert read(tmp_path / "out", "failed") == [
        {
            "video": videos[3],
            "error": f"{videos[3]}: ended the process that decoded it, twice: signal 11",
        }
    ]
    found = [one["video"] for one in read(tmp_path / "out", "results")]
    assert found == [*videos[:3], videos[4]]


def test_in_a_store(videos, tmp_path):
    """Videos too; errors name them as they are listed."""
    folder = Path(videos[0]).parent
    upload(folder, "ram://bulk/videos")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    upload(tmp_path, "ram://bulk/more")
    given = [f"ram://bulk/videos/{Path(path).name}" for path in videos[:17]]
    given += ["ram://bulk/more/broken.mp4", "ram://bulk/absent.mp4"]
    output = "ram://bulk/out"
    with pytest.raises(StoppedError):
        predict(given, output, portions=1)
    assert predict(given, output) == (19, 2)
    found = {
        name: [json.loads(line) for line in content.splitlines()]
        for name, content in remote_files(output).items()
        if name.endswith(".jsonl")
    }
    assert sorted(found) == [
        *("failed-00001-of-00002.jsonl", "results-00000-of-00002.jsonl"),
        "results-00001-of-00002.jsonl",
    ]
    answered = [one for name in sorted(found)[1:] for one in found[name]]
    assert [one["video"] for one in answered] == given[:17]
    expected = PREDICTOR.predict(videos[16]).logits
    np.testing.assert_allclose(answered[16]["logits"], expected, rtol=1e-6)
    for one, path in zip(found["failed-00001-of-00002.jsonl"], given[17:]):
        assert one["video"] == path
        assert one["error"].startswith(f"{path}: ")
    with pytest.raises(DataError, match="another list of videos"):
        predict(given[1:], output)
