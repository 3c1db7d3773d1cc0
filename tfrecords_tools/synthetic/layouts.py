"""The embedded data set in the layouts of UCF-101, HMDB-51 and Charades: its videos and lists.

Groups of clips with the same background are kept together. In UCF-101's and HMDB-51's layout split
1 tests the groups 2, 7, 12, ..., split 2 tests 3, 8, 13, ... and split 3 tests 4, 9, 14, ...: no
clip is in the test lists of two splits. Charades has one split, the first.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from tfrecords_tools.synthetic.clips import CLIPS_PER_GROUP, FPS, Clip, Video, plan

# Split -> the first group that it tests; then every fifth.
_FIRST_TESTED = {1: 2, 2: 3, 3: 4}
_EVERY = 5

_COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
_MOST_CLIPS = 4
# An interval that ends after its video ends so much after it, seconds.
_LATE = 1.0


@dataclass(frozen=True)
class Layout:
    """What a data set consists of; paths are below its directory.

    Attributes:
        videos: to draw.
        lists: path -> text of the files that say what is in the videos.
        num_test: number of videos that split 1 tests; it trains on all others.
    """

    videos: list[Video]
    lists: dict[str, str]
    num_test: int


@dataclass(frozen=True)
class _Recording:
    """One video of Charades, and what is said of it.

    Attributes:
        video: the file.
        group: of all its clips; the subject.
        actions: class, start and end in seconds.
    """

    video: Video
    group: int
    actions: list[tuple[str, float, float]]


def ucf101(classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int) -> Layout:
    """UCF-101: classes from 1 on; training lists with these numbers, test lists without.

    Lists of a split are there if it has something to test, as split 2 has from 9 clips of each
    class on, and split 3 from 13.

    Args:
        classes: their names.
        clips_per_class: number of videos of each class.
        num_frames, seed: the lists do not depend on them.
    """
    clips = plan(classes, clips_per_class)
    label = {name: place for place, name in enumerate(classes, start=1)}
    path = {
        clip: f"{clip.class_name}/v_{clip.class_name}_g{clip.group:02d}_c{clip.number:02d}.avi"
        for clip in clips
    }
    lists = {"classInd.txt": _text(f"{place} {name}" for name, place in label.items())}
    for split in _splits(clips):
        lists[f"trainlist{split:02d}.txt"] = _text(
            f"{path[clip]} {label[clip.class_name]}"
            for clip in clips
            if not _is_tested(clip.group, split)
        )
        lists[f"testlist{split:02d}.txt"] = _text(
            path[clip] for clip in clips if _is_tested(clip.group, split)
        )
    return Layout(
        [Video(f"videos/{path[clip]}", (clip,)) for clip in clips],
        {f"ucfTrainTestlist/{name}": text for name, text in lists.items()},
        sum(_is_tested(clip.group, 1) for clip in clips),
    )


def hmdb51(classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int) -> Layout:
    """HMDB-51: a list for each class and split, of file names with 1 (train) or 2 (test).

    The names are built like HMDB-51's, brackets included: source, class, visible parts, camera,
    people, view, quality, number of the clip in its source. Splits as in `ucf101`.

    Args:
        classes: their names.
        clips_per_class: number of videos of each class.
        num_frames, seed: the lists do not depend on them.
    """
    clips = plan(classes, clips_per_class)
    folder = {name: re.sub("(?<=.)(?=[A-Z])", "_", name).lower() for name in classes}
    path = {
        clip: f"Two_Shapes_({clip.group:02d})_{folder[clip.class_name]}"
        f"_f_nm_np2_fr_goo_{clip.number - 1}.avi"
        for clip in clips
    }
    lists = {
        f"testTrainMulti_7030_splits/{folder[name]}_test_split{split}.txt": _text(
            f"{path[clip]} {2 if _is_tested(clip.group, split) else 1} "
            for clip in clips
            if clip.class_name == name
        )
        for split in _splits(clips)
        for name in classes
    }
    return Layout(
        [Video(f"videos/{folder[clip.class_name]}/{path[clip]}", (clip,)) for clip in clips],
        lists,
        sum(_is_tested(clip.group, 1) for clip in clips),
    )


def charades(classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int) -> Layout:
    """Charades: videos of 2 to 4 clips of different classes, each clip an action interval.

    The groups are the subjects. Every clip is in one video and is one interval, so that there are
    `clips_per_class` intervals of each class. As in the genuine files, some intervals end after
    their video does; one more, in a training video, starts at its end and ends at its start; and
    one more video in each list has no action listed.

    Args:
        classes: their names.
        clips_per_class: number of clips of each class in all videos together.
        num_frames: of each clip.
        seed: another seed puts other clips together.
    """
    recordings = list(_recordings(classes, clips_per_class, num_frames, seed))
    train = [recording for recording in recordings if not _is_tested(recording.group, 1)]
    test = [recording for recording in recordings if _is_tested(recording.group, 1)]
    lists = {
        "Charades/Charades_v1_classes.txt": _text(
            f"c{number:03d} {name}" for number, name in enumerate(classes)
        ),
        "Charades/Charades_v1_train.csv": _table(classes, train, num_frames),
        "Charades/Charades_v1_test.csv": _table(classes, test, num_frames),
    }
    return Layout([recording.video for recording in recordings], lists, len(test))


LAYOUTS: dict[str, Callable[[Sequence[str], int, int, int], Layout]] = {
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "charades": charades,
}


def _is_tested(group: int, split: int) -> bool:
    return group % _EVERY == _FIRST_TESTED[split]


def _splits(clips: Sequence[Clip]) -> list[int]:
    """The splits that have something to test."""
    return [
        split for split in _FIRST_TESTED if any(_is_tested(clip.group, split) for clip in clips)
    ]


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _recordings(
    classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int
) -> Iterator[_Recording]:
    """Those without actions first, so that of two sets one begins like the other."""
    duration = num_frames / FPS
    index = 0
    # A training and a test subject; the clips are in no other video.
    for group in (1, 2):
        clips = tuple(Clip(name, group, CLIPS_PER_GROUP + 1) for name in classes[:_MOST_CLIPS])
        yield _Recording(_numbered(index, clips), group, [])
        index += 1
    for row in range(clips_per_class):
        group, number = row // CLIPS_PER_GROUP + 1, row % CLIPS_PER_GROUP + 1
        # The last number is no class: a generator that draws no clip.
        rng = np.random.default_rng((seed, group, number, len(classes)))
        for place, names in enumerate(_dealt(classes, rng)):
            clips = tuple(Clip(name, group, number) for name in names)
            actions = [
                (name, start * duration, (start + 1) * duration) for start, name in enumerate(names)
            ]
            name, start, end = actions[-1]
            if place == 0:
                actions[-1] = (name, start, end + _LATE)
            elif row == 0 and place == 1:
                actions.append((name, end, start))
            yield _Recording(_numbered(index, clips), group, actions)
            index += 1


def _dealt(classes: Sequence[str], rng: np.random.Generator) -> Iterator[list[str]]:
    """All classes, in an order that is drawn, in parts of 2 to 4."""
    names = [str(name) for name in rng.permutation(classes)]
    while names:
        sizes = range(2, min(_MOST_CLIPS, len(names)) + 1)
        size = rng.choice([size for size in sizes if len(names) - size != 1])
        yield names[:size]
        names = names[size:]


def _numbered(index: int, clips: tuple[Clip, ...]) -> Video:
    # The factor has no divisor in common with 36, so that no id comes twice; they look as drawn.
    name = np.base_repr((index + 1) * 27_644_437 % 36**5, 36).zfill(5)
    return Video(f"Charades_v1_480/{name}.mp4", clips)


def _table(classes: Sequence[str], recordings: list[_Recording], num_frames: int) -> str:
    number = {name: f"c{place:03d}" for place, name in enumerate(classes)}
    file = io.StringIO()
    # The genuine lines end in CR LF.
    rows = csv.DictWriter(file, _COLUMNS.split(","), lineterminator="\r\n")
    rows.writeheader()
    for recording in recordings:
        names = [clip.class_name for clip in recording.video.clips]
        rows.writerow(
            {
                "id": PurePosixPath(recording.video.path).stem,
                "subject": f"S{recording.group:03d}",
                "scene": "Studio",
                "quality": 7,
                "relevance": 7,
                "verified": "Yes",
                "script": f"A red and a blue shape: {', '.join(names)}.",
                "objects": "shape/red;shape/blue",
                "descriptions": ";".join(names),
                "actions": ";".join(
                    f"{number[name]} {start:.2f} {end:.2f}"
                    for name, start, end in recording.actions
                ),
                "length": f"{len(names) * num_frames / FPS:.2f}",
            }
        )
    return file.getvalue()
