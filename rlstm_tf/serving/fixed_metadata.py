"""Metadata of a network for frames of one size, for an application, on a phone for example."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rlstm_tf.serving.artifact import ModelMetadata
from rlstm_tf.storage.checksums import with_checksum

# Of the metadata in a file. Readers refuse one that they do not know.
FORMAT = 1


class FrameSize(NamedTuple):
    """Height and width of a frame, pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class FixedMetadata:
    """Inputs, outputs and origin of a network for frames of one size.

    Attributes:
        network: those of the network.
        frame_size: of the frames that the signatures take.
        window: snippets that a step answers for; None = all.
        quantize: how weights are stored, one of `QUANTIZATIONS`.
    """

    network: ModelMetadata
    frame_size: FrameSize
    window: int | None
    quantize: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the values to store as JSON."""
        height, width = self.frame_size
        own = {"window": self.window, "quantize": self.quantize}
        size = {"frame_height": height, "frame_width": width}
        return with_checksum({"format": FORMAT, **asdict(self.network), **size, **own})
