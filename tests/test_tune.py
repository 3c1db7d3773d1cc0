"""The search: what is varied, who draws it, what it leaves, what it refuses."""

import csv
import fcntl
import json
import math
import re
import sys

import pytest
from run_events import hparams_of
from small_shards import texture_jpeg, write_shards

from rlstm_tf import cli, flags, tune
from rlstm_tf.data.schema import Manifest
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.tuning import oracles, process
from rlstm_tf.tuning.directory import SearchDirectory
from rlstm_tf.tuning.results import ENDED, FAILED, Trial, best_flags, best_of, table
from rlstm_tf.tuning.space import Choices, Interval, search_space
from rlstm_tf.tuning.trials import Plan

BASE = {"model": "two_branch", "batch_norm": "population", "num_segments": 8}
SMALL = (
    *("--model=tsn", "--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2"),
    *("--image_size=32", "--batch_size=4", "--batch_norm=batch", "--batch_norm_momentum=0.9"),
    *("--drop_epochs=2", "--deterministic", "--epochs=1"),
)


def space(*texts, frames=100, **base):
    values = {"learning_rate": float, "dropout": float, "weight_decay": float}
    values.update(batch_norm_momentum=float, attention_scale=float, num_segments=int, units=int)
    return search_space(
        texts, {**BASE, **base}, lambda: 2048, frames, lambda name, text: values[name](text)
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twelve videos to train on, six for validation."""
    directory = tmp_path_factory.mktemp("shards") / "shards"
    both = {
        subset: write_shards(directory, [6] * count, subset=subset, ids=ids, image=texture_jpeg)
        for subset, count, ids in (("train", 12, None), ("val", 6, [f"w{v}" for v in range(6)]))
    }
    subsets = {name: manifest.subsets[name] for name, manifest in both.items()}
    manifest = both["train"]
    Manifest(**{**vars(manifest), "subsets": subsets}).save(str(directory))
    return directory


def run(*arguments):
    return cli.run(tune.main, tune.define_flags, ["tune", *map(str, arguments)])


def rows(output):
    with (output / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_that_the_model_has_is_searched_unless_it_is_said():
    found = space()
    assert list(found) == [
        *("learning_rate", "dropout", "weight_decay", "batch_norm_momentum"),
        *("attention_scale", "num_segments", "units"),
    ]
    assert found["learning_rate"] == Interval(1e-4, 0.1, logarithmic=True)
    assert found["dropout"] == Interval(0, 0.8, logarithmic=False)
    assert found["units"] == Choices((512, 1024, 2048))
    assert found["num_segments"] == Choices((4, 8, 12))
    assert space(frames=10)["num_segments"] == Choices((4, 8))
    assert {*found} - {*space(model="lstm")} == {"attention_scale"}
    assert {*found} - {*space(model="tsn")} == {"attention_scale", "units"}
    assert {*found} - {*space(batch_norm="frozen")} == {"batch_norm_momentum"}


def test_ranges_and_choices_that_are_given():
    found = space("dropout", "learning_rate=1e-3:1e-2", "num_segments=8|4", "weight_decay=0|1e-4")
    assert found == {
        "dropout": Interval(0, 0.8, logarithmic=False),
        "learning_rate": Interval(1e-3, 1e-2, logarithmic=True),
        "num_segments": Choices((4, 8)),
        "weight_decay": Choices((0, 1e-4)),
    }
    again = space(*(f"{name}={values}" for name, values in found.items()))
    assert again == found
    assert found["learning_rate"].rounded(0.00123456) == 0.00123
    assert Interval(0.12345, 0.5, logarithmic=False).rounded(0.1234501) == 0.12345


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rate", "'rate' is none of learning_rate,"),
        ("dropout=0.5", "--search=dropout=0.5 is one value"),
        ("dropout=x:1", "--search=dropout=x:1: could not"),
        ("dropout=0.5:0.1", "LOW and below HIGH"),
        ("dropout=0:1:2", "LOW:HIGH, or A|B|C"),
        ("dropout=nan:1", "finite"),
        ("dropout=", "could not"),
        ("learning_rate=0:1", "LOW above 0"),
        ("num_segments=4:8", "of num_segments one gives values"),
        ("num_segments=4|x", "invalid literal"),
        ("batch_norm_momentum=0.9:0.99", "one gives values"),
    ],
)
def test_ranges_that_are_none(text, named):
    with pytest.raises(UsageError, match=re.escape(named)):
        space(text)


def test_what_does_nothing_or_is_named_twice_is_refused():
    with pytest.raises(UsageError, match="units does nothing with --model=tsn"):
        space("units", model="tsn")
    with pytest.raises(UsageError, match="names dropout twice"):
        space("dropout", "dropout=0:0.5")


def plan(tuner, **more):
    fields = {"tuner": tuner, "space": space("learning_rate", "num_segments"), "seed": 0}
    fields.update(flags={"model": "--model=tsn"}, objective="val_accuracy", epochs=9)
    return Plan(**{**fields, "max_trials": 5, "factor": 3, **more})


def trained(run_dir, arguments, epochs, hold, seen):
    """In place of a training: a function of its settings."""
    values = dict(argument.lstrip("-").split("=") for argument in arguments)
    rate = float(values["learning_rate"])
    if rate > 0.03:
        raise process.FailedError("the loss became nan at step 1, learning rate 0.1")
    run_dir.mkdir(exist_ok=True)
    accuracy = 0.9 / (1 + abs(math.log10(rate / 0.01))) * (1 - 0.5**epochs)
    return {"val_accuracy": accuracy, "val_loss": 1 - accuracy}


def searched(plan, output, monkeypatch, started=None, stop_after=None):
    """Searches; where `stop_after` is given, Ctrl-C comes in the trial after so many."""
    begun = []

    def train(run_dir, *arguments):
        begun.append(run_dir.name)
        if len(begun) - 1 == stop_after:
            raise KeyboardInterrupt
        return trained(run_dir, *arguments)

    monkeypatch.setattr(process, "train", train)
    directory = SearchDirectory(output)
    with directory.claimed(started or {"seed": "--seed=0"}):
        try:
            oracles.search(plan, directory)
        except KeyboardInterrupt:
            assert stop_after is not None
    return begun


@pytest.mark.parametrize("tuner", ["hyperband", "bayesian", "random"])
def test_a_search_that_is_stopped_goes_on_as_if_it_had_not_been(tuner, tmp_path, monkeypatch):
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
    # What was under way is begun again, what is over is not.
    assert sorted(set(again)) == sorted(begun)
    assert len(again) <= len(begun) * 1.5
    assert searched(plan(tuner), other, monkeypatch) == []
    best = (one / "best.cfg").read_text().replace("/one", "/other")
    assert (other / "best.cfg").read_text() == best


def test_another_seed_draws_others(tmp_path, monkeypatch):
    for seed in (0, 1, 2**32 - 1):
        searched(plan("random", seed=seed), tmp_path / str(seed), monkeypatch)
        assert len(rows(tmp_path / str(seed))) == 5
    assert rows(tmp_path / "0") not in (rows(tmp_path / "1"), rows(tmp_path / str(2**32 - 1)))


def test_hyperband_goes_on_with_the_best(tmp_path, monkeypatch):
    searched(plan("hyperband"), tmp_path / "search", monkeypatch)
    found = {int(row["trial"]): row for row in rows(tmp_path / "search")}
    assert [int(row["epochs"]) for row in found.values()].count(1) == 9
    assert sum(oracles.planned(plan("hyperband"))) == 75
    assert len(found) == len(oracles.planned(plan("hyperband")))
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


def test_the_same_settings_are_not_trained_twice(tmp_path, monkeypatch):
    few = plan("bayesian", space=space("num_segments=4|8"), max_trials=6)
    monkeypatch.setattr(process, "train", lambda *_: {"val_accuracy": 0.5, "val_loss": 1.0})
    directory = SearchDirectory(tmp_path / "search")
    with directory.claimed({}):
        oracles.search(few, directory)
    reasons = [row["reason"] for row in rows(tmp_path / "search")]
    assert reasons.count("") == 2
    assert all(reason.startswith("the same as trial 000") for reason in reasons if reason)


def test_a_search_in_which_nothing_ends(tmp_path, monkeypatch):
    high = plan("random", space=space("learning_rate=0.05:0.1"), max_trials=2)
    with pytest.raises(DataError, match="none of the 2 trials ended: the loss became nan"):
        searched(high, tmp_path / "search", monkeypatch)
    assert [row["status"] for row in rows(tmp_path / "search")] == [FAILED, FAILED]
    assert not (tmp_path / "search" / "best.cfg").exists()


def test_an_error_of_our_own_is_not_taken_for_the_trials(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(process, "train", broken)
    directory = SearchDirectory(tmp_path / "search")
    with directory.claimed({}), pytest.raises(ZeroDivisionError):
        oracles.search(plan("random"), directory)


def test_best_of_equal_scores_the_smaller_loss_then_the_first():
    trials = [
        Trial(1, {}, 1, status=FAILED),
        Trial(2, {}, 1, status=ENDED, score=0.5, loss=1.5),
        Trial(3, {}, 1, status=ENDED, score=0.5, loss=1.25),
        Trial(4, {}, 1, status=ENDED, score=0.5, loss=1.25),
    ]
    assert best_of(trials).number == 3
    assert best_of(trials[:1]) is None
    assert best_of([Trial(1, {}, 1, status=ENDED, score=0.0)]).number == 1


def test_the_best_as_flags_of_a_training(tmp_path):
    values = flags.of_files()
    base = flags.serialize(values, ("flagfile", "resume", "run_dir"))
    settings = {"learning_rate": 1e-05, "dropout": 0.25, "units": 12, "num_segments": 4}
    best = Trial(3, settings, 6, status=ENDED, score=0.75, loss=1.0)
    text = best_flags(best, 5, "random over a, b", "val_accuracy", base, "runs/a b")
    (tmp_path / "best.cfg").write_text(text)
    found = flags.of_files(str(tmp_path / "best.cfg"))
    for name in values:
        expected = {**settings, "epochs": 6, "run_dir": "runs/a b/best"}
        assert found[name].value == expected.get(name, values[name].value), name
    assert "val_accuracy 0.7500 after epoch 6: the best of 5 trials" in text
    assert "trial,status,score" in table([best], list(settings))


def test_whose_directory_it_is(tmp_path, monkeypatch):
    output = tmp_path / "search"
    searched(plan("random"), output, monkeypatch, {"a": "--a=1", "b": "--b=1"})
    before = {path: path.read_bytes() for path in output.rglob("*.*") if path.is_file()}

    def refused(kind, named, started_with, path=output):
        directory = SearchDirectory(path)
        with pytest.raises(kind, match=re.escape(named)), directory.claimed(started_with):
            pass

    refused(UsageError, "with --a=1, this command says --a=2", {"a": "--a=2", "b": "--b=1"})
    refused(UsageError, "with --b=1, this command says nothing of it", {"a": "--a=1"})
    refused(UsageError, "with no --c, this command says --c=1", {"c": "--c=1", **_ab()})
    with SearchDirectory(output).claimed(_ab()):
        refused(DataError, f"output {output} is in use by another search", _ab())
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    refused(DataError, "holds notes.txt, which is of no search", _ab(), other)
    (tmp_path / "file").write_text("")
    refused(DataError, "cannot write", _ab(), tmp_path / "file")
    assert before == {path: path.read_bytes() for path in before}
    record = output / "search.json"
    whole = record.read_text()
    for damaged in (whole[:-20], whole.replace("0.", "1.", 1), "[]", "{}", ""):
        record.write_text(damaged)
        refused(DataError, "search.json is damaged", _ab())
    record.unlink()
    # The runs are still there: a training refuses them if they are others.
    assert searched(plan("random"), output, monkeypatch, _ab())


def _ab():
    return {"a": "--a=1", "b": "--b=1"}


def test_it_waits_for_a_training_that_was_left(tmp_path, capsys):
    output = tmp_path / "search"
    with SearchDirectory(output).claimed({}):
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
            with SearchDirectory(output).claimed({}):
                pass
    assert [name.rpartition("/")[2] for name in waited] == [".training"]
    assert "waits for the training of a killed search" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "said", "kind", "named"),
    [
        (2, "error: --cut: no\n", UsageError, "--cut: no"),
        (1, "warning: a\nerror: shard x is damaged\n", DataError, "shard x is damaged"),
        (1, "Traceback\n  line\nKeyError: 'a'\n", DataError, "status 1"),
        (
            1,
            "error: the loss became nan at step 3, learning rate 10: checkpoints of before are "
            "kept; try a smaller --learning_rate\n",
            process.FailedError,
            "the loss became nan at step 3, learning rate 10",
        ),
        (1, "Traceback\nResourceExhaustedError: {{node x}}\n", process.FailedError, "out of"),
        (-9, "", process.FailedError, "ended by SIGKILL 3 times"),
        (0, "stopped by SIGTERM\n", process.FailedError, "ended by SIGTERM 3 times"),
    ],
)
def test_how_a_training_that_ended_is_judged(tmp_path, monkeypatch, status, said, kind, named):
    starts = []

    def ended(arguments, log, hold, look):
        starts.append(arguments)
        with log.open("a") as file:
            file.write(said)
        return status

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / process.LOG).write_text("error: of an earlier start\n")
    monkeypatch.setattr(process, "_run", ended)
    with pytest.raises(kind, match=re.escape(named)):
        process.train(tmp_path / "run", ["--a=1"], 1, 0, lambda epochs: None)
    assert starts[0] == ["--a=1", f"--run_dir={tmp_path / 'run'}", "--resume"]
    assert len(starts) == (3 if "3 times" in named else 1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--output="], "--output must be given"),
        (["--data="], "--data must be given"),
        (["--val_subset=none"], "--val_subset=none: there would be nothing to choose by"),
        (["--val_subset=test"], "--val_subset=test: there would be no longer a test"),
        (["--strategy=multi_worker"], "--strategy=multi_worker"),
        (["--tuner=grid"], "tuner"),
        (["--tuner=hyperband", "--max_trials=3"], "--max_trials does nothing"),
        (["--tuner=random", "--max_epochs=3"], "--max_epochs does nothing"),
        (["--factor=1"], "factor"),
        (["--search=dropout=0:2"], "--search=dropout=0:2"),
        (["--search=units"], "units does nothing with --model=tsn"),
        (["--drop_epochs=2,1"], "--drop_epochs=2,1"),
    ],
    ids=str,
)
def test_wrong_flags(shards, tmp_path, capsys, wrong, named):
    output = tmp_path / "search"
    assert run(f"--data={shards}", f"--output={output}", *SMALL, *wrong) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert named in error
    assert not output.exists()


def test_without_keras_tuner(shards, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "rlstm_tf.tuning.oracles")
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    monkeypatch.delattr("rlstm_tf.tuning.oracles")
    assert run(f"--data={shards}", f"--output={tmp_path / 'search'}", *SMALL) == 2
    expected = "error: rlstm_tf.tune needs keras-tuner: pip install 'rlstm-tf[tune]'\n"
    assert capsys.readouterr().err.endswith(expected)


def test_real_trainings_one_of_which_diverges(shards, tmp_path, capsys):
    """The space is searched to its end; a wrong flag ends the search, and can be mended."""
    output = tmp_path / "search"
    arguments = (f"--data={shards}", f"--output={output}", *SMALL, "--tuner=random")
    arguments = (*arguments, "--search=learning_rate=0.01|1e30")
    assert run(*arguments, "--cut=conv9") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cut 'conv9' is no layer")
    assert run(*arguments) == 0
    found = {row["learning_rate"]: row for row in rows(output)}
    assert {rate: row["status"] for rate, row in found.items()} == {"0.01": ENDED, "1e+30": FAILED}
    assert "learning rate 1e+30" in found["1e+30"]["reason"]
    said = capsys.readouterr()
    assert sum(line.startswith("trial ") for line in said.out.splitlines()) == 2
    assert f"rlstm_tf.train --flagfile={output}/best.cfg" in said.out
    assert "Traceback" not in said.out + said.err
    values = flags.of_files(str(output / "best.cfg"))
    assert (values.learning_rate, values.epochs, values.keep_checkpoints) == (0.01, 1, 3)
    trial = output / "trials" / found["0.01"]["trial"]
    for rate, row in found.items():
        name, shown = hparams_of(output / "trials" / row["trial"])
        assert name == f"trials/{row['trial']}"
        assert shown["learning_rate"] == float(rate), "of each trial a row in the HParams tab"
    assert (trial / "train.log").stat().st_size
    started = json.loads((output / "search.json").read_text())["started_with"]
    assert started["search"] == "--search=learning_rate=0.01|1e+30"
    before = (trial / "train.log").read_bytes()
    assert run(*arguments) == 0
    assert (trial / "train.log").read_bytes() == before
