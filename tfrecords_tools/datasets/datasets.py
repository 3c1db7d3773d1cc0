"""UCF-101 and HMDB-51: official split files -> the list of videos of each subset.

Both readers take the files as their authors published them: CRLF or LF, trailing spaces, and test
lists without labels. What does not fit is refused with file and line.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import is_directory, list_directory, open_text, sizes

_NAMED_IN_ERRORS = 3


@dataclass(frozen=True)
class Action:
    """A label of a video, and when it holds.

    Attributes:
        label: position in the class list.
        start: seconds.
        end: seconds, None = to the end of the video. Not after `start`: the video has the label,
            but there is nothing to train on.
    """

    label: int
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Video:
    """One video and its labels.

    Attributes:
        id: unique in the data set; the path below the directory of videos.
        path: of the file.
        actions: exactly one for the whole video, unless the data set is multi-label.
        subset: `train`, `val` or `test`.
        group: what it must not be parted from, training and validation apart: the source it was
            cut from, the person in it.
    """

    id: str
    path: str
    actions: tuple[Action, ...]
    subset: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """Videos, and the names of their classes in the order of the labels.

    Attributes:
        name: of the data set.
        split: number of the official split, 0 where there is none.
        classes: class names; every one has at least one video listed.
        videos: in the order listed.
        missing: ids of listed videos without a file.
        passed_over: number of files beside the videos that are none.
        multi_label: a video has any number of actions, and none.
        notes: counts of what the reader clipped or left out, by name.
    """

    name: str
    split: int
    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    missing: tuple[str, ...] = ()
    passed_over: int = 0
    multi_label: bool = False
    notes: dict[str, int] = field(default_factory=dict)


def ucf101(videos: str, splits: str, split: int) -> Dataset:
    """Reads `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`.

    Args:
        videos: directory with one folder a class (`UCF-101`).
        splits: directory of the split files (`ucfTrainTestlist`).
        split: 1, 2 or 3.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    class_file = os.path.join(splits, "classInd.txt")
    classes = _numbered_classes(class_file)
    labels = {name: label for label, name in enumerate(classes)}
    listed: dict[str, Video] = {}
    for subset in ("train", "test"):
        list_file = os.path.join(splits, f"{subset}list{split:02d}.txt")
        for where, line in lines(list_file):
            video_id, *number = line.rsplit(maxsplit=1) if re.search(r"\s\d+$", line) else (line,)
            name = _folder_of(video_id, where)
            if name not in labels:
                raise DataError(f"{where}: no class {name!r} in {class_file}")
            if number and int(number[0]) != labels[name] + 1:
                raise DataError(
                    f"{where}: label {number[0]} for class {name!r}, "
                    f"which is {labels[name] + 1} of {len(classes)} in {class_file}"
                )
            # v_HighJump_g01_c02.avi: clip 2 of source group 1.
            group = re.sub(r"_c\d+\.\w+$", "", os.path.basename(video_id))
            path, actions = os.path.join(videos, video_id), (Action(labels[name]),)
            add(listed, Video(video_id, path, actions, subset, group), where)
    return checked(Dataset("ucf101", split, classes, tuple(listed.values())), class_file)


def hmdb51(videos: str, splits: str, split: int) -> Dataset:
    """Reads `<class>_test_split<n>.txt` of every class; classes are in alphabetical order.

    A line is a file name and 1 (train), 2 (test) or 0 (not used in this split).

    Args:
        videos: directory with one folder a class.
        splits: directory of the split files (`testTrainMulti_7030_splits`).
        split: 1, 2 or 3.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    pattern = re.compile(rf"(.+)_test_split{split}\.txt")
    matches = [pattern.fullmatch(name) for name in list_directory(splits)]
    classes = tuple(sorted(match[1] for match in matches if match))
    if not classes:
        raise DataError(f"no file *_test_split{split}.txt in {splits}")
    listed: dict[str, Video] = {}
    for label, name in enumerate(classes):
        for where, line in lines(os.path.join(splits, f"{name}_test_split{split}.txt")):
            file_name, *use = line.rsplit(maxsplit=1)
            if not use or use[0] not in ("0", "1", "2") or "/" in file_name:
                raise DataError(f"{where}: must be a file name and 0, 1 or 2, found {line!r}")
            if use[0] != "0":
                video_id = f"{name}/{file_name}"
                subset = "train" if use[0] == "1" else "test"
                path = os.path.join(videos, name, file_name)
                # The name of what the clip was cut from stands before its class.
                group = file_name.rsplit(f"_{name}_", 1)[0]
                add(listed, Video(video_id, path, (Action(label),), subset, group), where)
    return checked(Dataset("hmdb51", split, classes, tuple(listed.values())), splits)


def without_missing(dataset: Dataset, allow_missing: bool) -> Dataset:
    """Moves videos whose file is not there to `missing`.

    Raises:
        DataError: some are missing and that is not allowed, or all are.
    """
    found_sizes = sizes([video.path for video in dataset.videos])
    there = tuple(video for video, size in zip(dataset.videos, found_sizes) if size is not None)
    found = {video.id for video in there}
    missing = tuple(video.id for video in dataset.videos if video.id not in found)
    if missing and not (allow_missing and there):
        first = next(video for video in dataset.videos if video.id not in found)
        names = ", ".join(missing[:_NAMED_IN_ERRORS]) + (
            ", ..." if len(missing) > _NAMED_IN_ERRORS else ""
        )
        hint = "; --allow_missing builds without them" if there else ""
        raise DataError(
            f"{len(missing)} of {len(dataset.videos)} listed videos are not there: {names} "
            f"(looked for {first.path}){hint}"
        )
    return replace(dataset, videos=there, missing=missing)


def with_validation(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Moves a share of the training videos to the subset `val`, whole groups at once.

    Videos of one group stay together, so that validation does not see what was trained on.

    Args:
        dataset: with a subset `train`.
        share: 0..1 of each class, of all videos if multi-label, to the nearest whole group.
        seed: another seed, another choice.
    """
    training = [video for video in dataset.videos if video.subset == "train"]
    held = held_out(training, share, f"val {seed}", by_class=not dataset.multi_label)
    return replace(
        dataset,
        videos=tuple(
            replace(video, subset="val") if video.id in held else video for video in dataset.videos
        ),
    )


def held_out(videos: Iterable[Video], share: float, salt: str, by_class: bool = True) -> set[str]:
    """Ids of about `share` of each class, or of all videos, whole groups at once.

    Groups are taken in the order of a hash of their names: the choice does not depend on the order
    of the videos, and one more video does not deal the others anew. Where a class (all videos) has
    two groups or more, at least one is taken and at least one is left.
    """
    if not share:
        return set()
    strata: dict[int, dict[str, list[str]]] = {}
    for video in videos:
        stratum = video.actions[0].label if by_class else 0
        strata.setdefault(stratum, {}).setdefault(video.group, []).append(video.id)
    held: set[str] = set()
    for groups in strata.values():
        wanted = share * sum(map(len, groups.values()))
        order = sorted(groups, key=lambda name: hashlib.sha256(f"{salt}\0{name}".encode()).digest())
        taken = 0
        for name in order[: len(order) - 1]:
            # The last group is taken if that comes closer to the share than leaving it.
            if taken and taken + len(groups[name]) / 2 > wanted:
                break
            held.update(groups[name])
            taken += len(groups[name])
    return held


def require_directories(*directories: str) -> None:
    """Raises DataError with the name of the first that is not there."""
    for directory in directories:
        if not is_directory(directory):
            raise DataError(f"no such directory: {directory}")


def lines(path: str) -> Iterator[tuple[str, str]]:
    """`path:number` and text of the lines that are not blank, without space around them.

    Raises:
        DataError: the file cannot be read, or is no text.
    """
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line.strip()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None


def _numbered_classes(path: str) -> tuple[str, ...]:
    classes: list[str] = []
    for where, line in lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name.strip():
            raise DataError(f"{where}: must be {len(classes) + 1} and a class name, found {line!r}")
        if name.strip() in classes:
            raise DataError(f"{where}: class {name.strip()!r} is there already")
        classes.append(name.strip())
    return tuple(classes)


def _folder_of(video_id: str, where: str) -> str:
    folder, _, name = video_id.partition("/")
    # A list from elsewhere must not lead out of the directory of videos.
    if not name or "/" in name or folder in ("", ".", "..") or name in (".", ".."):
        raise DataError(f"{where}: must be <class>/<file name>, found {video_id!r}")
    return folder


def add(listed: dict[str, Video], video: Video, where: str) -> None:
    """Lists a video under its id.

    Raises:
        DataError: the id is listed already; begins with `where`, the file and line.
    """
    if video.id in listed:
        raise DataError(
            f"{where}: {video.id} is listed twice ({listed[video.id].subset} and {video.subset})"
        )
    listed[video.id] = video


def checked(dataset: Dataset, where: str) -> Dataset:
    """The data set itself, if each of its classes has a video.

    Raises:
        DataError: one has none; begins with `where`, the file or directory that names the classes.
    """
    labels = {action.label for video in dataset.videos for action in video.actions}
    empty = [name for label, name in enumerate(dataset.classes) if label not in labels]
    if empty or not dataset.classes:
        names = ", ".join(empty[:_NAMED_IN_ERRORS]) or "none named"
        raise DataError(f"{where}: classes without a video in split {dataset.split}: {names}")
    return dataset
