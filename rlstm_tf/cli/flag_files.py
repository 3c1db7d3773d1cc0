"""Flag files: `--flagfile=configs/NAME.cfg` works from any directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

# In a checkout, rlstm_tf/configs is a link to configs/.
_PACKAGE = Path(__file__).parents[1]


class FlagValues(flags.FlagValues):
    """absl's flags; a flag file `configs/...` that does not exist here is that of the package."""

    def _get_flag_file_lines(self, filename: str, *args: Any, **kwargs: Any) -> list[str]:
        installed = _PACKAGE / filename
        if filename.startswith("configs/") and not Path(filename).exists() and installed.is_file():
            filename = str(installed)
        return super()._get_flag_file_lines(filename, *args, **kwargs)
