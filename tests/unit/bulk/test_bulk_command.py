"""`rlstm_tf.predict --output` with Apache Beam. Skipped if Beam is not installed."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from builds import kill_once_made
from bulk_jobs import link, read

from rlstm_tf import predict
from rlstm_tf.bulk import network
from rlstm_tf.cli import app
from rlstm_tf.errors import DataError

pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install 'rlstm-tf[beam]'")

THREADS = ("--", "--direct_running_mode=multi_threading", "--direct_num_workers=2")


def run(capfd, *given):
    """Runs the command; returns exit status, stdout, and stderr without progress bars."""
    line = ["prog", *map(str, given)]
    status = app.run(
        *(predict.main, predict.define_flags, line), positional="videos", rest="pipeline_options"
    )
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    lines = [line.split("\r")[-1] for line in captured.err.splitlines()]
    return status, captured.out, [one for one in lines if one and not one.startswith("predict: ")]


@pytest.fixture(scope="module")
def videos(tiny_videos, tmp_path_factory):
    """40 videos of three contents: three portions."""
    folder = tmp_path_factory.mktemp("bulk") / "videos"
    for name, count in (("l0", 20), ("r3", 10), ("l5", 10)):
        link(tiny_videos / f"{name}.mp4", folder, count, name)
    return folder


@pytest.mark.parametrize("options", [(), THREADS], ids=("alone", "two workers"))
def test_the_lines_of_predict_in_order(tiny_export, videos, tmp_path, capfd, options):
    """Also prints none of Beam's own lines."""
    model, paths = f"--model={tiny_export}", sorted(videos.iterdir())
    given = (f"--videos={videos}/*.mp4", model, f"--output={tmp_path}/out", *options)
    status, out, errors = run(capfd, *given)
    assert (status, out, errors) == (0, f"{tmp_path}/out: answers for 40 videos\n", [])
    found = read(tmp_path / "out", "results")
    single = run(capfd, *paths, model, "--json")[1].splitlines()
    assert len(found) == len(single) == 40
    for one, line in zip(found, single):
        expected = json.loads(line)
        assert one.pop("logits") == pytest.approx(expected.pop("logits"), abs=1e-5)
        top, expected_top = one.pop("top"), expected.pop("top")
        for ranked, other in zip(top, expected_top):
            assert ranked == {"label": other["label"], "probability": ranked["probability"]}
            assert ranked["probability"] == pytest.approx(other["probability"], abs=1e-5)
        assert len(top) == len(expected_top)
        assert one == expected
    assert len(list((tmp_path / "out").glob("results-*.jsonl"))) == 3


def test_the_network_is_loaded_once_by_a_process(tiny_export, videos, tmp_path, capfd, monkeypatch):
    loaded, load = [], network.load
    monkeypatch.setattr(network, "load", lambda source: (loaded.append(source), load(source))[1])
    given = (f"--videos={videos}/*.mp4", f"--model={tiny_export}", f"--output={tmp_path}/out")
    assert run(capfd, *given, *THREADS)[0] == 0
    assert loaded == [str(tiny_export / "1")]


def test_killed_and_resumed(tiny_export, videos, tmp_path, capfd):
    """Nothing is lost, nothing is there twice, and a finished portion is kept."""
    model, out = f"--model={tiny_export}", tmp_path / "out"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    rows = ["path", *map(str, sorted(videos.iterdir())), "broken.mp4"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    given = (f"--videos={tmp_path}/list.csv", model, f"--output={out}")
    made = kill_once_made("rlstm_tf.predict", given, out, "results-*.jsonl")
    assert not (out / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in made}
    status, text, errors = run(capfd, *given)
    assert (status, text) == (1, f"{out}: answers for 40 videos\n")
    assert errors == [f"error: 1 of 41 videos failed: {out}/failed-*.jsonl tell why"]
    assert [one["video"] for one in read(out, "results")] == rows[1:-1]
    assert [one["video"] for one in read(out, "failed")] == [str(broken)]
    assert {path: path.stat().st_mtime_ns for path in made} == before
    assert run(capfd, *given)[::2] == (1, errors)


def test_errors_of_the_user(tiny_export, videos, tmp_path, capfd):
    model, out, pattern = f"--model={tiny_export}", tmp_path / "out", f"--videos={videos}/l0*.mp4"
    (tmp_path / "list.csv").write_text("video\na.mp4\n")

    def refused(status, message, *given):
        found, text, errors = run(capfd, f"--output={out}", *given)
        assert (found, text, len(errors)) == (status, "", 1)
        assert errors[0].startswith("error: ")
        assert message in errors[0]
        return errors[0]

    refused(2, "no video was given", model)
    refused(2, "--model must be given", pattern)
    refused(2, "--timeline and --output exclude each other", pattern, model, "--timeline")
    refused(2, "--json and --output exclude each other", pattern, model, "--json")
    refused(2, "batch_size", pattern, model, "--batch_size=65")
    refused(2, "Beam has no option --no_such", pattern, model, "--", "--no_such=1")
    refused(1, "x*.mp4 matches no file", f"--videos={videos}/x*.mp4", model)
    refused(1, "list.csv:1: the header must have path", f"--videos={tmp_path}/list.csv", model)
    refused(1, "holds no exported network", pattern, f"--model={tmp_path}")
    damaged = shutil.copytree(tiny_export, tmp_path / "damaged")
    (damaged / "1" / "saved_model.pb").write_bytes(b"\x08")
    refused(1, "is damaged", pattern, f"--model={damaged}")
    assert not out.exists()
    assert run(capfd, pattern, model, f"--output={out}")[0] == 0
    refused(1, "for another list of videos", f"--videos={videos}/l5*.mp4", model)
    assert run(capfd, pattern, model, "--batch_size=2")[::2] == (
        2,
        ["error: --batch_size needs --output"],
    )


def test_an_error_in_a_worker_is_one_line(tiny_export, videos, tmp_path, capfd, monkeypatch):
    def lost(*given):
        raise DataError("the line is down")

    given = (f"--videos={videos}/l0*.mp4", f"--model={tiny_export}", f"--output={tmp_path}/out")
    with monkeypatch.context() as patch:
        patch.setattr("rlstm_tf.bulk.portion.publish", lost)
        status, _, errors = run(capfd, *given)
    assert (status, errors) == (1, ["error: the line is down"])
    assert run(capfd, *given)[0] == 0


def test_without_beam(tiny_export, videos, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    given = (f"--videos={videos}/*.mp4", f"--model={tiny_export}", f"--output={tmp_path}/out")
    status, out, errors = run(capfd, *given)
    assert (status, out, len(errors)) == (2, "", 1)
    assert "pip install 'rlstm-tf[beam]'" in errors[0]
    assert not (tmp_path / "out").exists()


def test_names_that_begin_with_a_dash(tiny_export, videos, tmp_path, capfd, monkeypatch):
    """Without --output they are videos still."""
    link(next(videos.iterdir()), tmp_path, 1, "--v")
    monkeypatch.chdir(tmp_path)
    status, out, errors = run(capfd, f"--model={tiny_export}", "--json", "--", "--v000.mp4")
    assert (status, errors) == (0, [])
    assert json.loads(out)["video"] == "--v000.mp4"
