"""A bulk prediction, from its list of videos to its manifest.

Independent of Beam. The workers communicate through files in the output directory (`job`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rlstm_tf.bulk.job import LIST, WORK, Job, Portion, publish
from rlstm_tf.bulk.network import Network
from rlstm_tf.cli.terminal import counted_progress
from rlstm_tf.data.schema import join
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage import files
from rlstm_tf.storage.atomic import PARTIAL, writing
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.json_values import read_json
from rlstm_tf.storage.locks import lock_file

MANIFEST = "manifest.json"
# A portion is what a killed worker does again: it has at most so many videos, and at least so many
# that its files are worth their names. Between, the portions are enough for any number of workers.
_LARGEST, _SMALLEST, _MANY = 1000, 16, 256


class Counts(NamedTuple):
    """Videos of a finished job, and how many of them have no answer."""

    videos: int
    failed: int


def predict(
    videos: Sequence[str],
    output: str,
    network: Network,
    batch_size: int | None,
    video_stream: int | None,
    run: Callable[[Job, list[Portion]], None],
) -> Counts:
    """Answers all videos that have no answer yet.

    Args:
        videos: paths, from `video_list.list_videos`.
        output: directory, local or remote; created if missing.
        network: the network.
        batch_size, video_stream: as in `Job`.
        run: calls `portion.answer` and `Job.publish` for each portion, on any machines.

    Raises:
        DataError: a file cannot be read or written, the directory is in use or holds something
            else, or portions were not finished.
    """
    identity: dict[str, Any] = {
        "videos": len(videos),
        "videos_sha256": _digest(videos),
        "model": network.source,
        "model_sha256": network.sha256,
        "video_stream": video_stream,
        "portion_size": min(_LARGEST, max(_SMALLEST, -(-len(videos) // _MANY))),
    }
    with _reserve(output):
        identity = _settle(output, identity)
        manifest = _read(join(output, MANIFEST))
        if manifest is not None:
            say(f"{output} is complete already")
            return Counts(manifest["videos"], manifest["failed"])
        portions = _write_list(videos, output, identity["portion_size"])
        job = Job(output, len(portions), network.source, batch_size, video_stream)
        present = set(files.list_directory(output))
        waiting = [
            portion
            for portion in portions
            if os.path.basename(job.results(portion.number)) not in present
        ]
        if waiting:
            with counted_progress(
                lambda: _count_finished(job), job.num_portions, "predict", "portions"
            ):
                run(job, waiting)
        return _finish(job, identity, network.metadata.classes)


def _digest(videos: Sequence[str]) -> str:
    """Returns the sha256 of the places of the videos, wherever the command is run."""
    digest = hashlib.sha256()
    for path in videos:
        place = path if files.is_remote(path) else os.path.abspath(path)
        digest.update(place.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def _reserve(output: str) -> Iterator[None]:
    """Keeps other jobs of this machine out of a local directory while the context lasts.

    Two jobs of the same list and network would do no harm, and others are refused.
    """
    work = join(output, WORK)
    if not files.is_directory(work):
        if files.is_directory(output) and files.list_directory(output):
            raise DataError(f"{output} holds other files: give another --output")
        with writing(output):
            # A store would load TensorFlow, which only workers need.
            make = files.make_directory if files.is_remote(output) else os.makedirs
            make(work)
    if files.is_remote(output):
        yield
        return
    with writing(work):
        lock = lock_file(join(work, "lock"), f"{output} is in use by another job")
    with lock:
        for directory in (output, work):
            for name in files.list_directory(directory):
                # Of killed workers.
                if name.endswith(PARTIAL):
                    with writing(output), contextlib.suppress(FileNotFoundError):
                        os.remove(join(directory, name))
        yield


def _settle(output: str, identity: dict[str, Any]) -> dict[str, Any]:
    """Writes what a new job is of, or compares it with what is there, which it returns."""
    path = join(join(output, WORK), "job.json")
    found = _read(path)
    if found is None:
        publish(path, json.dumps(with_checksum(identity), indent=1) + "\n")
        return identity
    held = f"{output} holds predictions"
    if found["videos_sha256"] != identity["videos_sha256"]:
        raise DataError(
            f"{held} for another list of videos, {found['videos']}, not {identity['videos']}: "
            "give another --output"
        )
    if found["model_sha256"] != identity["model_sha256"]:
        raise DataError(f"{held} by another network, {found['model']}: give another --output")
    if found["video_stream"] != identity["video_stream"]:
        raise DataError(
            f"{held} with --video_stream={found['video_stream']}: give another --output"
        )
    return found


def _read(path: str) -> dict[str, Any] | None:
    values = read_json(path)
    return None if values is None else verify_checksum(values, path)


def _write_list(videos: Sequence[str], output: str, portion_size: int) -> list[Portion]:
    portions: list[Portion] = []
    parts: list[str] = []
    offset = 0
    for start in range(0, len(videos), portion_size):
        some = videos[start : start + portion_size]
        parts.append("".join(f"{json.dumps(path)}\n" for path in some))
        # ASCII, so that characters are bytes.
        portions.append(Portion(len(portions), len(some), offset, len(parts[-1])))
        offset += len(parts[-1])
    publish(join(join(output, WORK), LIST), "".join(parts))
    return portions


def _count_finished(job: Job) -> int:
    names = {os.path.basename(job.results(number)) for number in range(job.num_portions)}
    return len(names & set(files.list_directory(job.output)))


def _finish(job: Job, identity: dict[str, Any], classes: list[str]) -> Counts:
    """Checks that all portions are finished, and writes the manifest."""
    present = set(files.list_directory(job.output))
    paths = [job.results(number) for number in range(job.num_portions)]
    missing = [path for path in paths if os.path.basename(path) not in present]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} portions were not finished, "
            f"the first {missing[0]}: run the same command again"
        )
    failed = 0
    for number in range(job.num_portions):
        path = job.failed(number)
        if os.path.basename(path) in present:
            try:
                failed += files.read_text(path).count("\n")
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}") from None
    values = {**identity, "failed": failed, "portions": len(paths), "classes": classes}
    publish(join(job.output, MANIFEST), json.dumps(with_checksum(values), indent=1) + "\n")
    return Counts(identity["videos"], failed)
