"""Changes files as damage, or someone who means harm, would; and calls what reads them.

Runs in a process of its own, without TensorFlow, whose memory and writes are watched.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

TEXTS = ["", "../../outside", "/etc/passwd", "a\\..\\b", "\x1b]0;t\x07", "a\nerror: b", "\u202ea"]
TEXTS += ["\0", "\ud800", "=cmd|' /C calc'!A0", "x" * 5000, "C:\\x", "%s%n{0}", "é"]
NUMBERS = [0, -1, 1, 2**31, 2**63, 10**9, 10**30, -(2**63), 1e308, -1e308, 0.5, 1e-320]
NUMBERS += [float("nan"), float("inf")]
# As texts only: Python refuses to write them as numbers.
LONG = b"9" * 5000
MOST_BYTES = 10**9
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod"}
_CHANGES |= {"shutil.rmtree"}


class Outcome(NamedTuple):
    """What came of a number of inputs."""

    inputs: int
    refused: int
    megabytes: float
    seconds: float
    faults: list[str]


def survive(kind, directory, count, seed=0):
    """Feeds `count` changed files of a kind to their reader, in a process of its own."""
    spawns = multiprocessing.get_context("spawn")
    ours, theirs = spawns.Pipe(duplex=False)
    process = spawns.Process(target=_run, args=(theirs, kind, str(directory), count, seed))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"{kind}: the process ended with {process.exitcode}") from None
    finally:
        process.join()


def change_bytes(content, draw):
    """Flips, cuts, inserts, repeats, or replaces a number in text."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(content) + 1)
        kind = draw.randrange(6)
        if kind == 0 and at < len(content):
            content[at] = draw.randrange(256)
        elif kind == 1:
            del content[at : at + draw.choice((1, 7, len(content)))]
        elif kind == 2:
            content[at:at] = draw.choice(TEXTS).encode("utf-8", "surrogatepass")
        elif kind == 3:
            content[at:at] = content[at : at + draw.choice((1, 60, 600))]
        elif kind == 4 and (numbers := list(_NUMBER.finditer(content))):
            number = draw.choice(numbers)
            other = draw.choice([*(str(other).encode() for other in NUMBERS), LONG])
            content[number.start() : number.end()] = other
        elif kind == 5:
            size = draw.choice((1, 2, 4, 8))
            content[at : at + size] = draw.choice((b"\0", b"\xff", b"\x7f")) * size
    return bytes(content)


def change_json(values, draw):
    """Replaces, removes, adds or nests a value anywhere in an object."""
    values = copy.deepcopy(values)
    for _ in range(draw.choice((1, 1, 1, 3))):
        place, key = draw.choice(list(_places(values)))
        kind = draw.randrange(8)
        value = place[key]
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, dict):
            place[draw.choice(TEXTS)] = value
        elif kind == 2:
            place[key] = draw.choice([None, True, [], {}, [value], {"a": value}, str(value)])
        elif kind == 3:
            for _ in range(draw.choice((3, 60, 200))):
                value = [value]
            place[key] = value
        elif isinstance(value, str) or kind == 4:
            place[key] = draw.choice(TEXTS)
        else:
            place[key] = draw.choice(NUMBERS)
        if not values:
            break
    return values


def _places(values):
    for key in list(values) if isinstance(values, dict) else range(len(values)):
        yield values, key
        if isinstance(values[key], (dict, list)):
            yield from _places(values[key])


def _run(connection, kind, directory, count, seed):
    reader = globals()[f"{kind.title()}Reader"](Path(directory))
    # Before it is watched: libraries write caches when they are imported.
    intact = _call(reader.read)
    faults = [] if intact == (0, None) else [f"{kind}, not changed: {intact}"]
    outside = _watch_writes(directory)
    # The test fails; the machine survives.
    resource.setrlimit(resource.RLIMIT_AS, (4 * MOST_BYTES, 4 * MOST_BYTES))
    began, refused, number = time.process_time(), 0, 0
    for number in range(count):
        draw = random.Random(f"{kind} {seed} {number}")
        reader.change(draw)
        status, problem = _call(reader.read)
        refused += status != 0
        if outside:
            problem = f"{problem or ''} wrote {outside}"
            outside.clear()
        if _peak() > MOST_BYTES:
            problem = f"{problem or ''} took {_peak() / 1e6:.0f} MB"
        if problem:
            faults.append(f"{kind} {seed} {number}: {problem}")
            if len(faults) == 5:
                break
    seconds = time.process_time() - began
    connection.send(Outcome(number + 1, refused, _peak() / 1e6, seconds, faults))


def _peak():
    """Returns the most memory that this process has had, bytes."""
    # Not ru_maxrss, which begins with that of the parent.
    status = Path("/proc/self/status").read_text()
    return 1000 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def _call(read):
    """Calls a reader as a command does; returns its status, and what is wrong with its error."""
    from rlstm_tf.cli import app

    def main(values):
        read()

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = app.run(main, lambda values: None, ["command"])
    except BaseException:
        return -1, traceback.format_exc(limit=-6)
    text = printed.getvalue()
    lines = text.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if not all(line.isprintable() for line in lines) or len(errors) != bool(status):
        return status, f"printed {text!r}"
    return status, None if status in (0, 1, 2) else f"status {status}"


def _watch_writes(directory):
    """Returns the list to which every change of a file outside of `directory` is added."""
    outside = []

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            paths = arguments[:1]
        # Names in a directory that shutil.rmtree has opened are not paths.
        elif event in _CHANGES and not (isinstance(arguments[-1], int) and arguments[-1] >= 0):
            paths = [part for part in arguments[:2] if isinstance(part, (str, bytes))]
        else:
            return
        for path in paths:
            place = os.fsdecode(path) if isinstance(path, (str, bytes)) else str(path)
            whole = os.path.realpath(place)
            if not whole.startswith((directory + os.sep, "/dev/null", "/proc/self")):
                outside.append(whole)

    sys.addaudithook(watch)
    return outside


class ManifestReader:
    """`manifest.json`, and the sources beside it; half of them with a correct checksum."""

    def __init__(self, directory):
        self.directory, self.path = directory, directory / "manifest.json"
        self.before = self.path.read_bytes()
        self.values = json.loads(self.before)
        del self.values["sha256"]

    def change(self, draw):
        if draw.randrange(3) == 0:
            self.path.write_bytes(change_bytes(self.before, draw))
        else:
            self.sign(change_json(self.values, draw))

    def sign(self, values):
        from rlstm_tf.storage.checksums import with_checksum

        with contextlib.suppress(RecursionError):
            self.path.write_text(json.dumps(with_checksum(values)))

    def read(self):
        from rlstm_tf.data import batches
        from rlstm_tf.data.input_config import InputConfig
        from rlstm_tf.data.manifest import Manifest
        from rlstm_tf.data.shards import Shards
        from rlstm_tf.data.video_views import RecordFormat
        from rlstm_tf.errors import DataError
        from tfrecords_tools.builder.sources import load_sources
        from tfrecords_tools.checker.checks import find_problems
        from tfrecords_tools.checker.former_plan import recover_plan

        directory = str(self.directory)
        manifest = Manifest.load(directory)
        RecordFormat.from_manifest(manifest)
        load_sources(directory, manifest)
        problems = find_problems(directory, manifest, decode=True)
        recover_plan(directory, manifest, str(self.directory / "videos"), None)
        for name in manifest.subsets:
            shards = Shards.open(directory, name)
            batches.training_rows(shards, InputConfig(2, 1, 32), 0, 2)
        for lines in problems.values():
            raise DataError(lines[0])


class IndexReader(ManifestReader):
    """The indexes, whose checksums in the manifest are correct."""

    restore = None

    def change(self, draw):
        values = copy.deepcopy(self.values)
        if draw.randrange(10) == 0:
            path, before = self.keep("sources.jsonl")
            content = change_bytes(before.read_bytes(), draw)
            path.write_bytes(content)
            values["sources_sha256"] = hashlib.sha256(content).hexdigest()
            self.sign(values)
            return
        shard = draw.choice(draw.choice(list(values["subsets"].values()))["shards"])
        kind = draw.choice(("records", "frames", "samples"))
        path, before = self.keep(f"{shard['name']}.{kind}.npy")
        content = change_bytes(before.read_bytes(), draw)
        path.write_bytes(content)
        shard[f"{kind}_sha256"] = hashlib.sha256(content).hexdigest()
        self.sign(values)

    def keep(self, name):
        """Keeps a file to be restored; returns it and its copy."""
        path = self.directory / name
        before = path.with_suffix(".before")
        if not before.exists():
            before.write_bytes(path.read_bytes())
        self.restore = path, before
        return self.restore

    def read(self):
        try:
            super().read()
        finally:
            if self.restore:
                path, before = self.restore
                path.write_bytes(before.read_bytes())


class ModelReader:
    """`model.json` and the list of files of an export, both with correct checksums."""

    def __init__(self, directory):
        from rlstm_tf.serving import artifact

        self.directory, self.version = directory, directory / "1"
        self.path = self.version / "assets" / artifact.METADATA
        self.list = self.version / artifact.CHECKSUMS
        self.list.write_text(artifact.compute_checksums(self.version))
        self.values = json.loads(self.path.read_text())
        del self.values["sha256"]

    def change(self, draw):
        from rlstm_tf.serving.artifact import compute_checksums
        from rlstm_tf.storage.checksums import with_checksum

        before = json.dumps(with_checksum(self.values)).encode()
        kind = draw.randrange(4)
        if kind == 0:
            self.path.write_bytes(change_bytes(before, draw))
        elif kind == 1:
            self.path.write_bytes(before)
        else:
            self.path.write_text(json.dumps(with_checksum(change_json(self.values, draw))))
        listed = json.loads(compute_checksums(self.version))["files"]
        if kind == 1:
            listed = change_json({"files": listed}, draw)
        self.list.write_text(json.dumps(with_checksum(listed if kind == 1 else {"files": listed})))

    def read(self):
        from rlstm_tf.data.video_views import video_views
        from rlstm_tf.serving import artifact, predictor

        metadata = artifact.ModelMetadata.read(artifact.find_newest_version(self.directory))
        artifact.verify_files(self.version)
        path = str(self.directory / "clip.mp4")
        setup = metadata.record_format, metadata.input_config()
        predictor.read_video(path, lambda: video_views(path, *setup))


class RunReader:
    """`flags.cfg` and the other small files of a run."""

    NAMES = ("flags.cfg", "flags.cfg", "flags.cfg", "classes.json", "manifest.json")

    def __init__(self, directory):
        self.directory = directory
        self.before = {name: (directory / name).read_bytes() for name in {*self.NAMES}}
        digest = hashlib.sha256(self.before["manifest.json"]).hexdigest()
        self.before["records.sha256"] = digest.encode()
        (directory / "records.sha256").write_text(digest)

    def change(self, draw):
        for name, content in self.before.items():
            (self.directory / name).write_bytes(content)
        name = draw.choice(self.NAMES)
        content = self.before[name]
        if name == "flags.cfg" and draw.randrange(2):
            lines = content.decode().splitlines()
            at = draw.randrange(len(lines))
            value = draw.choice([*map(str, NUMBERS), *TEXTS]).encode("utf-8", "replace").decode()
            lines[at] = f"{lines[at].split('=')[0]}={value}"
            lines += draw.choice([[], [f"--flagfile={self.directory}/flags.cfg"], ["--x=1"]])
            lines += draw.choice([[], ["--flagfile=/dev/zero"], ["--flagfile=/proc/self/maps"]])
            (self.directory / name).write_text("\n".join(lines))
        elif name == "manifest.json":
            changed = change_bytes(content, draw)
            (self.directory / name).write_bytes(changed)
            digest = hashlib.sha256(changed).hexdigest()
            (self.directory / "records.sha256").write_text(digest)
        else:
            (self.directory / name).write_bytes(change_bytes(content, draw))

    def read(self):
        from rlstm_tf.cli import input_flags, parsing
        from rlstm_tf.data.input_config import InputConfig
        from rlstm_tf.data.video_views import RecordFormat
        from rlstm_tf.model_config import ModelConfig
        from rlstm_tf.runs.directory import RunDirectory, read_flags

        run = RunDirectory(self.directory)
        values = read_flags(run.flags)
        config = InputConfig(**input_flags.arguments(values))
        ModelConfig.from_flags(values)
        parsing.parse_drop_epochs(values)
        parsing.parse_save_every(values)
        run.classes()
        RecordFormat.from_manifest(run.manifest())
        assert config.num_segments


class SplitReader:
    """Split files of the public data sets, and the CSV file of one's own."""

    def __init__(self, directory):
        self.directory = directory
        self.sets = json.loads((directory / "sets.json").read_text())
        self.given = self.sets[0]
        self.before = {
            path: path.read_bytes()
            for given in self.sets
            for path in (directory / given["lists"]).glob("*")
            if path.suffix in (".txt", ".csv")
        }

    def change(self, draw):
        for path, content in self.before.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        self.given = draw.choice(self.sets)
        lists = self.directory / self.given["lists"]
        path = draw.choice(sorted(path for path in self.before if path.parent == lists))
        path.write_bytes(change_bytes(self.before[path], draw))

    def read(self):
        from tfrecords_tools.builder.plan import make_plan
        from tfrecords_tools.datasets.registry import read_dataset

        videos, splits = (str(self.directory / self.given[key]) for key in ("videos", "splits"))
        settings = {"val_share": 0.2, "val_seed": 0, "test_share": None}
        dataset = read_dataset(self.given["dataset"], videos, splits, 1, settings, False)
        make_plan(dataset, "spatial", settings, 2)


class VideoReader:
    """Video files of several containers and codecs, and a folder of pictures."""

    def __init__(self, directory):
        self.directory = directory
        self.before = sorted(path for path in directory.rglob("*") if path.is_file())
        self.path = directory / "clip.avi"
        (directory / "changed").mkdir()

    def change(self, draw):
        before = draw.choice(self.before)
        self.path = self.directory / "changed" / before.name
        if before.parent != self.directory:  # a folder of pictures
            self.path = self.directory / "changed" / before.parent.name / before.name
            shutil.rmtree(self.path.parent, ignore_errors=True)
            shutil.copytree(before.parent, self.path.parent)
        content = before.read_bytes()
        if draw.randrange(3) == 0:  # the header
            head = draw.choice((64, 512, 4096))
            content = change_bytes(content[:head], draw) + content[head:]
        else:
            content = change_bytes(content, draw)
        self.path.write_bytes(content)

    def read(self):
        from rlstm_tf.data.input_config import InputConfig
        from rlstm_tf.data.video_views import RecordFormat, video_views
        from rlstm_tf.errors import DataError
        from rlstm_tf.serving.predictor import read_video
        from tfrecords_tools.builder.decoded_video import DecodeTask, decode

        pictures = self.path.parent not in (self.directory, self.directory / "changed")
        path = str(self.path.parent if pictures else self.path)
        config, form = InputConfig(1, 2, 32), RecordFormat(32, 95)
        reason = decode(DecodeTask(str(self.directory / "changed/0"), path, 32, 95))
        if reason:
            raise DataError(f"{path}: {reason}")
        if not pictures:
            read_video(path, lambda: video_views(path, form, config))


class WeightsReader:
    """Files of torch.save, in both formats."""

    def __init__(self, directory):
        self.before = {path: path.read_bytes() for path in sorted(directory.glob("*.pth"))}
        self.path = next(iter(self.before))

    def change(self, draw):
        self.path = draw.choice(list(self.before))
        self.path.write_bytes(change_bytes(self.before[self.path], draw))

    def read(self):
        from rlstm_tf.errors import DataError
        from rlstm_tf.storage.torch_files import read_tensors

        try:
            tensors = read_tensors(str(self.path))
        except ValueError as error:
            raise DataError(f"{self.path}: {error}") from None
        assert all(tensor.size <= 1000 for tensor in tensors.values())
