"""Reads what a run has written for TensorBoard."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata


def events_of(run_dir):
    """All that TensorBoard finds of a run."""
    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    return events


def hparams_of(run_dir):
    """Returns the name of a run in the HParams tab, and its settings there."""
    content = events_of(run_dir).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    info = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
    values = {name: getattr(v, v.WhichOneof("kind")) for name, v in info.hparams.items()}
    return info.group_name, values
