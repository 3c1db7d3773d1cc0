"""The build: all shards of a plan into one directory, then the manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import write_whole, writing
from rlstm_tf.storage.files import open_file, sizes
from rlstm_tf.storage.json_values import of_fields, parsed, sealed, unsealed
from tfrecords_tools.builder.output_directory import BUILD
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import Place
from tfrecords_tools.builder.shard_builder import LEFT_OUT, Made, ShardWork, put_together, works_of

_MISSING_LISTED = 20


def build(
    plan: Plan,
    output: str,
    workers: int,
    stored: Mapping[str, Place] = MappingProxyType({}),
    left_out: Iterable[str] = (),
) -> schema.Manifest:
    """Does what is left to do of a plan.

    Args:
        plan: see there.
        output: directory, claimed for this plan.
        workers: number of processes that decode.
        stored: where finished shards hold images of a video, by its id.
        left_out: ids of videos to take for damaged, if no run has decoded them yet.

    Returns:
        The manifest, which has been written.

    Raises:
        DataError: something cannot be read or written, or no video at all decodes.
    """
    works = works_of(plan, os.path.join(output, BUILD), stored)
    made: dict[str, Made] = {}
    for name, work in works.items():
        note = finished(output, name, plan.settings["plan"])
        if note is not None:
            made[name] = note
            work.discard()
    left = [work for name, work in works.items() if name not in made]
    for work in left:
        work.leave_out(dict.fromkeys(left_out, LEFT_OUT))

    def finish(work: ShardWork) -> Made:
        note = work.write(output)
        with writing(schema.tfrecord_path(output, work.name)):
            write_whole(
                note_path(output, work.name), note_text(note, plan.settings["plan"]).encode()
            )
        work.discard()
        return note

    total = sum(map(len, plan.shards.values()))
    done = total - sum(work.waiting for work in left)
    with progress_bar(total, "build", "videos", initial=done) as progress:
        made.update(put_together(left, workers, finish, progress.update))
    manifest = make_manifest(plan, made)
    with writing(schema.join(output, schema.MANIFEST)):
        manifest.save(output)
    return manifest


def make_manifest(plan: Plan, made: Mapping[str, Made]) -> schema.Manifest:
    """The manifest of a plan whose shards are all there.

    Args:
        plan: see there.
        made: its shards by name.

    Raises:
        DataError: there is no video in them.
    """
    dataset = plan.dataset
    damaged = [video for name in plan.shards for video in made[name].damaged]
    subsets = {}
    for subset in schema.SUBSETS:
        own = tuple(
            made[name].shard for name, videos in plan.shards.items() if videos[0].subset == subset
        )
        if any(shard.videos for shard in own):
            subsets[subset] = schema.Subset(
                sum(shard.videos for shard in own),
                sum(shard.frames for shard in own),
                sum(shard.samples for shard in own),
                own,
            )
    if not subsets:
        first = "{id}: {reason}".format(**damaged[0])
        raise DataError(f"none of the {len(damaged)} videos decodes; the first, {first}")
    notes = dict(dataset.notes)
    if dataset.multi_label:
        notes["labels_without_sample"] = sum(made[name].labels_without_sample for name in made)
    return schema.Manifest(
        dataset=dataset.name,
        split=dataset.split,
        stream=plan.stream,
        classes=dataset.classes,
        settings=plan.settings,
        subsets=subsets,
        damaged=tuple(damaged),
        missing={
            "count": len(dataset.missing),
            "first": list(dataset.missing[:_MISSING_LISTED]),
        },
        multi_label=dataset.multi_label,
        notes=notes,
    )


def note_text(made: Made, plan: str) -> str:
    """What is written down about a shard that is finished.

    Args:
        made: the shard.
        plan: checksum of the plan that it was made by.
    """
    return json.dumps(sealed({**asdict(made), "plan": plan}))


def read_note(text: str | bytes, where: str, plan: str) -> Made | None:
    """Reads what `note_text` wrote.

    Args:
        text: of the note.
        where: its path, for errors.
        plan: checksum of the plan that is built.

    Returns:
        None if the note is of another plan.

    Raises:
        DataError: it is not what was written.
    """
    try:
        values = unsealed(parsed(text, where), where)
        if values.pop("plan", None) != plan:
            return None
        values = of_fields(Made, values, where)
        shard = schema.Shard(**of_fields(schema.Shard, values["shard"], where))
    except DataError as error:
        raise DataError(f"{error}: delete it and build again") from None
    return Made(shard, tuple(values["damaged"]), values["labels_without_sample"])


def finished(output: str, name: str, plan: str) -> Made | None:
    """What was written down about a shard, if the shard is still there.

    A note of another plan does not count: a worker may outlive its job and leave one behind in a
    directory that was deleted and begun anew.

    Args:
        output: directory, local or remote.
        name: of the shard.
        plan: checksum of the plan that is built.

    Raises:
        DataError: the note is not what was written.
    """
    path = note_path(output, name)
    try:
        file = open_file(path)
        made = read_note(file.read(0, file.size), path, plan)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if made is None:
        return None
    found = sizes(schema.shard_paths(output, name))
    return made if found[0] == made.shard.bytes and None not in found else None


def note_path(output: str, name: str) -> str:
    """Where is written down that a shard is finished."""
    return schema.join(schema.join(output, BUILD), name + ".json")
