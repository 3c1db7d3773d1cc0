"""Searches without trainings: their trials, results, directory, and how they are resumed."""

import contextlib
import fcntl
import itertools
import json
import re

import pytest
from repository import ROOT
from searches import plan, rows, searched, space

from rlstm_tf.cli import flags
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.checksums import with_checksum
from rlstm_tf.tuning import process, search
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.results import ENDED, FAILED, Trial, best_flags, best_of, table


@pytest.mark.parametrize("tuner", ["hyperband", "bayesian", "random"])
def test_a_stopped_search_ends_like_one_never_stopped(tuner, tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    begun = searched(plan(tuner), one, monkeypatch)
    assert len(begun) == len(set(begun)) <= len(rows(one))
    again = []
    for _ in range(20):
        again += searched(plan(tuner), other, monkeypatch, stop_after=2)
        if len(rows(other)) == len(rows(one)):
            break
    again += searched(plan(tuner), other, monkeypatch)
    assert rows(other) == rows(one)
    # Interrupted trials are started again, finished ones are not.
    assert sorted(set(again)) == sorted(begun)
    assert len(again) <= len(begun) * 1.5
    assert searched(plan(tuner), other, monkeypatch) == []
    best = (one / "best.cfg").read_text().replace("/one", "/other")
    assert (other / "best.cfg").read_text() == best


def test_seeds_give_different_trials(tmp_path, monkeypatch):
    for seed in (0, 1, 2**32 - 1):
        searched(plan("random", seed=seed), tmp_path / str(seed), monkeypatch)
        assert len(rows(tmp_path / str(seed))) == 5
    assert rows(tmp_path / "0") not in (rows(tmp_path / "1"), rows(tmp_path / str(2**32 - 1)))


def test_hyperband_continues_the_best(tmp_path, monkeypatch):
    searched(plan("hyperband"), tmp_path / "search", monkeypatch)
    found = {int(row["trial"]): row for row in rows(tmp_path / "search")}
    assert [int(row["epochs"]) for row in found.values()].count(1) == 9
    assert sum(search.planned_epochs(plan("hyperband"))) == 75
    assert len(found) == len(search.planned_epochs(plan("hyperband")))
    first = [row for row in found.values() if row["epochs"] == "1"]
    promoted = [found[int(row["after"])] for row in found.values() if row["after"]]
    of_first = [row for row in promoted if row in first]
    scores = sorted((float(row["score"] or 0) for row in first), reverse=True)
    assert sorted((float(row["score"] or 0) for row in of_first), reverse=True) == scores[:3]
    for row in found.values():
        if row["after"]:
            source = found[int(row["after"])]
            assert row["learning_rate"] == source["learning_rate"]
            assert int(row["epochs"]) > int(source["epochs"])
            assert (row["status"] == FAILED) >= (source["status"] == FAILED)


def test_epochs_of_hyperband_are_those_in_the_docs():
    page = (ROOT / "docs" / "tuning.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| `hyperband`"))
    said = {int(longest): int(total) for longest, total in re.findall(r"(\d+): (\d+)", row)}
    assert list(said) == [6, 9, 25, 50, 81]
    assert said == {
        epochs: sum(search.planned_epochs(plan("hyperband", epochs=epochs))) for epochs in said
    }


def test_more_trials_of_the_same_search(tmp_path, monkeypatch):
    few = searched(plan("random"), tmp_path / "search", monkeypatch)
    more = searched(plan("random", max_trials=12), tmp_path / "search", monkeypatch)
    assert (len(few), more[0], len(more)) == (5, "0006", 7)
    searched(plan("random", max_trials=12), tmp_path / "other", monkeypatch)
    assert rows(tmp_path / "other") == rows(tmp_path / "search")


def test_the_bayesian_search_finds_more_than_chance(tmp_path, monkeypatch):
    both = {}
    for tuner in ("bayesian", "random"):
        searched(plan(tuner, max_trials=8), tmp_path / tuner, monkeypatch)
        both[tuner] = [float(row["score"] or 0) for row in rows(tmp_path / tuner)]
    assert sum(both["bayesian"][4:]) > sum(both["random"][4:])
    assert both["bayesian"][:3] == both["random"][:3]


def test_equal_settings_are_trained_once(tmp_path, monkeypatch):
    few = plan("bayesian", space=space("num_segments=4|8"), max_trials=6)
    monkeypatch.setattr(process, "train", lambda *_: {"val_accuracy": 0.5, "val_loss": 1.0})
    directory = SearchDirectory(tmp_path / "search")
    with directory.open({}, {}):
        search.run(few, directory)
    reasons = [row["reason"] for row in rows(tmp_path / "search")]
    assert reasons.count("") == 2
    assert all(reason.startswith("the same as trial 000") for reason in reasons if reason)


def test_a_search_in_which_every_trial_fails(tmp_path, monkeypatch):
    high = plan("random", space=space("learning_rate=0.05:0.1"), max_trials=2)
    with pytest.raises(DataError, match="none of the 2 trials ended: the loss became nan"):
        searched(high, tmp_path / "search", monkeypatch)
    assert [row["status"] for row in rows(tmp_path / "search")] == [FAILED, FAILED]
    assert not (tmp_path / "search" / "best.cfg").exists()


def test_an_internal_error_does_not_fail_the_trial(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(process, "train", broken)
    directory = SearchDirectory(tmp_path / "search")
    with directory.open({}, {}), pytest.raises(ZeroDivisionError):
        search.run(plan("random"), directory)


def test_ties_go_to_the_smaller_loss_then_the_first():
    trials = [
        Trial(1, {}, 1, status=FAILED),
        Trial(2, {}, 1, status=ENDED, score=0.5, loss=1.5),
        Trial(3, {}, 1, status=ENDED, score=0.5, loss=1.25),
        Trial(4, {}, 1, status=ENDED, score=0.5, loss=1.25),
    ]
    assert best_of(trials).number == 3
    assert best_of(trials[:1]) is None
    assert best_of([Trial(1, {}, 1, status=ENDED, score=0.0)]).number == 1


def test_best_cfg_repeats_the_best_trial(tmp_path):
    values = flags.parse_flagfiles()
    base = flags.format_flags(values, ("flagfile", "resume", "run_dir"))
    settings = {"learning_rate": 1e-05, "dropout": 0.25, "units": 12, "num_segments": 4}
    best = Trial(3, settings, 6, status=ENDED, score=0.75, loss=1.0)
    text = best_flags(
        best, 5, "random over a, b", "val_accuracy", base, SearchDirectory("runs/a b")
    )
    (tmp_path / "best.cfg").write_text(text)
    found = flags.parse_flagfiles(str(tmp_path / "best.cfg"))
    for name in values:
        expected = {**settings, "epochs": 6, "run_dir": "runs/a b/best"}
        assert found[name].value == expected.get(name, values[name].value), name
    assert "val_accuracy 0.7500 after epoch 6: the best of 5 trials" in text
    assert "#   python -m rlstm_tf.train '--flagfile=runs/a b/best.cfg'\n" in text
    assert "trial,status,score" in table([best], list(settings))


def test_directories_that_are_refused(tmp_path, monkeypatch):
    output = tmp_path / "search"
    searched(plan("random"), output, monkeypatch, {"a": "--a=1", "b": "--b=1"})
    before = {path: path.read_bytes() for path in output.rglob("*.*") if path.is_file()}

    def refused(kind, named, started_with, path=output):
        opened = SearchDirectory(path).open(started_with, {"c": "--c=0"})
        with pytest.raises(kind, match=re.escape(named)), opened:
            pass

    refused(UsageError, "with --a=1, this command has --a=2", {"a": "--a=2", "b": "--b=1"})
    refused(UsageError, "with --b=1, this command has no --b", {"a": "--a=1"})
    refused(UsageError, "with no --c, this command has --c=1", {"c": "--c=1", **_ab()})
    with SearchDirectory(output).open(_ab(), {}):
        refused(DataError, f"output {output} is in use by another search", _ab())
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    refused(DataError, "holds notes.txt, which no search wrote", _ab(), other)
    (tmp_path / "file").write_text("")
    refused(DataError, "cannot write", _ab(), tmp_path / "file")
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    assert before == {path: path.read_bytes() for path in before}
    (output / "best").mkdir()  # of a training by best.cfg
    record = output / "search.json"
    whole = record.read_text()
    for damaged in (whole[:-20], whole.replace("0.", "1.", 1), "[]", "{}", ""):
        record.write_text(damaged)
        refused(DataError, "search.json is damaged", _ab())
    record.unlink()
    # The runs are still there: a training refuses them if they are others.
    assert searched(plan("random"), output, monkeypatch, _ab())


def test_a_flag_that_is_newer_than_the_search_counts_as_its_default(tmp_path, monkeypatch):
    output, newer = tmp_path / "search", {**_ab(), "c": "--c=0"}
    assert searched(plan("random"), output, monkeypatch, _ab())
    assert searched(plan("random"), output, monkeypatch, newer, defaults={"c": "--c=0"}) == []
    assert json.loads((output / "search.json").read_text())["started_with"] == newer


def test_other_flags_are_taken_until_a_trial_has_finished(tmp_path, monkeypatch):
    """Its flags may be wrong; the runs are kept, and refuse other flags by themselves."""
    output = tmp_path / "search"
    searched(plan("random"), output, monkeypatch, _ab())
    whole, run = rows(output), output / "trials" / "0001" / "checkpoints"
    run.mkdir()
    (run / "step-000000001.npz").write_bytes(b"of the right flags")
    (output / "search.json").unlink()
    wrong = {"a": "--a=2", "b": "--b=1"}
    assert searched(plan("random"), output, monkeypatch, wrong, stop_after=0) == ["0001"]
    searched(plan("random"), output, monkeypatch, _ab())
    assert rows(output) == whole
    assert (run / "step-000000001.npz").exists()
    with pytest.raises(UsageError, match="--a=1, this command has --a=2"):
        searched(plan("random"), output, monkeypatch, wrong)


def write_record(output, started_with, **content):
    values = with_checksum({"started_with": started_with, **content})
    (output / "search.json").write_text(json.dumps(values))


def test_search_of_an_earlier_version(tmp_path, monkeypatch, capsys):
    """Its record was a list of trials; the search goes through its runs again."""
    output = tmp_path / "search"
    begun = searched(plan("random"), output, monkeypatch, _ab())
    expected = rows(output)
    trial = {"number": 1, "settings": {}, "epochs": 9, "after": None, "status": "ended"}
    write_record(output, _ab(), trials=[{**trial, "score": 0.5, "loss": 0.5, "reason": ""}])
    with pytest.raises(UsageError, match="started with --a=1, this command has --a=2"):
        searched(plan("random"), output, monkeypatch, {**_ab(), "a": "--a=2"})
    assert searched(plan("random"), output, monkeypatch, _ab()) == begun
    assert "search.json is from an earlier version" in capsys.readouterr().out
    assert rows(output) == expected
    assert searched(plan("random"), output, monkeypatch, _ab()) == []


def test_state_of_another_keras_tuner(tmp_path, monkeypatch):
    output = tmp_path / "search"
    searched(plan("random"), output, monkeypatch, _ab())
    state = json.loads((output / "search.json").read_text())["state"]
    del state["oracle"]["seed_state"]
    write_record(output, _ab(), state=state)
    with pytest.raises(DataError, match=r"another version of keras-tuner.*'seed_state'"):
        searched(plan("random"), output, monkeypatch, _ab())


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.mark.parametrize("tuner", ["hyperband", "random"])
def test_killed_before_any_write(tuner, tmp_path, monkeypatch):
    """Finished trials are kept, and the search ends like one that was never killed."""
    few = plan(tuner, epochs=3, max_trials=3)
    begun = searched(few, tmp_path / "whole", monkeypatch)
    write, trained = SearchDirectory.write, []
    for kill_at in itertools.count():
        output, writes = tmp_path / str(kill_at), itertools.count()

        def killed(self, path, text, kill_at=kill_at, writes=writes):
            if next(writes) == kill_at:
                raise Killed
            write(self, path, text)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(SearchDirectory, "write", killed)
            searched(few, output, monkeypatch, begun=trained)
            break
        again = searched(few, output, monkeypatch)
        assert rows(output) == rows(tmp_path / "whole")
        assert again in (begun[len(trained) :], [*trained[-1:], *begun[len(trained) :]])
        trained.clear()
    assert kill_at >= 4 * len(begun)


def _ab():
    return {"a": "--a=1", "b": "--b=1"}


def test_waits_for_a_training_of_a_killed_search(tmp_path, capsys):
    output = tmp_path / "search"
    with SearchDirectory(output).open({}, {}):
        pass
    with (output / ".training").open("w") as left:
        fcntl.flock(left, fcntl.LOCK_EX)
        waited = []
        with pytest.MonkeyPatch.context() as patch:
            real = fcntl.flock

            def flock(file, operation):
                if operation == fcntl.LOCK_EX:
                    waited.append(file.name)
                    left.close()
                return real(file, operation)

            patch.setattr(fcntl, "flock", flock)
            with SearchDirectory(output).open({}, {}):
                pass
    assert [name.rpartition("/")[2] for name in waited] == [".training"]
    assert "waiting for the training of a killed search" in capsys.readouterr().out
