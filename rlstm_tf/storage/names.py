"""Names of files that come from elsewhere: a store's listing, a list in an export, a split file."""

from __future__ import annotations

import re

from rlstm_tf.errors import DataError

# A drive's letter, a backslash or a null byte mean something on some systems only. JSON can hold
# half of a character, which no file name can.
_FOREIGN = re.compile("[A-Za-z]:|.*[\\\\\0\ud800-\udc7f\udd00-\udfff]", re.DOTALL)


def confine(name: str, where: str, parts: int | None = None) -> str:
    """Returns a relative path if it cannot leave the directory that it is joined to.

    Args:
        name: names with `/` between them.
        where: directory or file that lists the name, for the error.
        parts: number of names; None = any.

    Raises:
        DataError: the path is absolute, has a part that is empty, `.` or `..`, a drive's letter, a
            backslash, a null byte or half of a character, or another number of parts.
    """
    names = name.split("/")
    confined = not {"", ".", ".."} & set(names) and not _FOREIGN.match(name)
    if not confined or len(names) != (parts or len(names)):
        raise DataError(
            f"{where} lists {name!r}: a name must not be absolute or leave its directory, nor have "
            "an empty part or a backslash"
        )
    return name
