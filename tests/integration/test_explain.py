"""The command `explain`, on a trained run and on runs with random weights."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import warm_python
from explanations import data_of, weights_of
from exports import SMALL, make_run
from PIL import Image

from rlstm_tf import explain
from rlstm_tf.attention.maps import compute_attention_maps
from rlstm_tf.cli import app, input_flags
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.video_views import RecordFormat, video_views
from rlstm_tf.runs.checkpoints import Checkpoints
from rlstm_tf.runs.directory import RunDirectory, read_flags
from rlstm_tf.runs.weights import load_model


def run(*line):
    line = ["explain", *map(str, line)]
    return app.run(explain.main, explain.define_flags, line, positional="video")


@pytest.fixture(scope="module")
def video(make_video, tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=12)


def expected(run_dir, video):
    """Returns the views and the attention maps of a video without the command."""
    settings = read_flags(run_dir / "flags.cfg")
    run = RunDirectory(run_dir)
    model, _ = load_model(run_dir, "newest", settings, len(run.classes()))
    config = InputConfig(**input_flags.arguments(settings))
    views = video_views(str(video), RecordFormat.from_manifest(run.manifest()), config)
    return views, compute_attention_maps(model, views.frames[0])


def refused(status, message, capsys, *line):
    assert run(*line) == status
    error = capsys.readouterr().err.splitlines()
    assert [text for text in error if text.startswith("error: ")] == error[-1:]
    assert message in error[-1]


def test_page_shows_the_run_and_the_video(tiny_run, video, tmp_path, capsys):
    output, gif = tmp_path / "deep" / "page.html", tmp_path / "clip.gif"
    assert run(video, f"--run_dir={tiny_run}", f"--output={output}", f"--gif={gif}") == 0
    content = output.read_bytes()
    sizes = [f"{len(path.read_bytes()) / 1e3:,.0f} kB: {path}" for path in (output, gif)]
    assert capsys.readouterr().out.splitlines() == sizes
    _, found = expected(tiny_run, video)
    for kind in ("spatial", "temporal"):
        np.testing.assert_allclose(weights_of(content, kind), getattr(found, kind), atol=1e-4)
    data = data_of(content)
    assert (data["frame"], data["cell"]) == found.peak()
    odds = np.exp(found.logits) / np.exp(found.logits).sum()
    text = content.decode()
    assert f"{100 * odds.max():.1f}&nbsp;%" in text
    assert "right &lt;i&gt;" in text
    assert "<h1><bdi>clip.mp4</bdi></h1>" in text
    assert "step-000000009.npz" in text
    assert "0.12 s, video frame 3" in text  # the middle of the first six
    assert Image.open(io.BytesIO(gif.read_bytes())).n_frames == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.gif", "deep"]
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_the_same_command_gives_the_same_files(tiny_run, video, tmp_path):
    for name in ("a", "b"):
        line = [f"--output={tmp_path / name}.html", f"--gif={tmp_path / name}.gif"]
        assert run(video, f"--run_dir={tiny_run}", *line, "--position=2,4") == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert data_of((tmp_path / "a.html").read_bytes())["cell"] == 7


@pytest.mark.parametrize("pairwise", ["dot_product", "concatenation"])
def test_rlstm_with_signed_weights(video, tmp_path, pairwise):
    more = ("--model=rlstm", f"--pairwise={pairwise}")
    directory = make_run(tmp_path / "run", *SMALL, *more).path
    output = tmp_path / "page.html"
    assert run(f"--video={video}", f"--run_dir={directory}", f"--output={output}") == 0
    content = output.read_bytes()
    _, found = expected(directory, video)
    assert data_of(content)["shares"] is False
    scale = np.abs(found.spatial).max()
    np.testing.assert_allclose(weights_of(content, "spatial"), found.spatial, atol=1e-4 * scale)


def test_flow(video, tmp_path):
    more = ("--stream=temporal", "--new_length=3")
    directory = make_run(tmp_path / "run", *SMALL, *more).path
    output, gif = tmp_path / "page.html", tmp_path / "clip.gif"
    assert run(video, f"--run_dir={directory}", f"--output={output}", f"--gif={gif}") == 0
    views, found = expected(directory, video)
    assert views.frames.shape[-1] == 6
    np.testing.assert_allclose(
        weights_of(output.read_bytes(), "temporal"), found.temporal, atol=1e-4
    )
    assert "flow from frame" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        b"<script>window.hacked=1<!--.mp4",
        b'a\nb".mp4',
        b"\xff\xfe.mp4",
        b"--.mp4",
        "é.mp4".encode(),
    ],
    ids=["script", "newline", "bytes", "dashes", "accent"],
)
def test_names_of_videos(tiny_run, video, tmp_path, name, capsys):
    path = os.path.join(str(tmp_path), os.fsdecode(name))
    shutil.copy(video, path)
    output = os.path.join(str(tmp_path), os.fsdecode(name) + ".html")
    assert run(path, f"--run_dir={tiny_run}", f"--output={output}") == 0
    text = Path(output).read_text(encoding="utf-8")
    assert text.count("<script") == 2
    shown = name.decode("utf-8", "replace").replace("\ufffd", "?")
    shown = shown.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert f"<bdi>{shown}</bdi>" in text
    assert capsys.readouterr().out


def test_a_genuine_clip(tiny_run, real, tmp_path):
    clip = sorted((real / "hmdb51" / "videos").rglob("*.avi"))[0]
    output = tmp_path / "page.html"
    assert run(clip, f"--run_dir={tiny_run}", f"--output={output}") == 0
    np.testing.assert_allclose(
        weights_of(output.read_bytes(), "spatial").sum(axis=-1), 1, atol=1e-3
    )


def test_invalid_arguments_are_refused(tiny_run, video, real, tmp_path, capsys):
    run_dir, output = f"--run_dir={tiny_run}", f"--output={tmp_path / 'page.html'}"
    refused(2, "--video must be given", capsys, run_dir, output)
    refused(2, "--run_dir must be given", capsys, video, output)
    refused(2, "--output=PAGE.html or --gif=ANIMATION.gif must be given", capsys, video, run_dir)
    refused(1, "holds no run", capsys, video, f"--run_dir={tmp_path}", output)
    same = f"--gif={tmp_path / 'x' / '..' / 'page.html'}"
    refused(2, "page.html is --output", capsys, video, run_dir, output, same)
    refused(2, "clip.mp4 is the video", capsys, video, run_dir, f"--gif={video}")
    refused(1, "Is a directory", capsys, video, run_dir, f"--output={tmp_path}")
    refused(1, "cannot write", capsys, video, run_dir, f"--output={video}/page.html")
    for position in ("5,1", "1,5", "0,1", "1", "1,2,3", "a,b"):
        line = (video, run_dir, output, f"--position={position}")
        message = f"--position={position}: ROW,COLUMN of a map of "
        refused(2, message, capsys, *line)
    refused(1, "holds no run", capsys, video, f"--run_dir={tmp_path}", f"{output}/deep/er.html")
    refused(1, "absent.mp4: No such file", capsys, tmp_path / "absent.mp4", run_dir, output)
    (tmp_path / "empty.mp4").touch()
    refused(1, "empty.mp4: ", capsys, tmp_path / "empty.mp4", run_dir, output)
    broken = real / "broken" / "derived_truncated_half.avi"
    refused(1, "header says", capsys, broken, run_dir, output)
    tsn = make_run(tmp_path / "tsn", *SMALL, "--model=tsn").path
    message = "tsn has no Relational LSTM to show: --model=two_branch or rlstm has one"
    refused(2, message, capsys, video, f"--run_dir={tsn}", output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "tsn"]
    assert video.stat().st_size > 1000


def test_a_network_that_diverged(tiny_run, video, tmp_path, capsys):
    directory = tmp_path / "run"
    shutil.copytree(tiny_run, directory)
    checkpoints = Checkpoints(directory / "checkpoints")
    state, info, _ = checkpoints.require_newest()
    for value in state.values():
        if value.dtype.kind == "f":
            value[...] = np.nan
    path = checkpoints.save(10, state, info)
    line = (video, f"--run_dir={directory}", f"--output={tmp_path / 'page.html'}")
    refused(1, f"{path}: the network computes numbers that are not finite", capsys, *line)


@pytest.mark.parametrize("module", ["jinja2", "PIL"])
def test_without_the_extra(tiny_run, video, tmp_path, module):
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from rlstm_tf import explain\n"
        "from rlstm_tf.cli import app as cli\n"
        "cli.leave(cli.run(explain.main, explain.define_flags, positional='video'))"
    )
    line = [str(video), f"--run_dir={tiny_run}", f"--output={tmp_path / 'page.html'}"]
    result = warm_python.run(["-c", script, *line])
    assert result.returncode == 2
    assert result.stdout.splitlines()[-1] == (
        f"error: {module} is missing; the extra report brings it: pip install 'rlstm-tf[report]'"
    )
