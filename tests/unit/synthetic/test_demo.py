import os

import numpy as np
import pytest
from builds import tree
from sklearn.ensemble import ExtraTreesClassifier

from rlstm_tf.cli import app
from rlstm_tf.data.video import VideoReader
from tfrecords_tools import demo
from tfrecords_tools.synthetic import clips
from tfrecords_tools.synthetic.shapes import CLASSES, draw_scene


def run(*arguments):
    return app.run(demo.main, demo.define_flags, ["demo", *arguments])


def small(output, *arguments):
    settings = ("--videos_per_class=6", "--num_frames=5", "--size=32", "--workers=1")
    return run(f"--output={output}", *settings, *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo") / "made"
    assert small(output) == 0
    return output


def test_lists_have_the_format_of_ucf101(made):
    splits = made / "ucfTrainTestlist"
    assert (splits / "classInd.txt").read_text().split() == [
        part for number, name in enumerate(CLASSES, 1) for part in (str(number), name)
    ]
    train = [line.split() for line in (splits / "trainlist01.txt").read_text().splitlines()]
    test = (splits / "testlist01.txt").read_text().splitlines()
    assert train[0] == ["Approach/v_Approach_g01_c01.avi", "1"]
    assert test[0] == "Approach/v_Approach_g02_c01.avi"
    assert all(CLASSES[int(label) - 1] == path.split("/")[0] for path, label in train)
    paths = {path for path, _ in train}
    assert (len(paths), len(test)) == (8 * 4, 8 * 2)
    assert not paths & set(test)
    assert paths | set(test) == {
        str(path.relative_to(made / "videos")) for path in (made / "videos").rglob("*.avi")
    }


def test_every_clip_decodes(made):
    for path in (made / "videos").rglob("*.avi"):
        with VideoReader(str(path), 32) as reader:
            frames = list(reader)
        assert len(frames) == 5
        assert frames[0].shape == (32, 32, 3)


def test_decoded_frames_match_the_drawing(made):
    drawn = draw_scene("Swap", 1, 2, num_frames=5, size=32, seed=0)
    with VideoReader(str(made / "videos/Swap/v_Swap_g01_c02.avi"), 32) as reader:
        decoded = np.stack(list(reader))[..., ::-1]
    error = np.mean((decoded.astype(float) - drawn) ** 2)
    assert 10 * np.log10(255**2 / error) > 26  # dB; the loss is color at the edges


def test_another_seed_gives_other_clips(made, tmp_path):
    assert small(tmp_path / "other", "--seed=1") == 0
    name = "videos/Approach/v_Approach_g01_c01.avi"
    assert tree(tmp_path / "other")[name] != tree(made)[name]


def test_running_again_changes_nothing(made, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert small(made) == 0
    assert "complete already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda output: (output / "notes.txt").write_text("mine"), "is not a demo data set"),
        (lambda output: (output / "demo.json").write_text("[1]"), "is not a demo data set"),
        (
            lambda output: (output / "demo.json").write_text('{"seed": 3}'),
            "videos_per_class None, not 6",
        ),
    ],
)
def test_other_content_is_refused(tmp_path, capsys, spoil, message):
    spoil(tmp_path)
    before = tree(tmp_path)
    assert small(tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert tree(tmp_path) == before


def test_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert small(tmp_path / "file") == 1
    assert "is not a demo data set" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_leftovers_of_a_killed_run_are_replaced(made, tmp_path):
    left = tmp_path / "output.partial" / "videos" / "Swap"
    left.mkdir(parents=True)
    (left / "v_Swap_g01_c01.avi").write_bytes(b"half")
    (left / "v_Swap_g99_c01.avi").write_bytes(b"of another size")
    assert small(tmp_path / "output") == 0
    assert tree(tmp_path / "output") == tree(made)
    assert os.listdir(tmp_path) == ["output"]


def test_nothing_appears_if_drawing_fails(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips, "write_videos", full)
    assert small(tmp_path / "output") == 1
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--size=33", "must be even"),
        ("--videos_per_class=4", "videos_per_class"),
        ("--layout=kinetics", "ucf101|hmdb51|charades"),
        ("--output=", "--output is required"),
    ],
)
def test_bad_flags(tmp_path, capsys, flag, message):
    assert small(tmp_path / "output", flag) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def find_centers(frames):
    """Finds the red and the blue shape, [F, 4], pixels."""
    frames = frames.astype(np.float32)
    x = np.arange(frames.shape[2])
    found = []
    for one, other in ((0, 2), (2, 0)):
        weight = np.maximum(frames[..., one] - frames[..., other] - 60, 1e-6)
        total = weight.sum((1, 2))
        found += [(weight.sum(1) * x).sum(1) / total, (weight.sum(2) * x).sum(1) / total]
    return np.stack(found, 1)


def accuracy(inputs, labels):
    for_training = np.arange(len(labels)) % 3 > 0
    model = ExtraTreesClassifier(200, min_samples_leaf=4, random_state=0)
    model.fit(inputs[for_training], labels[for_training])
    return model.score(inputs[~for_training], labels[~for_training])


def test_only_the_order_of_the_frames_reveals_the_class():
    tracks, labels = [], []
    for clip in clips.list_clips(CLASSES, 150):
        frames = draw_scene(clip.class_name, clip.group, clip.number, 8, 32, seed=0)
        tracks.append(find_centers(frames))
        labels.append(CLASSES.index(clip.class_name))
    tracks, labels = np.stack(tracks), np.array(labels)
    red, blue = tracks[..., :2], tracks[..., 2:]
    apart = red - blue
    distance = np.linalg.norm(apart, axis=-1)
    layout = np.concatenate([tracks, distance[..., None]], -1)
    # With perfect knowledge of both positions in one frame. Chance is 0.125. The first and the last
    # frame reveal most: an approach begins far apart, a recession ends so.
    by_frame = [accuracy(layout[:, number], labels) for number in (0, 4, 7)]
    assert max(by_frame) < 0.55
    assert by_frame[1] < 0.4
    # With the changes from frame to frame.
    closer = np.diff(distance, axis=1)
    turn = apart[:, :-1, 0] * apart[:, 1:, 1] - apart[:, :-1, 1] * apart[:, 1:, 0]
    ahead = (np.diff(red + blue, axis=1) * apart[:, :-1]).sum(-1)
    assert accuracy(np.concatenate([closer, turn, ahead], 1), labels) > 0.9
