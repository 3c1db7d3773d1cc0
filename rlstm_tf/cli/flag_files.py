"""Flag files: as any editor writes them, and `--flagfile=configs/NAME.cfg` from any directory."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from rlstm_tf.cli.paths import expand

# In a checkout, rlstm_tf/configs is a link to configs/.
_PACKAGE = Path(__file__).parents[1]


def read_lines(path: str) -> list[str]:
    """Reads the lines of a flag file: UTF-8 or, with a byte order mark, UTF-16; any line ends.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not text.
    """
    content = Path(path).read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


class FlagValues(flags.FlagValues):
    """absl's flags, with these flag files.

    `configs/...` that does not exist here is that of the package.
    """

    def __call__(self, argv: Sequence[str], known_only: bool = False) -> list[str]:
        """Parses flags.

        Raises:
            absl.flags.Error: a flag is unknown, or its value wrong or not finite.
        """
        try:
            others = super().__call__(argv, known_only)
        except ValueError as error:  # absl's own error for --noflip=1
            raise flags.Error(str(error)) from None
        except RecursionError:  # absl looks for a flag with a name like it
            raise flags.Error("the name of a flag is too long") from None
        for name in self:
            value = self[name].value
            # absl's bounds let NaN through.
            if isinstance(value, float) and not math.isfinite(value):
                raise flags.Error(f"--{name}={value}: must be a finite number")
        return others

    def _get_flag_file_lines(
        self, filename: str, parsed_file_stack: list[str] | None = None
    ) -> list[str]:
        """Returns the flags of a file and of those that it includes, in order; absl calls this.

        Raises:
            absl.flags.Error: a file cannot be read, or includes itself.
        """
        if not filename:
            return []
        filename, stack = expand(filename), parsed_file_stack or []
        installed = _PACKAGE / filename
        if filename.startswith("configs/") and not Path(filename).exists() and installed.is_file():
            filename = str(installed)
        if filename in stack:
            raise flags.Error(f"--flagfile={filename}: the file includes itself")
        try:
            lines = [line.strip() for line in read_lines(filename)]
        except OSError as error:
            raise flags.Error(f"--flagfile={filename}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise flags.Error(f"--flagfile={filename}: not a text file: {error}") from None
        found: list[str] = []
        for line in lines:
            if not line or line.startswith(("#", "//")):
                continue
            if self._is_flag_file_directive(line):
                included = self._extract_filename(line)
                found += self._get_flag_file_lines(included, [*stack, filename])
            else:
                found.append(line)
        return found
