"""Where epochs end, when batches run on over their edges."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.errors import UsageError


@dataclass(frozen=True)
class Epochs:
    """Epochs of a run whose batches are all of one size.

    A run goes through the permutations of its epochs one behind the other: place p of that row is
    place p % num_samples of epoch p // num_samples, and step s, counted from 0, takes batch_size
    places from s * batch_size on. So every epoch shows each sample once, none is left out at its
    end, and no batch is smaller than the others: the batch in which an epoch ends goes on with the
    first samples of the next.

    Attributes:
        num_samples: of an epoch.
        batch_size: global.

    Raises:
        UsageError: a batch takes more samples than there are.
    """

    num_samples: int
    batch_size: int

    def __post_init__(self):
        if not 1 <= self.batch_size <= self.num_samples:
            raise UsageError(
                f"batch_size={self.batch_size}: must be from 1 to the {self.num_samples} samples"
            )

    def end(self, epoch: int) -> int:
        """Steps taken when an epoch, counted from 0, is over; `end(-1)` is 0."""
        return -(-(epoch + 1) * self.num_samples // self.batch_size)

    def steps(self, epoch: int) -> int:
        """How many steps count for an epoch, at least one."""
        return self.end(epoch) - self.end(epoch - 1)
