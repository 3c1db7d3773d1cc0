"""What a search varies: the ranges of its own, and those that are given."""

import re

import pytest
from searches import space

from rlstm_tf.errors import UsageError
from rlstm_tf.tuning.space import Choices, Interval


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
    assert space(num_segments=1)["num_segments"] == Choices((1, 2))
    assert space(num_segments=2)["num_segments"] == Choices((1, 2, 3))
    assert {*found} - {*space(num_segments=1, frames=1)} == {"num_segments"}
    assert space(channels=1).keys() == {*found} - {"units"}
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
        (
            "dropout=0.5",
            "--search=dropout=0.5 is one value: LOW:HIGH, or A|B|C, or --dropout=0.5 alone",
        ),
        (
            "learning_rate=1e-3|1e-3",
            "1e-3|1e-3 is one value: LOW:HIGH, or A|B|C, or --learning_rate=0.001 alone",
        ),
        ("num_segments=4", "num_segments=4 is one value: A|B|C, or --num_segments=4 alone"),
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


def test_what_cannot_vary_is_refused_where_it_is_named():
    with pytest.raises(UsageError, match="--search=num_segments=1 is one value"):
        space("num_segments", num_segments=1, frames=1)
