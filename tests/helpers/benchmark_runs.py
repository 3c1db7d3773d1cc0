"""Made-up runs of the relational benchmark."""

import numpy as np

from benchmarks.relational_data import WHOLE
from benchmarks.relational_runs import Study, command_of
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
