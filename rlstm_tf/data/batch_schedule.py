"""Steps at which epochs end, and the rows of a batch that each replica takes."""

from __future__ import annotations

from dataclasses import dataclass

from rlstm_tf.errors import UsageError


@dataclass(frozen=True)
class EpochSchedule:
    """Epochs of a run whose batches all have the same size.

    The samples of all epochs form one sequence: element p is sample p % num_samples of epoch
    p // num_samples. Step s, from 0, takes the batch_size elements from s * batch_size. So each
    epoch shows each sample once, and no batch is smaller than the others: the batch in which an
    epoch ends is filled with the first samples of the next.

    Attributes:
        num_samples: samples in an epoch.
        batch_size: global batch size.

    Raises:
        UsageError: a batch takes more samples than an epoch has.
    """

    num_samples: int
    batch_size: int

    def __post_init__(self):
        if not 1 <= self.batch_size <= self.num_samples:
            raise UsageError(
                f"batch_size={self.batch_size}: must be from 1 to the {self.num_samples} samples"
            )

    def end_step(self, epoch: int) -> int:
        """Number of steps taken at the end of an epoch, counted from 0; `end_step(-1)` is 0."""
        return -(-(epoch + 1) * self.num_samples // self.batch_size)

    def num_steps(self, epoch: int) -> int:
        """Number of steps of an epoch, at least one."""
        return self.end_step(epoch) - self.end_step(epoch - 1)


@dataclass(frozen=True)
class ReplicaSlice:
    """The replicas of one process, among those of all processes.

    Replica r of R takes rows r * B / R to (r + 1) * B / R of every batch of B rows, so a step has
    the same rows in the same order whatever the number of replicas and processes.

    A process makes one slice per local replica and step: its slice number i is for replica
    first + i % num_local in step i // num_local.

    Attributes:
        num_replicas: R, replicas of all processes.
        first: the first replica of this process.
        num_local: number of replicas of this process.
    """

    num_replicas: int = 1
    first: int = 0
    num_local: int = 1

    def rows_per_replica(self, batch_size: int) -> int:
        """Rows of a slice.

        Raises:
            UsageError: the batch size is not a multiple of the number of replicas.
        """
        if batch_size % self.num_replicas:
            raise UsageError(
                f"batch_size={batch_size} is not a multiple of {self.num_replicas} replicas"
            )
        return batch_size // self.num_replicas

    def offset(self, number: int, batch_size: int) -> int:
        """First row of slice `number`, counted from the start of step 0."""
        step, replica = divmod(number, self.num_local)
        return step * batch_size + (self.first + replica) * self.rows_per_replica(batch_size)


# One process with one replica, which takes whole batches.
ALL = ReplicaSlice()
