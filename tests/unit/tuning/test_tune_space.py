"""Search spaces: default ranges, and those that --search gives."""

import re

import pytest
from searches import space

from rlstm_tf.errors import UsageError
from rlstm_tf.tuning.space import Choices, Interval


def test_by_default_all_settings_of_the_model_vary():
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


def test_given_ranges_and_choices():
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
        ("rate", "unknown setting 'rate', known: learning_rate,"),
        (
            "dropout=0.5",
            "dropout=0.5 is a single value: give LOW:HIGH or A|B|C, or --dropout=0.5 to fix it",
        ),
        (
            "learning_rate=1e-3|1e-3",
            "is a single value: give LOW:HIGH or A|B|C, or --learning_rate=0.001 to fix it",
        ),
        (
            "num_segments=4",
            "num_segments=4 is a single value: give A|B|C, or --num_segments=4 to fix it",
        ),
        ("dropout=x:1", "--search=dropout=x:1: could not"),
        ("dropout=0.5:0.1", "LOW must be below HIGH"),
        ("dropout=0:1:2", "must be LOW:HIGH or A|B|C"),
        ("dropout=nan:1", "finite"),
        ("dropout=", "could not"),
        ("learning_rate=0:1", "LOW must be above 0 and below HIGH"),
        ("num_segments=4:8", "num_segments takes values, A|B|C"),
        ("num_segments=4|x", "invalid literal"),
        ("batch_norm_momentum=0.9:0.99", "batch_norm_momentum takes values"),
    ],
)
def test_invalid_ranges(text, named):
    with pytest.raises(UsageError, match=re.escape(named)):
        space(text)


def test_settings_without_effect_or_named_twice_are_refused():
    with pytest.raises(UsageError, match="units has no effect with --model=tsn"):
        space("units", model="tsn")
    with pytest.raises(UsageError, match="names dropout twice"):
        space("dropout", "dropout=0:0.5")


def test_a_named_setting_that_cannot_vary_is_refused():
    with pytest.raises(UsageError, match="--search=num_segments=1 is a single value"):
        space("num_segments", num_segments=1, frames=1)
