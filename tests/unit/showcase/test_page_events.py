"""What the page answers to an upload, without a browser."""

import pytest
from brightness import METADATA, brightness
from levels import write_levels

pytest.importorskip("gradio", reason="needs the extra app")

import gradio as gr

from rlstm_tf.serving.predictor import Predictor
from rlstm_tf.showcase.analysis import Options
from rlstm_tf.showcase.page import Page

OPTIONS = Options(window=1.0, stride=0.5, max_megabytes=1, max_seconds=60.0)


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    write_levels(uploads / "a.mp4", [10] * 20)
    made = Page(Predictor(METADATA, brightness), OPTIONS, None, str(uploads))
    made.build()
    return made


def answer(page, path):
    found = page._answer({"path": str(path), "orig_name": "../my clip.mp4"}, gr.Progress())
    return found[page._status], found[page._analysis]


def test_an_upload_is_answered(page, tmp_path):
    status, analysis = answer(page, tmp_path / "uploads" / "a.mp4")
    assert status == "my clip.mp4: 2.0 s, 20 frames, 1 segment"
    assert analysis.name == "my clip.mp4"


def test_an_end_stops_the_work(page, tmp_path):
    page.end()
    found = answer(page, tmp_path / "uploads" / "a.mp4")
    assert found == ("error: the page was ended", None)


@pytest.mark.parametrize("place", ["other/a.mp4", "uploads/../other/a.mp4", "uploads2/a.mp4"])
def test_a_file_that_was_not_uploaded_is_refused(page, tmp_path, place):
    for folder in ("other", "uploads2"):
        (tmp_path / folder).mkdir()
        write_levels(tmp_path / folder / "a.mp4", [10] * 20)
    assert answer(page, tmp_path / place) == ("error: this file was not uploaded", None)
