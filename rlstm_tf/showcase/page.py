"""The page: its parts, and what each event changes."""

from __future__ import annotations

import html
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from rlstm_tf.errors import DataError, UserError
from rlstm_tf.messages import escape
from rlstm_tf.serving.predictor import Predictor, top_classes
from rlstm_tf.showcase import plot
from rlstm_tf.showcase.analysis import Analysis, Options, analyze
from rlstm_tf.showcase.relations import Relations
from rlstm_tf.storage.creation import write_new

# Seconds. Uploads and answers that nobody uses are deleted after the second, at times of the first.
_CLEAN = 600, 3600
_SECONDS_BETWEEN_BARS = 0.2


class Page:
    """The page of one network.

    Args:
        predictor: the network.
        options: windows, and the largest video that is taken.
        relations: the run that it was exported from; None: no relation maps.
        directory: empty local directory for uploads and answers.
    """

    def __init__(
        self, predictor: Predictor, options: Options, relations: Relations | None, directory: str
    ):
        self._predictor = predictor
        self._options = options
        self._relations = relations
        self._directory = os.path.realpath(directory)
        self._ends = threading.Event()

    def build(self) -> gr.Blocks:
        """Builds the page."""
        # Gradio asks for it whenever it keeps a file.
        os.environ["GRADIO_TEMP_DIR"] = self._directory
        with gr.Blocks(title="rlstm-tf", analytics_enabled=False, delete_cache=_CLEAN) as blocks:
            gr.HTML(self._describe())
            self._analysis = gr.State(time_to_live=_CLEAN[1])
            with gr.Row():
                with gr.Column(scale=1):
                    self._video = gr.Video(
                        label="Video",
                        sources=["upload", "webcam"],
                        include_audio=False,
                        webcam_options=gr.WebcamOptions(mirror=False),
                        elem_id="video",
                    )
                    self._status = gr.Textbox(label="Answer", interactive=False, elem_id="status")
                    self._json = gr.DownloadButton(
                        "Download JSON", interactive=False, elem_id="json"
                    )
                with gr.Column(scale=2):
                    self._plot = _make_picture("Classes over time: click a time", "plot")
                    self._time = gr.Slider(
                        *(0, 1),
                        step=0.01,
                        label="Time, seconds",
                        interactive=False,
                        elem_id="time",
                    )
                    with gr.Row():
                        self._frame = _make_picture("Frame", "frame")
                        self._segments = gr.Dataframe(
                            headers=["from, s", "to, s", "class", "%"],
                            datatype="str",
                            interactive=False,
                            label="Segments",
                            max_height=300,
                            elem_id="segments",
                        )
            self._maps = gr.HTML("" if self._relations else _ABOUT_MAPS, elem_id="maps")
            self._connect()
        return blocks

    def end(self) -> None:
        """Stops the work on a video."""
        self._ends.set()

    def _connect(self) -> None:
        """Connects the events, which are answered one after another."""
        own: dict[str, Any] = {
            "concurrency_id": "network",
            "concurrency_limit": 1,
            "api_visibility": "private",
        }
        shown = [self._plot, self._time, self._frame]
        parts = [self._analysis, self._status, self._json, self._segments, self._maps, *shown]
        # Not preprocessed: Gradio would need FFmpeg to remove the sound.
        answered = self._video.change(self._answer, self._video, parts, preprocess=False, **own)
        own["show_progress"] = "hidden"
        clicked = self._plot.select(self._click, self._analysis, shown, **own)
        moved = self._time.input(
            self._move, [self._analysis, self._time], shown, trigger_mode="always_last", **own
        )
        if self._relations:
            own["show_progress"] = "minimal"
            for event in (answered, clicked, moved):
                event.then(self._draw_relations, [self._analysis, self._time], self._maps, **own)

    def _describe(self) -> str:
        metadata, options = self._predictor.metadata, self._options
        return (
            f"<h1>{html.escape(metadata.model)} on {html.escape(metadata.backbone)}</h1>"
            f"<p>{len(metadata.classes):,} classes; windows of {options.window:g} s, one every "
            f"{options.stride:g} s. Videos of up to {options.max_seconds:g} s and "
            f"{options.max_megabytes:,} MB. They stay on this machine.</p>"
        )

    def _answer(
        self,
        upload: dict[str, Any] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> dict[Any, Any]:
        """Classifies a video that was uploaded or recorded; None: it was removed."""
        if upload is None:
            return self._empty("")
        path = os.path.realpath(upload["path"])
        if not path.startswith(self._directory + os.sep):
            return self._empty("error: this file was not uploaded")
        name = escape(os.path.basename(upload.get("orig_name") or path))
        try:
            track = self._track(progress)
            analysis = analyze(self._predictor, path, name, self._options, track)
        except UserError as error:
            return self._empty(escape("error: " + " ".join(str(error).split())))
        file = Path(tempfile.mkdtemp(dir=self._directory)) / f"{Path(path).stem}.json"
        write_new(file, analysis.to_json().encode())
        return {
            self._analysis: analysis,
            self._status: analysis.summary(),
            self._json: gr.DownloadButton(value=str(file), interactive=True),
            self._segments: _format_segments(analysis),
            **self._show(analysis, 0.0),
            self._time: gr.Slider(value=0.0, maximum=analysis.times.end, interactive=True),
        }

    def _track(self, progress: gr.Progress) -> Callable[..., Iterator[Any]]:
        """Returns a function that shows progress, as `Predictor.predict_timeline` takes it."""

        def track(items: Iterable[Any], total: int, desc: str, unit: str) -> Iterator[Any]:
            due = 0.0
            for number, item in enumerate(items):
                if self._ends.is_set():
                    raise DataError("the page was ended")
                if time.monotonic() >= due:
                    # A header may tell too few.
                    end = max(total, number + 1) if total else None
                    progress((number, end), desc=desc, unit=unit)
                    due = time.monotonic() + _SECONDS_BETWEEN_BARS
                yield item

        return track

    def _empty(self, status: str) -> dict[Any, Any]:
        """Returns the page without an answer."""
        return {
            self._analysis: None,
            self._status: status,
            self._json: gr.DownloadButton(value=None, interactive=False),
            self._segments: None,
            self._plot: None,
            self._time: gr.Slider(value=0.0, interactive=False),
            self._frame: gr.Image(value=None, label="Frame"),
        }

    def _click(self, analysis: Analysis | None, event: gr.SelectData) -> dict[Any, Any]:
        """Shows the time of a click on the plot."""
        if analysis is None:
            return {self._plot: gr.skip()}
        return self._show(analysis, plot.time_at(event.index[0], analysis.times.end))

    def _move(self, analysis: Analysis | None, seconds: float) -> dict[Any, Any]:
        """Shows the time of the slider."""
        if analysis is None:
            return {self._plot: gr.skip()}
        shown = self._show(analysis, seconds)
        # The slider moves on meanwhile.
        del shown[self._time]
        return shown

    def _show(self, analysis: Analysis, seconds: float) -> dict[Any, Any]:
        still = analysis.still(seconds)
        picture = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        label = f"Frame {still.number}, {still.time:.2f} s"
        return {
            self._plot: plot.draw(analysis, seconds),
            self._time: round(seconds, 2),
            self._frame: gr.Image(value=picture, label=label),
        }

    def _draw_relations(self, analysis: Analysis | None, seconds: float) -> str:
        """Returns the relation maps around a time, in a frame of their own."""
        if analysis is None or self._relations is None:
            return ""
        try:
            content = self._relations.render(analysis, seconds, self._options)
        except UserError as error:
            return f"<p>{html.escape(escape(f'error: {error}'))}</p>"
        return (
            '<iframe title="Relation maps" sandbox="allow-scripts" style="width: 100%; height: '
            f'70rem; border: 0" srcdoc="{html.escape(content)}"></iframe>'
        )


_ABOUT_MAPS = (
    "<p>Relation maps need the run that the network was exported from: start the page with "
    "<code>--run_dir=DIR</code>.</p>"
)


def _make_picture(label: str, name: str) -> gr.Image:
    # WebP, Gradio's own choice, blurs thin lines.
    return gr.Image(label=label, interactive=False, buttons=[], format="png", elem_id=name)


def _format_segments(analysis: Analysis) -> list[list[str]]:
    rows = []
    for start, end, values in analysis.intervals():
        ((label, probability),) = top_classes(values, values, analysis.classes, 1)
        rows.append([f"{start:.2f}", f"{end:.2f}", escape(label), f"{100 * probability:.1f}"])
    return rows
