"""Checks shards against their manifest: sizes, checksums, counts, every frame's bytes.

    python -m tfrecords_tools.verify data/ucf101_split1 --decode

Lists every problem, one line each; the exit status is 1 if there is any.
"""

from __future__ import annotations

import sys

from absl import flags

from rlstm_tf import cli
from rlstm_tf.errors import UsageError


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    flags.DEFINE_string(
        "data", None, "Directory of the shards; may be given without --data=.", flag_values=values
    )
    flags.DEFINE_bool(
        "decode", False, "Decode every JPEG and compare its size too.", flag_values=values
    )


def main(values: flags.FlagValues) -> int:
    """Verifies; the exit status is 1 if anything is wrong."""
    if not values.data:
        raise UsageError("--data is required: the directory of the shards")
    from rlstm_tf.data.schema import Manifest
    from tfrecords_tools.verification import problems

    manifest = Manifest.load(values.data)
    found = problems(values.data, manifest, values.decode)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found:
        return 1
    shards = [shard for subset in manifest.subsets.values() for shard in subset.shards]
    images = "frames" if manifest.stream == "spatial" else "fields"
    print(
        f"{values.data}: {len(shards)} shards, {sum(shard.videos for shard in shards)} videos, "
        f"{sum(shard.frames for shard in shards)} {images} are as the manifest says"
    )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags, positional="data"))
