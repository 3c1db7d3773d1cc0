"""Relation maps of a moment, from the run of an exported network."""

import dataclasses

import numpy as np
import pytest
from explanations import weights_of
from exports import CLASSES, SMALL, make_run

pytest.importorskip("jinja2", reason="needs the extra app")

from brightness import METADATA, Array

from rlstm_tf.attention.maps import compute_attention_maps
from rlstm_tf.data import timeline
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.serving.predictor import Predictor
from rlstm_tf.showcase.analysis import Options, analyze
from rlstm_tf.showcase.relations import Relations

OPTIONS = Options(window=0.4, stride=0.2, max_megabytes=1, max_seconds=60.0)
EXPORTED = dataclasses.replace(
    METADATA, classes=list(CLASSES), checkpoint="step-000000001.npz", short_side=40
)


def serve(model, offset=0.0):
    """Answers as an export of a network would."""

    def serving_default(frames):
        logits = np.asarray(model(frames, training=False)) + offset
        return {"logits": Array(logits), "probabilities": Array(np.exp(logits))}

    return serving_default


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("relations") / "run", *SMALL)


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(EXPORTED, serve(run.model))


@pytest.fixture(scope="module")
def relations(run, predictor):
    return Relations.load(run.path, "runs/small", predictor)


def test_maps_are_those_of_the_window_around_a_time(
    run, predictor, relations, make_video, tmp_path
):
    path = str(make_video(tmp_path / "a.mp4", frames=50))
    analysis = analyze(predictor, path, "my <b>.mp4", OPTIONS, lambda items, *_: items)
    page = relations.render(analysis, 1.31, OPTIONS)
    # Windows begin every 0.2 s: the middle of the one from 1.2 s on is the nearest.
    bounds = np.array([[1.2, 1.6]])
    config, record_format = EXPORTED.input_config(), EXPORTED.record_format
    numbers = timeline.window_snippets(analysis.times, bounds, config)
    (frames,) = timeline.window_views(path, record_format, config, numbers)
    expected = compute_attention_maps(run.model, frames)
    for kind in ("spatial", "temporal"):
        found = weights_of(page.encode(), kind)
        np.testing.assert_allclose(found, getattr(expected, kind), atol=1e-4)
    assert "my &lt;b&gt;.mp4" in page
    assert "step-000000001.npz" in page


def test_a_video_that_is_gone_is_named(predictor, relations, make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=20)
    analysis = analyze(predictor, str(path), "a.mp4", OPTIONS, lambda items, *_: items)
    path.unlink()
    with pytest.raises(DataError, match=r"^a.mp4: No such file"):
        relations.render(analysis, 0.0, OPTIONS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a"] * 6}, "--run_dir=mine has other classes than the exported network"),
        ({"model": "rlstm"}, "--run_dir=mine has --model=two_branch, the exported network rlstm"),
        ({"num_segments": 3}, "--run_dir=mine has --num_segments=2, the exported network 3"),
    ],
)
def test_the_run_of_another_network_is_refused(run, changes, message):
    other = Predictor(dataclasses.replace(EXPORTED, **changes), serve(run.model))
    with pytest.raises(UsageError, match=f"^{message}$"):
        Relations.load(run.path, "mine", other)


def test_other_weights_are_refused(run):
    other = Predictor(EXPORTED, serve(run.model, offset=0.5))
    with pytest.raises(UsageError, match=r"--run_dir=mine: step-000000001.npz is not the exported"):
        Relations.load(run.path, "mine", other)


def test_maps_that_no_page_holds_are_refused(run, predictor, monkeypatch):
    monkeypatch.setattr("rlstm_tf.attention.page.MAX_WEIGHTS", 100)
    with pytest.raises(UsageError, match=r"too large for a page; .*explain --gif shows them$"):
        Relations.load(run.path, "mine", predictor)
