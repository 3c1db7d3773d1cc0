"""Made-up runs of the relational benchmark, and commands that make them up."""

from pathlib import Path

import numpy as np

from benchmarks import trainings
from benchmarks.relational_data import WHOLE
from benchmarks.relational_runs import Study, command_of
from benchmarks.trainings import CommandError
from rlstm_tf.evaluation import score_files
from tfrecords_tools.synthetic.relations import CLASSES


def make_study(work):
    """Returns a study of the relations in a directory."""
    return Study(work, "relations", WHOLE, workers=1)


def write_scores(directory, right):
    """Writes scores of one video a class, the first `right` of which have their class right."""
    labels = np.arange(len(CLASSES), dtype=np.int32)
    logits = np.eye(len(CLASSES), dtype=np.float32)
    logits[right:] *= -1
    ids = [str(label) for label in labels]
    facts = {**dict.fromkeys(score_files.METADATA), **dict.fromkeys(("dataset", "subset"), "test")}
    facts.update(stream="spatial", model="tsn")
    score_files.save(directory, score_files.Scores(ids, labels, logits, list(CLASSES)), facts)


def write_history(directory, epochs=2):
    """Writes the history of some epochs."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["epoch,loss,accuracy,learning_rate,videos_per_second,val_loss,val_accuracy"]
    lines += ["1,3,0.1,0.02,80,3,0.2", "2,2,0.3,0.02,90,2,0.4"]
    lines += [f"{epoch},1,0.5,0.02,85,1,0.5" for epoch in range(3, epochs + 1)]
    (directory / "history.csv").write_text("\n".join(lines[: epochs + 1]) + "\n")


def make_run(study, run, right=20, diverged=False, subset="test"):
    """Writes the files of a run with that many classes right; returns its record."""
    directory = run.directory(study.work)
    write_history(directory)
    if not diverged:
        write_scores(directory / "evaluation" / subset, right)
    facts = {"commit": "abc", "machine": "two cores", "diverged": diverged}
    return {"command": command_of(study, run), **facts}


class FakeCommands:
    """Takes the place of `trainings.run_command`: writes what commands leave, and notes them.

    Args:
        right: takes the directory of the scores and that of the run, or None for fused scores;
            returns how many classes are right in the scores.
    """

    def __init__(self, right):
        self.right = right
        self.lines = []
        self.logs = []
        self.diverging = ()
        self.epochs_left = 0

    def __call__(self, log, module, *flags, core=None, used=None):
        given = dict(flag[2:].split("=", 1) for flag in flags if "=" in flag)
        self.lines.append((module, given))
        self.logs.append(log.name)
        if module == "rlstm_tf.train":
            write_history(Path(given["run_dir"]), int(given["epochs"]) - self.epochs_left)
            if given["learning_rate"] in self.diverging:
                log.write_text("step 3, learning rate 9: try a smaller --learning_rate\n")
                raise CommandError(module, 1, log)
        elif module in ("rlstm_tf.evaluate", "rlstm_tf.fuse"):
            output, run_dir = Path(given["output"]), given.get("run_dir")
            write_scores(output, self.right(output, run_dir and Path(run_dir)))

    @classmethod
    def install(cls, right, monkeypatch):
        """Takes that place until the end of a test; returns the commands."""
        fake = cls(right)
        monkeypatch.setattr(trainings, "run_command", fake)
        # The affinity of the tests' own process would change.
        monkeypatch.setattr(trainings, "cores_of", lambda workers: [None])
        return fake

    def flags_of(self, module):
        return [given for name, given in self.lines if name == module]
