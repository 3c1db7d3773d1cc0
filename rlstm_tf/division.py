"""How a global batch is divided among replicas, and what each process makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.errors import UsageError


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
