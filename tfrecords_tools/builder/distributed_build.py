"""A build by many machines, or into a store: what the one that starts it does, and each shard's.

Nothing here knows Beam. All that the machines tell each other stands in the output directory: which
videos go into which shard (`.build/shards.jsonl`), and of each finished shard what is in it
(`.build/NAME.json`), from which the manifest is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import PARTIAL, cannot_write, writing
from rlstm_tf.storage.files import (
    copy,
    is_remote,
    list_directory,
    move,
    open_file,
    remove,
    sizes,
    write_text,
)
from rlstm_tf.storage.json_values import parsed, sealed, unsealed
from tfrecords_tools.builder.lease import claimed
from tfrecords_tools.builder.local_build import finished, make_manifest, note_path, note_text
from tfrecords_tools.builder.output_directory import BUILD, PLAN
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import Place
from tfrecords_tools.builder.shard_builder import LEFT_OUT, Made, ShardWork, put_together
from tfrecords_tools.datasets.dataset import Action, Video

_LIST = "shards.jsonl"
_SECONDS_BETWEEN_LOOKS = 5.0
_READ_AT_ONCE = 32


class Line(NamedTuple):
    """Where the videos of a shard are listed: bytes of the list."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Job:
    """What all shards have in common.

    Attributes:
        output: directory, local or remote.
        classes: names; a label is the position in them.
        settings: of the plan.
        workers: processes that decode a shard.
        left_out: ids of videos to take for damaged.
    """

    output: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    workers: int
    left_out: tuple[str, ...] = ()


def build(
    plan: Plan,
    output: str,
    workers: int,
    stored: Mapping[str, Place],
    left_out: Sequence[str],
    make: Callable[[Job, list[Line]], None],
) -> schema.Manifest:
    """Does what is left to do of a plan.

    Args:
        plan: see there.
        output: directory, local or remote.
        workers: processes that decode a shard.
        stored: where finished shards hold images of a video, by its id.
        left_out: ids of videos to take for damaged.
        make: makes all shards, each by `make_shard`, wherever it likes.

    Raises:
        DataError: something cannot be read or written, or another has the directory.
    """
    with claimed(output, plan.identity) as claim:
        if claim.manifest is not None:
            print(f"{output} is complete already")
            return claim.manifest
        lines = write_list(plan, output, stored)
        of_all = Job(output, plan.dataset.classes, plan.settings, workers, tuple(left_out))
        with progress(plan, output):
            make(of_all, lines)
        return finish(plan, output, claim.check)


def one_after_the_other(job: Job, lines: list[Line]) -> None:
    """Makes all shards in this process."""
    for line in lines:
        make_shard(job, line)


def write_list(plan: Plan, output: str, stored: Mapping[str, Place]) -> list[Line]:
    """Writes down which videos go into which shard; a job of millions would not carry it all.

    Args:
        plan: see there.
        output: directory, claimed for this plan.
        stored: where finished shards hold images of a video, by its id.

    Returns:
        Where each shard's videos are listed.

    Raises:
        DataError: it cannot be written.
    """
    lines: list[Line] = []
    texts: list[str] = []
    offset = 0
    for name, videos in plan.shards.items():
        rows = [
            (*astuple(video), astuple(stored[video.id]) if video.id in stored else None)
            for video in videos
        ]
        texts.append(json.dumps(sealed({"videos": rows})) + "\n")
        lines.append(Line(name, offset, len(texts[-1])))
        offset += len(texts[-1])
    path = _list_path(output)
    with writing(path):
        write_text(path, "".join(texts))
    return lines


def make_shard(job: Job, line: Line) -> None:
    """Makes a shard, unless that was done: here first, then copied beside its place and renamed.

    Raises:
        DataError: something cannot be read or written, or the directory is another plan's by now.
    """
    plan = job.settings["plan"]
    if finished(job.output, line.name, plan):
        return
    videos, stored = _read_line(job.output, line)
    with _scratch() as scratch:
        work = ShardWork(line.name, videos, job.classes, job.settings, scratch, stored=stored)
        work.leave_out(dict.fromkeys(job.left_out, LEFT_OUT))
        outcome = put_together([work], job.workers, lambda own: own.write(scratch), lambda: None)
        note = note_path(scratch, line.name)
        with writing(note):
            os.mkdir(os.path.dirname(note))
            write_text(note, note_text(outcome[line.name], plan))
        _check_plan(job)
        # The note comes last: where it stands the shard is whole.
        sources = *schema.shard_paths(scratch, line.name), note
        targets = *schema.shard_paths(job.output, line.name), note_path(job.output, line.name)
        for source, target in zip(sources, targets):
            with writing(target):
                _publish(source, target, schema.join(job.output, BUILD))


@contextlib.contextmanager
def progress(plan: Plan, output: str) -> Iterator[None]:
    """Shows how many shards are finished, whoever makes them."""
    notes = {os.path.basename(note_path(output, name)) for name in plan.shards}
    ended = threading.Event()

    def finished_now() -> int:
        return len(notes & set(list_directory(schema.join(output, BUILD))))

    def look() -> None:
        # Only the bar depends on it, and a store that does not answer may do so the next time.
        with contextlib.suppress(DataError):
            shown.update(finished_now() - shown.n)

    def look_again_and_again() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            look()

    with progress_bar(len(plan.shards), "build", "shards", initial=finished_now()) as shown:
        watcher = threading.Thread(target=look_again_and_again, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            look()


def finish(plan: Plan, output: str, check: Callable[[], None]) -> schema.Manifest:
    """Writes the manifest, if all shards are there.

    Args:
        plan: see there.
        output: directory, claimed for this plan.
        check: raises DataError if the claim is lost.

    Raises:
        DataError: shards are not there, or no video at all decodes.
    """
    with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
        notes = threads.map(lambda name: finished(output, name, plan.settings["plan"]), plan.shards)
        made: dict[str, Made | None] = dict(zip(plan.shards, notes))
    there = {name: note for name, note in made.items() if note is not None}
    if len(there) < len(made):
        first = next(name for name in made if name not in there)
        raise DataError(
            f"{len(made) - len(there)} of {len(made)} shards were not made, the first {first}: "
            "run the same command again"
        )
    manifest = make_manifest(plan, there)
    check()
    with writing(schema.join(output, schema.MANIFEST)):
        manifest.save(output)
    return manifest


def _scratch() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        # No file is named where no directory at all can be used.
        raise cannot_write(error.filename or "TMPDIR", error) from None


def _read_line(output: str, line: Line) -> tuple[list[Video], dict[str, Place]]:
    path = _list_path(output)
    try:
        text = open_file(path).read(line.offset, line.size)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    # A changed digit would be a wrong label, of which nothing else tells.
    where = f"{path}, line of {line.name},"
    try:
        rows = unsealed(parsed(text, where), where)["videos"]
    except DataError as error:
        raise DataError(f"{error}: run the same command again") from None
    videos, stored = [], {}
    for name, path, actions, subset, group, place in rows:
        videos.append(Video(name, path, tuple(Action(*own) for own in actions), subset, group))
        if place:
            stored[name] = Place(*place)
    return videos, stored


def _check_plan(job: Job) -> None:
    """Refuses to put a shard into a directory that was deleted, and begun anew, meanwhile."""
    path = schema.join(schema.join(job.output, BUILD), PLAN)
    try:
        file = open_file(path)
        found = parsed(file.read(0, file.size), path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if found.get("plan") != job.settings["plan"]:
        raise DataError(f"{job.output} holds a build with another plan by now")


def _publish(source: str, target: str, build: str) -> None:
    # The name is its own: another machine may be making the same shard, if a job was started again.
    partial = schema.join(build, f"{os.path.basename(target)}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        copy(source, partial)
        if not is_remote(partial):
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
        if sizes([partial]) != sizes([source]):
            raise OSError(5, f"{partial} has another size than was written")
        move(partial, target)
    except BaseException:
        # It may be what fills the disk.
        with contextlib.suppress(OSError):
            remove(partial)
        raise


def _list_path(output: str) -> str:
    return schema.join(schema.join(output, BUILD), _LIST)
