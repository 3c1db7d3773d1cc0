"""Makes a synthetic data set in the layout of a public one.

    python -m tfrecords_tools.demo --output=data/demo
    python -m tfrecords_tools.demo --output=data/relations --scenes=relations
    python -m tfrecords_tools.demo --output=data/matching --scenes=matching

`shapes` has 8 classes of two moving shapes; `relations` has 20 classes in pairs that differ in
known ways (`tfrecords_tools.synthetic.relations`); `matching` has 8 in pairs that differ in which
shapes are alike (`tfrecords_tools.synthetic.matching`); `relations,matching` has the classes of
both, with the same clips.

Writes video files and split files in the layout of UCF-101, HMDB-51 or Charades:

    --layout=ucf101    videos/<Class>/v_<Class>_gNN_cNN.avi
                       ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt
    --layout=hmdb51    videos/<class>/Two_Shapes_(NN)_<class>_f_nm_np2_fr_goo_N.avi
                       testTrainMulti_7030_splits/<class>_test_splitN.txt
    --layout=charades  Charades_v1_480/<ID>.mp4, each of 2 to 4 clips of different classes
                       Charades/Charades_v1_{train,test}.csv, Charades_v1_classes.txt

The same flags give the same bytes, whatever the number of workers. Clips of a group share their
background and are in the same list, training or test. Split 2 needs at least 9 clips of each class
and split 3 at least 13; with fewer their lists are not written. A complete directory is left
unchanged; a directory with other content is refused.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.storage.creation import make_directory, write_new
from rlstm_tf.storage.json_values import read_json
from rlstm_tf.storage.locks import lock_file

# The settings of a data set; written last, so that it marks completion.
SETTINGS = "demo.json"
_SETTINGS = (
    *("layout", "videos_per_class", "size", "num_frames", "camera", "seed"),
    *("scenes", "distractors"),
)
SCENE_NAMES = ("shapes", "relations", "matching", "relations,matching")
# Defaults and limits of all but --scenes=shapes.
_DISTRACTORS, _MIN_FRAMES = 2, 8
# Settings that older data sets do not list.
_IMPLICIT = {"scenes": "shapes", "distractors": None}


def define_flags(values: flags.FlagValues) -> None:
    """Defines this command's flags."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("output", None, "Directory to create.", **own)
    flags.DEFINE_enum("scenes", "shapes", SCENE_NAMES, "Kind of clips.", **own)
    names = ["ucf101", "hmdb51", "charades"]
    flags.DEFINE_enum("layout", "ucf101", names, "Public data set whose layout to follow.", **own)
    # Fewer than 5 form a single group, which leaves no test set.
    help_text = "Clips of each class; charades: 2 to 4 make one video."
    flags.DEFINE_integer("videos_per_class", 375, help_text, 5, 100_000, **own)
    flags.DEFINE_integer("size", 64, "Width and height, an even number of pixels.", 32, 1024, **own)
    flags.DEFINE_integer("num_frames", 16, "Frames of each clip.", 2, 10_000, **own)
    help_text = "Maximum drift of the background in a clip, picture sides."
    flags.DEFINE_float("camera", 0.3, help_text, 0.0, **own)
    help_text = f"relations, matching: number of distracting shapes; default {_DISTRACTORS}."
    flags.DEFINE_integer("distractors", None, help_text, 0, 10, **own)
    flags.DEFINE_integer("seed", 0, "Selects other clips.", 0, **own)
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "Drawing processes.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Draws the clips, unless the data set is complete already."""
    if not values.output:
        raise UsageError("--output is required: the directory to create")
    if values.size % 2:
        raise UsageError(f"--size={values.size}: must be even, for video")
    own = _get_scene_settings(values)
    settings = {name: values[name].value for name in _SETTINGS} | own
    output = os.path.abspath(values.output)
    if _is_complete(output, settings):
        say(f"{values.output} is complete already")
        return
    from rlstm_tf.storage.atomic import writing
    from tfrecords_tools.synthetic import clips
    from tfrecords_tools.synthetic.layouts import LAYOUTS
    from tfrecords_tools.synthetic.scenes import SCENES

    scenes = SCENES[values.scenes]
    draw = functools.partial(
        scenes.draw_scene,
        num_frames=values.num_frames,
        size=values.size,
        seed=values.seed,
        camera=values.camera,
        **own,
    )
    layout = LAYOUTS[values.layout](
        scenes.classes, values.videos_per_class, values.num_frames, values.seed
    )
    with writing(values.output), _create_directory(output) as partial:
        _write_lists(partial, layout.lists)
        clips.write_videos(partial, layout.videos, draw, values.workers)
        write_new(os.path.join(partial, SETTINGS), json.dumps(settings).encode())
    num_train = len(layout.videos) - layout.num_test
    say(f"{values.output}: {num_train} videos to train, {layout.num_test} to test")


def _get_scene_settings(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the settings that only this kind of scenes has."""
    if values.scenes == "shapes":
        if values.distractors is not None:
            raise UsageError(
                f"--distractors={values.distractors} goes with --scenes=relations or matching"
            )
        return {}
    if values.num_frames < _MIN_FRAMES:
        given = f"--num_frames={values.num_frames}"
        raise UsageError(f"{given}: --scenes={values.scenes} needs at least {_MIN_FRAMES}")
    return {"distractors": _DISTRACTORS if values.distractors is None else values.distractors}


def _is_complete(output: str, settings: dict[str, Any]) -> bool:
    """Returns True if the data set is complete, and False if the directory is missing or empty.

    Raises:
        DataError: the directory has other content.
    """
    if not os.path.lexists(output) or (os.path.isdir(output) and not os.listdir(output)):
        return False
    try:
        found = read_json(os.path.join(output, SETTINGS))
    except DataError:
        found = None
    if found is None:
        raise DataError(f"{output} exists and is not a demo data set: give another --output")
    found = _IMPLICIT | found
    if found != settings:
        differences = ", ".join(
            f"{name} {found.get(name)}, not {value}"
            for name, value in settings.items()
            if found.get(name) != value
        )
        raise DataError(
            f"{output} was made with {differences}: give another --output, or delete it"
        )
    return True


@contextlib.contextmanager
def _create_directory(output: str) -> Iterator[str]:
    """Creates a directory beside `output`, renamed to `output` when the context ends without error.

    Raises:
        DataError: another process is creating the same directory.
    """
    partial = f"{output}.partial"
    os.makedirs(os.path.dirname(partial), exist_ok=True)
    make_directory(partial)
    lock = os.path.join(partial, "lock")
    with lock_file(lock, f"{output} is being made by another process"):
        for name in set(os.listdir(partial)) - {os.path.basename(lock)}:
            path = os.path.join(partial, name)
            is_directory = os.path.isdir(path) and not os.path.islink(path)
            (shutil.rmtree if is_directory else os.remove)(path)
        yield partial
        os.remove(lock)
        # Only on POSIX does rename replace an empty directory.
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(output)
        os.rename(partial, output)


def _write_lists(directory: str, lists: dict[str, str]) -> None:
    for name, text in lists.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_new(path, text.encode())


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))
