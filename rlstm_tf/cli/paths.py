"""Flags that are paths: `~` and `$NAME` are expanded, as a shell does.

A shell expands neither in `--data=~/shards` nor in a flag file. A flag that is a path is defined
here, not by `absl.flags.DEFINE_string`; `tests/unit/cli/test_paths.py` lists all of them.
"""

from __future__ import annotations

import os
from typing import Any

from absl import flags


def expand(path: str) -> str:
    """Replaces a leading `~` or `~user`, and `$NAME` and `${NAME}` of variables that are set.

    A path that exists under its name keeps its `$`.
    """
    path = os.path.expanduser(path)
    return path if os.path.lexists(path) else os.path.expandvars(path)


class PathParser(flags.ArgumentParser):
    """Parses one path."""

    def parse(self, argument: str) -> str:
        """Returns the expanded path."""
        return expand(str(super().parse(argument)))


class PathListParser(flags.ListParser):
    """Parses paths with commas between them."""

    def parse(self, argument: Any) -> list[str]:
        """Returns the expanded paths."""
        return [expand(path) for path in super().parse(argument)]


def define_path(name: str, default: str | None, help_text: str, **own: Any) -> None:
    """Defines a flag that is a path, local or remote.

    Args:
        name: name of the flag.
        default: value if none is given.
        help_text: its line of `--help`.
        **own: further arguments of `absl.flags.DEFINE`.
    """
    flags.DEFINE(PathParser(), name, default, help_text, serializer=_AS_TEXT, **own)


def define_path_list(name: str, default: list[str] | None, help_text: str, **own: Any) -> None:
    """Defines a flag that is a list of paths, with commas; arguments as for `define_path`."""
    serializer = flags.CsvListSerializer(",")
    flags.DEFINE(PathListParser(), name, default, help_text, serializer=serializer, **own)


def define_multi_path(name: str, default: list[str], help_text: str, **own: Any) -> None:
    """Defines a path that may be given several times; arguments as for `define_path`."""
    flags.DEFINE_multi(PathParser(), _AS_TEXT, name, default, help_text, **own)


_AS_TEXT: Any = flags.ArgumentSerializer()
