"""Where epochs end, and how a global batch is divided among replicas."""

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


@dataclass(frozen=True)
class Division:
    """The replicas of one process among those of all.

    Replica r of R takes rows r * B / R up to (r + 1) * B / R of every batch of B. So the rows of a
    step are the same, and in the same order, however many replicas and processes there are.

    A process makes the parts of its own replicas only, one step behind the other, and within a step
    one replica behind the other: its part number i is that of replica first + i % own in step
    i // own.

    Attributes:
        replicas: R, of all processes together.
        first: the process's first replica.
        own: replicas of the process, `first` and the next ones.
    """

    replicas: int = 1
    first: int = 0
    own: int = 1

    def rows(self, batch_size: int) -> int:
        """Rows of a part.

        Raises:
            UsageError: the batch cannot be divided evenly.
        """
        if batch_size % self.replicas:
            raise UsageError(f"batch_size={batch_size} is no multiple of {self.replicas} replicas")
        return batch_size // self.replicas

    def place(self, part: int, batch_size: int) -> int:
        """Where a part begins, in rows from the start of step 0."""
        step, replica = divmod(part, self.own)
        return step * batch_size + (self.first + replica) * self.rows(batch_size)


# One device makes whole batches.
WHOLE = Division()
