"""Makes an embedded data set, in a public data set's own layout.

    python -m tfrecords_tools.demo --output=data/demo
    python -m tfrecords_tools.demo --output=data/relations --scenes=relations

`shapes` are 8 classes of two moving shapes, `relations` 20 classes in pairs of which we know what
tells them apart (`tfrecords_tools.synthetic.relations`).

Writes video files and split files, as UCF-101, HMDB-51 or Charades has them:

    --layout=ucf101    videos/<Class>/v_<Class>_gNN_cNN.avi
                       ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt
    --layout=hmdb51    videos/<class>/Two_Shapes_(NN)_<class>_f_nm_np2_fr_goo_N.avi
                       testTrainMulti_7030_splits/<class>_test_splitN.txt
    --layout=charades  Charades_v1_480/<ID>.mp4, each of 2 to 4 clips of different classes
                       Charades/Charades_v1_{train,test}.csv, Charades_v1_classes.txt

The same flags give the same bytes, whatever the number of workers. Clips of one group share their
background, and a group is either in the training list or in the test list. Split 2 is written from
9 clips of each class on, split 3 from 13: fewer give it nothing to test. A directory that is
complete is left as it is; one that holds anything else is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UsageError

# Written last: a directory with this file is complete, and made with these settings.
SETTINGS = "demo.json"
_SETTINGS = (
    *("layout", "videos_per_class", "size", "num_frames", "camera", "seed"),
    *("scenes", "distractors"),
)
_DISTRACTORS, _LEAST_FRAMES = 2, 8
# Of data sets that were made before there were others.
_FORMERLY = {"scenes": "shapes", "distractors": None}


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("output", None, "Directory to make.", **own)
    flags.DEFINE_enum("scenes", "shapes", ["shapes", "relations"], "What is shown.", **own)
    names = ["ucf101", "hmdb51", "charades"]
    flags.DEFINE_enum("layout", "ucf101", names, "Data set whose layout to write.", **own)
    # Fewer than 5 would all be of one group, and there would be no test list.
    help_text = "Clips of each class; in Charades's layout 2 to 4 make one video."
    flags.DEFINE_integer("videos_per_class", 375, help_text, 5, 100_000, **own)
    flags.DEFINE_integer("size", 64, "Width and height, pixels; even.", 32, 1024, **own)
    flags.DEFINE_integer("num_frames", 16, "Frames of each clip.", 2, 10_000, **own)
    flags.DEFINE_float(
        "camera", 0.3, "Farthest drift of the background in a clip, picture sides.", 0.0, **own
    )
    help_text = f"Shapes in the way of --scenes=relations; {_DISTRACTORS} if unset."
    flags.DEFINE_integer("distractors", None, help_text, 0, 10, **own)
    flags.DEFINE_integer("seed", 0, "Another seed draws other clips.", 0, **own)
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes that draw.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Draws the clips, unless they are there already."""
    if not values.output:
        raise UsageError("--output is required: the directory to make")
    if values.size % 2:
        raise UsageError(f"--size={values.size}: must be even, for video")
    own = _own_settings(values)
    settings = {name: values[name].value for name in _SETTINGS} | own
    output = os.path.abspath(values.output)
    if _is_complete(output, settings):
        print(f"{values.output} is complete already")
        return
    from rlstm_tf.storage.atomic import writing
    from tfrecords_tools.synthetic import clips, relations, shapes
    from tfrecords_tools.synthetic.layouts import LAYOUTS

    scenes: Any = relations if values.scenes == "relations" else shapes
    draw = functools.partial(
        scenes.scene,
        num_frames=values.num_frames,
        size=values.size,
        seed=values.seed,
        camera=values.camera,
        **own,
    )
    numbers = (values.videos_per_class, values.num_frames, values.seed)
    layout = LAYOUTS[values.layout](scenes.CLASSES, *numbers)
    with writing(values.output), _new_directory(output) as partial:
        _write_lists(partial, layout.lists)
        clips.write_videos(partial, layout.videos, draw, values.workers)
        with open(os.path.join(partial, SETTINGS), "w", encoding="utf-8") as file:
            json.dump(settings, file)
    num_train = len(layout.videos) - layout.num_test
    print(f"{values.output}: {num_train} videos to train, {layout.num_test} to test")


def _own_settings(values: flags.FlagValues) -> dict[str, Any]:
    """What these scenes have and others have not."""
    if values.scenes == "shapes":
        if values.distractors is not None:
            raise UsageError(f"--distractors={values.distractors} goes with --scenes=relations")
        return {}
    if values.num_frames < _LEAST_FRAMES:
        raise UsageError(
            f"--num_frames={values.num_frames}: --scenes=relations take {_LEAST_FRAMES} or more"
        )
    return {"distractors": _DISTRACTORS if values.distractors is None else values.distractors}


def _is_complete(output: str, settings: dict[str, Any]) -> bool:
    """Whether the data set is there; refuses what is there and is something else.

    Raises:
        DataError: the directory holds another data set, or no data set of ours.
    """
    if not os.path.lexists(output) or (os.path.isdir(output) and not os.listdir(output)):
        return False
    try:
        with open(os.path.join(output, SETTINGS), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{output} is there and is no demo data set: give another --output")
    found = _FORMERLY | found
    if found != settings:
        differ = {name: value for name, value in settings.items() if found.get(name) != value}
        asked = ", ".join(
            f"{name} {found.get(name)}, not {value}" for name, value in differ.items()
        )
        raise DataError(f"{output} was made with {asked}: give another --output, or delete it")
    return True


@contextlib.contextmanager
def _new_directory(output: str) -> Iterator[str]:
    """A directory beside `output` that takes its name when the context ends well.

    Raises:
        DataError: another process is making the same one.
    """
    partial = f"{output}.partial"
    os.makedirs(partial, exist_ok=True)
    lock = os.path.join(partial, "lock")
    with open(lock, "w") as file:
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{output} is being made by another process") from None
        for left in set(os.listdir(partial)) - {os.path.basename(lock)}:
            _remove(os.path.join(partial, left))
        yield partial
        os.remove(lock)
        # rename would replace an empty directory on its own, but only on POSIX.
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(output)
        os.rename(partial, output)


def _write_lists(directory: str, lists: dict[str, str]) -> None:
    for name, text in lists.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Line ends as they are: Charades's have CR.
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))
