"""examples/own_videos.ipynb, from clips to relation maps, with a small network."""

import nbclient
import nbformat
import pytest
from repository import ROOT

NOTEBOOK = ROOT / "examples" / "own_videos.ipynb"
TINY = [
    *("--backbone=tiny_resnetv2", "--weights=none", "--freeze=trunk", "--num_segments=2"),
    *("--image_size=32", "--batch_size=4", "--epochs=2"),
]


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_stored_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_it_runs(notebook, make_video, tmp_path):
    for number in range(12):
        label = ("wave", "clap")[number % 2]
        make_video(tmp_path / "videos" / label / f"{label}{number}.mp4", seed=number)
    (parameters,) = (
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    )
    parameters.source += f"""
VIDEOS = {str(tmp_path / "videos")!r}
DATA, RUN, MODEL = ({str(tmp_path)!r} + name for name in ("/data", "/run", "/model"))
BUILD += ["--short_side=40", "--workers=1"]
TRAIN += {TINY}
"""
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}
    ).execute()

    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    text = "".join(out.text for out in outputs if out.output_type == "stream")
    assert "2 classes" in text
    kinds = [kind for out in outputs for kind in out.get("data", {}) if kind.startswith("image/")]
    # Clips, curves, confusion matrix and perhaps mistakes; relation maps.
    assert kinds[:3] == ["image/png"] * 3
    assert kinds[-1] == "image/gif"
    assert (tmp_path / "run" / "evaluation" / "test" / "metrics.json").is_file()
    assert (tmp_path / "run" / "relations.html").stat().st_size > 10_000
    assert (tmp_path / "model" / "1").is_dir()
