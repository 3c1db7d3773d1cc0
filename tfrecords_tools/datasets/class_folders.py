"""Lists a directory of videos with one folder per class, with or without folders of subsets above.

A video is a file, or a folder of its pictures:

    CLASS/VIDEO.mp4
    CLASS/VIDEO/img_00001.jpg
    SUBSET/CLASS/...
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlstm_tf.data.video_names import is_hidden_name, is_picture_name, is_video_name
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import file_sizes, is_directory, list_directory
from tfrecords_tools.datasets.dataset import require_class_name

# Names of folders above the classes, in small letters.
_SUBSETS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LAYOUTS = (
    "understood are CLASS/VIDEO.mp4, CLASS/VIDEO/img_00001.jpg, and the same below train/ val/ "
    "test/ with no other folder beside these (docs/records.md)"
)
_EXAMPLES = 2
# Reasons to pass over a path, as they follow a count.
_HIDDEN = "hidden"
_OUTSIDE = "beside the class folders"
_SUFFIX = "without the suffix of a video"
_DEEP = "with videos a level too deep"
_PICTURE = "pictures that are not in a folder of one video"
_BESIDE = "beside the pictures of a video"
_FOLDER = "with neither videos nor pictures"


class FolderVideo(NamedTuple):
    """A video file, or a folder of pictures, in the folder of its class.

    Attributes:
        id: path relative to the directory of all videos.
        path: path or URL.
        label: name of its class.
        subset: `train`, `val` or `test`; "" if no folder says which.
    """

    id: str
    path: str
    label: str
    subset: str


def list_class_folders(directory: str) -> tuple[list[FolderVideo], dict[str, list[str]]]:
    """Lists the videos of all classes.

    If every folder has a name of a subset, the classes are the folders below these.

    Args:
        directory: local or remote.

    Returns:
        The videos; and for each reason to pass something over, the paths, relative to `directory`.

    Raises:
        DataError: there is no class, a class has no video, a name is not UTF-8, or what has the
            name of a video or class is neither a file nor a directory.
    """
    passed_over: dict[str, list[str]] = {}
    folders = _list_folders(directory, "", passed_over)
    subsets = {name: _SUBSETS.get(name.lower(), "") for name in folders}
    classes = {name: (name, "") for name in folders}
    if all(subsets.values()):
        classes = {
            f"{folder}/{label}": (label, subset)
            for folder, subset in subsets.items()
            for label in _list_folders(directory, folder, passed_over)
        }
    if not classes:
        what = describe_passed_over(passed_over)
        raise DataError(f"no class folder in {directory}{what and f', only {what}'}; {_LAYOUTS}")
    for folder, (label, _) in classes.items():
        require_class_name(label, os.path.join(directory, folder))
    videos = [
        FolderVideo(_require_utf8(path), os.path.join(directory, path), *class_and_subset)
        for folder, class_and_subset in classes.items()
        for path in _list_class(directory, folder, passed_over)
    ]
    found = {video.label for video in videos}
    for folder, (label, _) in classes.items():
        # Not every subset needs every class.
        if label not in found:
            own = {
                reason: [path for path in paths if path.startswith(f"{folder}/")]
                for reason, paths in passed_over.items()
            }
            what = describe_passed_over(own)
            raise DataError(
                f"class {label!r} is empty: no video in {os.path.join(directory, folder)}"
                f"{what and f', only {what}'}; {_LAYOUTS}"
            )
    return videos, passed_over


def describe_passed_over(passed_over: Mapping[str, Sequence[str]]) -> str:
    """Returns how many paths were passed over for each reason, with examples; "" for none."""
    return "; ".join(
        f"{len(paths)} {reason} "
        f"({', '.join(paths[:_EXAMPLES])}{', ...' if len(paths) > _EXAMPLES else ''})"
        for reason, paths in passed_over.items()
        if paths
    )


def _list_folders(directory: str, folder: str, passed_over: dict[str, list[str]]) -> list[str]:
    """Returns the names of the folders in a folder that should hold nothing else."""
    names = []
    for name in list_directory(os.path.join(directory, folder)):
        path = os.path.join(folder, name)
        if is_hidden_name(name):
            passed_over.setdefault(_HIDDEN, []).append(path)
        elif is_directory(os.path.join(directory, path)):
            names.append(name)
        elif file_sizes([os.path.join(directory, path)]) == [None]:
            raise _not_a_file(os.path.join(directory, path))
        else:
            passed_over.setdefault(_OUTSIDE, []).append(path)
    return names


def _list_class(directory: str, folder: str, passed_over: dict[str, list[str]]) -> list[str]:
    """Returns the paths of the videos in the folder of a class, relative to the directory."""
    paths = [os.path.join(folder, name) for name in list_directory(os.path.join(directory, folder))]
    sizes = file_sizes([os.path.join(directory, path) for path in paths])
    videos = []
    for path, size in zip(paths, sizes):
        name, place = os.path.basename(path), os.path.join(directory, path)
        reason = ""
        if is_hidden_name(name):
            reason = _HIDDEN
        elif size is None and is_directory(place):
            names = [one for one in list_directory(place) if not is_hidden_name(one)]
            others = [one for one in names if not is_picture_name(one)]
            if any(map(is_video_name, others)):
                reason = _DEEP
            elif len(others) == len(names):
                reason = _FOLDER
            elif others:
                inner = [os.path.join(path, one) for one in others]
                passed_over.setdefault(_BESIDE, []).extend(inner)
        elif not is_video_name(name):
            reason = _PICTURE if is_picture_name(name) else _SUFFIX
        elif size is None:
            raise _not_a_file(place)
        if reason:
            passed_over.setdefault(reason, []).append(path)
        else:
            videos.append(path)
    return videos


def _not_a_file(path: str) -> DataError:
    # Ignoring it, as after a failed mount, would silently give a smaller data set.
    if os.path.islink(path) and not os.path.exists(path):
        return DataError(f"{path} is a link to {os.readlink(path)}, which does not exist")
    return DataError(f"{path} is neither a file nor a directory")


def _require_utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"a file name is not UTF-8: {name!r}") from None
    return name
