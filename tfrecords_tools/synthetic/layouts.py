"""Arranges clips in the layouts of UCF-101, HMDB-51 and Charades: videos and annotation files.

Clips of a group, which share their background, are in the same subset. In the layouts of UCF-101
and HMDB-51, the test set is groups 2, 7, 12, ... in split 1, 3, 8, 13, ... in split 2 and 4, 9, 14,
... in split 3, so that no clip is in two test sets. Charades has only the first split.

The functions take class names, the number of clips of each class, the number of frames of a clip,
and the seed; only the layout of Charades depends on the last two.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from tfrecords_tools.synthetic.clips import CLIPS_PER_GROUP, FPS, Clip, Video, list_clips

# Split -> the first group of its test set; then every fifth.
_FIRST_TESTED = {1: 2, 2: 3, 3: 4}
_EVERY = 5

_COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
_MOST_CLIPS = 4
# Seconds by which some intervals exceed their video.
_LATE = 1.0


@dataclass(frozen=True)
class Layout:
    """The files of a data set; paths are relative to its directory.

    Attributes:
        videos: videos to draw.
        lists: text of each annotation file, by path.
        num_test: number of test videos in split 1; it trains on all others.
    """

    videos: list[Video]
    lists: dict[str, str]
    num_test: int


@dataclass(frozen=True)
class _Recording:
    """A video of Charades with its annotations."""

    video: Video
    group: int  # group of all its clips; serves as the subject
    actions: list[tuple[str, float, float]]  # class, start and end in seconds


def arrange_ucf101(
    classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int
) -> Layout:
    """Arranges clips as UCF-101: class numbers from 1; test lists without class numbers.

    Writes the lists of a split only if it has a test set: split 2 from 9 clips of each class,
    split 3 from 13.
    """
    clips = list_clips(classes, clips_per_class)
    label = {name: place for place, name in enumerate(classes, start=1)}
    path = {
        clip: f"{clip.class_name}/v_{clip.class_name}_g{clip.group:02d}_c{clip.number:02d}.avi"
        for clip in clips
    }
    lists = {"classInd.txt": _join_lines(f"{place} {name}" for name, place in label.items())}
    for split in _splits(clips):
        lists[f"trainlist{split:02d}.txt"] = _join_lines(
            f"{path[clip]} {label[clip.class_name]}"
            for clip in clips
            if not _is_tested(clip.group, split)
        )
        lists[f"testlist{split:02d}.txt"] = _join_lines(
            path[clip] for clip in clips if _is_tested(clip.group, split)
        )
    return Layout(
        [Video(f"videos/{path[clip]}", (clip,)) for clip in clips],
        {f"ucfTrainTestlist/{name}": text for name, text in lists.items()},
        sum(_is_tested(clip.group, 1) for clip in clips),
    )


def arrange_hmdb51(
    classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int
) -> Layout:
    """Arranges clips as HMDB-51: a list for each class and split, with 1 (train) or 2 (test).

    File names follow HMDB-51, including parentheses: source, class, visible parts, camera, people,
    view, quality, number of the clip in its source. Splits are as in UCF-101's layout.
    """
    clips = list_clips(classes, clips_per_class)
    folder = {name: re.sub("(?<=.)(?=[A-Z])", "_", name).lower() for name in classes}
    path = {
        clip: f"Two_Shapes_({clip.group:02d})_{folder[clip.class_name]}"
        f"_f_nm_np2_fr_goo_{clip.number - 1}.avi"
        for clip in clips
    }
    lists = {
        f"testTrainMulti_7030_splits/{folder[name]}_test_split{split}.txt": _join_lines(
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


def arrange_charades(
    classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int
) -> Layout:
    """Arranges clips as Charades: videos of 2 to 4 clips of different classes.

    Each clip is one action interval in one video; its group is the subject. As in the genuine
    files, some intervals end after their video; one more interval, in a training video, ends before
    it starts; and one more video in each list has no action. The seed selects the combinations.
    """
    recordings = list(_recordings(classes, clips_per_class, num_frames, seed))
    train = [recording for recording in recordings if not _is_tested(recording.group, 1)]
    test = [recording for recording in recordings if _is_tested(recording.group, 1)]
    lists = {
        "Charades/Charades_v1_classes.txt": _join_lines(
            f"c{number:03d} {name}" for number, name in enumerate(classes)
        ),
        "Charades/Charades_v1_train.csv": _write_table(classes, train, num_frames),
        "Charades/Charades_v1_test.csv": _write_table(classes, test, num_frames),
    }
    return Layout([recording.video for recording in recordings], lists, len(test))


LAYOUTS: dict[str, Callable[[Sequence[str], int, int, int], Layout]] = {
    "ucf101": arrange_ucf101,
    "hmdb51": arrange_hmdb51,
    "charades": arrange_charades,
}


def _is_tested(group: int, split: int) -> bool:
    return group % _EVERY == _FIRST_TESTED[split]


def _splits(clips: Sequence[Clip]) -> list[int]:
    """Returns the splits with a test set."""
    return [
        split for split in _FIRST_TESTED if any(_is_tested(clip.group, split) for clip in clips)
    ]


def _join_lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _recordings(
    classes: Sequence[str], clips_per_class: int, num_frames: int, seed: int
) -> Iterator[_Recording]:
    """Yields the videos; those without actions first, so that a larger set begins the same."""
    duration = num_frames / FPS
    index = 0
    # One training and one test subject; their clips are in no other video.
    for group in (1, 2):
        clips = tuple(Clip(name, group, CLIPS_PER_GROUP + 1) for name in classes[:_MOST_CLIPS])
        yield _Recording(_make_video(index, clips), group, [])
        index += 1
    for row in range(clips_per_class):
        group, number = row // CLIPS_PER_GROUP + 1, row % CLIPS_PER_GROUP + 1
        # The last number is not a label, so that no clip shares this generator.
        rng = np.random.default_rng((seed, group, number, len(classes)))
        for place, names in enumerate(_deal(classes, rng)):
            clips = tuple(Clip(name, group, number) for name in names)
            actions = [
                (name, start * duration, (start + 1) * duration) for start, name in enumerate(names)
            ]
            name, start, end = actions[-1]
            if place == 0:
                actions[-1] = (name, start, end + _LATE)
            elif row == 0 and place == 1:
                actions.append((name, end, start))
            yield _Recording(_make_video(index, clips), group, actions)
            index += 1


def _deal(classes: Sequence[str], rng: np.random.Generator) -> Iterator[list[str]]:
    """Shuffles the classes and yields them in chunks of 2 to 4."""
    names = [str(name) for name in rng.permutation(classes)]
    while names:
        sizes = range(2, min(_MOST_CLIPS, len(names)) + 1)
        size = rng.choice([size for size in sizes if len(names) - size != 1])
        yield names[:size]
        names = names[size:]


def _make_video(index: int, clips: tuple[Clip, ...]) -> Video:
    # The factor is coprime to 36, so that ids are unique; they look random.
    name = np.base_repr((index + 1) * 27_644_437 % 36**5, 36).zfill(5)
    return Video(f"Charades_v1_480/{name}.mp4", clips)


def _write_table(classes: Sequence[str], recordings: list[_Recording], num_frames: int) -> str:
    number = {name: f"c{place:03d}" for place, name in enumerate(classes)}
    file = io.StringIO()
    # As in the genuine files.
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
