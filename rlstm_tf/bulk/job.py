"""Portions of a list of videos, and the files of a bulk prediction.

The workers communicate through these, in the output directory:

    results-00003-of-00125.jsonl    answers for one portion of the list, in its order; the file
                                    marks the portion as finished
    failed-00003-of-00125.jsonl     videos of the portion without an answer, only if there are any
    manifest.json                   counts and classes, written last
    .bulk/job.json                  digests of the list and of the network
    .bulk/videos.jsonl              the list; millions of paths would not fit into a Beam job
    .bulk/started-00003             the portion was started, and not finished
    .bulk/lock
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import NamedTuple

from rlstm_tf.data.schema import join
from rlstm_tf.errors import DataError
from rlstm_tf.storage import files
from rlstm_tf.storage.atomic import write_atomic, writing
from rlstm_tf.storage.bounded import parse_json_text

WORK = ".bulk"
LIST = "videos.jsonl"


class Portion(NamedTuple):
    """A part of the list of videos.

    Attributes:
        number: from 0.
        num_videos: number of videos.
        offset, size: where it is in `videos.jsonl`, bytes.
    """

    number: int
    num_videos: int
    offset: int
    size: int


@dataclass(frozen=True)
class Job:
    """Values that all portions share.

    Attributes:
        output: directory, local or remote.
        num_portions: number of portions.
        model: version of an exported network, local or remote.
        batch_size: videos that the network gets at once; None: as many as memory allows for.
        video_stream: number of the video stream, from 0; None: the reader's choice.
    """

    output: str
    num_portions: int
    model: str
    batch_size: int | None
    video_stream: int | None

    def results(self, number: int) -> str:
        """Returns the path of the answers of a portion."""
        return self._name("results", number)

    def failed(self, number: int) -> str:
        """Returns the path of the videos of a portion that have no answer."""
        return self._name("failed", number)

    def started(self, number: int) -> str:
        """Returns the path that tells that a portion was started, and not finished."""
        return join(join(self.output, WORK), f"started-{number:05d}")

    def _name(self, kind: str, number: int) -> str:
        return join(self.output, f"{kind}-{number:05d}-of-{self.num_portions:05d}.jsonl")

    def read(self, portion: Portion) -> list[str]:
        """Reads the paths of the videos of a portion.

        Raises:
            DataError: the list cannot be read, or was changed.
        """
        path = join(join(self.output, WORK), LIST)
        try:
            text = files.open_file(path).read(portion.offset, portion.size)
            paths = [parse_json_text(line) for line in text.splitlines()]
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        except ValueError:
            paths = []
        if len(paths) != portion.num_videos:
            raise DataError(f"{path} was changed: run the same command again")
        return paths

    def publish(self, number: int, results: str, failed: str) -> None:
        """Writes the answers of a portion, which finishes it.

        Args:
            number: of the portion.
            results, failed: lines of both files.

        Raises:
            DataError: a file cannot be written.
        """
        if failed:
            publish(self.failed(number), failed)
        else:
            # From an attempt that was stopped here, when a video could not be read.
            _remove(self.failed(number))
        publish(self.results(number), results)
        _remove(self.started(number))


def publish(path: str, text: str) -> None:
    """Writes a file atomically; another machine may write it too.

    Raises:
        DataError: the file cannot be written.
    """
    with writing(path):
        if files.is_remote(path):
            files.write_text(path, text)
        else:
            write_atomic(path, text.encode())


def _remove(path: str) -> None:
    with writing(path), contextlib.suppress(FileNotFoundError):
        files.remove(path)
