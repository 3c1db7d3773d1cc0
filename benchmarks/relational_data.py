"""Makes the videos and shards of the relational benchmark, each once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import trainings
from benchmarks.settings import DISTRACTORS
from tfrecords_tools.synthetic.pairs import Pair
from tfrecords_tools.synthetic.scenes import SCENES

# Kind of scenes -> pairs of classes.
PAIRS: dict[str, tuple[Pair, ...]] = {name: it.pairs for name, it in SCENES.items() if it.pairs}
# Seeds of the draws: no two sets share a video or a background. Draws 0 to 2 were looked at while
# the options were chosen.
TRUNK_SEED, DATA_SEED, VALIDATION_SEED = 11, 10, 12
_FRAMES, _SIZE = 16, 56
# A fifth is for testing, and a tenth of the others for the curves.
TRAINING_SHARE = 0.8 * 0.9


@dataclass(frozen=True)
class Size:
    """Videos and epochs of a benchmark; videos are of all classes together.

    Attributes:
        videos: those to train on and those to test with.
        epochs: epochs of each network; the learning rate drops before the last quarter.
        search_epochs: those of each trial of a learning rate; 0: no search.
        trunk_videos, trunk_epochs: of the TSN that gives all networks their trunk.
        validation_videos: videos on which learning rates are compared.
    """

    videos: int
    epochs: int
    search_epochs: int
    trunk_videos: int
    trunk_epochs: int
    validation_videos: int


WHOLE = Size(
    12_000,
    epochs=8,
    search_epochs=3,
    trunk_videos=10_000,
    trunk_epochs=6,
    validation_videos=2_000,
)
QUICK = Size(
    2_000,
    epochs=3,
    search_epochs=0,
    trunk_videos=2_000,
    trunk_epochs=3,
    validation_videos=0,
)


def make_data(work: Path, scenes: str, size: Size, distractors: int) -> None:
    """Makes the shards to train on and to test with: data/distractors_N/records."""
    name = f"distractors_{distractors}"
    _make(work / "data" / name, scenes, size.videos, DATA_SEED, distractors)


def make_trunk_data(work: Path, scenes: str, size: Size) -> None:
    """Makes the shards that trunks are trained on: data/trunk/records."""
    _make(work / "data" / "trunk", scenes, size.trunk_videos, TRUNK_SEED, DISTRACTORS)


def make_validation_data(work: Path, scenes: str, size: Size) -> None:
    """Makes the shards that learning rates are chosen on: data/validation/records, `train`."""
    # The training list of a draw is four fifths of it.
    videos = size.validation_videos * 5 // 4
    _make(work / "data" / "validation", scenes, videos, VALIDATION_SEED, DISTRACTORS, 0.0)


def _make(
    made: Path, scenes: str, videos: int, seed: int, distractors: int, val_share: float = 0.1
) -> None:
    made.mkdir(parents=True, exist_ok=True)
    log, records = made / "log.txt", made / "records"
    flags = [f"--output={made / 'videos'}", f"--scenes={scenes}", f"--size={_SIZE}"]
    flags += [f"--num_frames={_FRAMES}", f"--seed={seed}", f"--distractors={distractors}"]
    flags.append(f"--videos_per_class={videos // (2 * len(PAIRS[scenes]))}")
    trainings.run_command(log, "tfrecords_tools.demo", *flags)
    flags = [f"--videos={made / 'videos/videos'}", f"--splits={made / 'videos/ucfTrainTestlist'}"]
    flags += ["--dataset=ucf101", "--split=1", f"--val_share={val_share}", "--shards=4"]
    flags += [f"--short_side={_SIZE}", f"--output={records}"]
    if not (records / "manifest.json").exists():
        trainings.run_command(log, "tfrecords_tools.build", *flags)
