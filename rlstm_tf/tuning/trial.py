"""A training of a search, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.tuning.space import Value

RUNNING, ENDED, FAILED = "running", "ended", "failed"


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: from 1, in the order of their start.
        settings: value of each flag that is searched.
        epochs: in all, those of the trial that it goes on from included.
        after: number of the trial whose run it goes on from; None = it starts by itself.
        status: `RUNNING`, `ENDED` or `FAILED`.
        score: of the validation after the last epoch; None where it has not ended.
        loss: of the same validation, if it has one.
        reason: why it failed.
    """

    number: int
    settings: dict[str, Value]
    epochs: int
    after: int | None = None
    status: str = RUNNING
    score: float | None = None
    loss: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{self.number:04d}"

    def described(self) -> str:
        """Its settings in one line."""
        return ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
