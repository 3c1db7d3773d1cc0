"""The configuration of a network: checks, JSON, independence of TensorFlow."""

import json

import pytest

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import ModelConfig


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("model", "trn", "model='trn' must be one of two_branch, rlstm"),
        ("cut", 5, "cut=5 must be str"),
        ("num_segments", 0, "num_segments=0 must be a number from 1 to 1024"),
        ("num_segments", 2.5, "num_segments=2.5 must be int"),
        ("num_segments", True, "num_segments=True must be int"),
        ("units", -1, "units=-1 must be a number from 1"),
        ("dropout", 1.0, "dropout=1.0 must be a number from 0 to 0.999"),
        ("dropout", float("nan"), "dropout=nan must be a number"),
        ("attention_scale", float("inf"), "attention_scale=inf must be a number"),
        ("bidirectional", 1, "bidirectional=1 must be bool"),
        ("batch_norm", None, "batch_norm=None must be str"),
        ("lstm_cell", "peephole", "--lstm_cell=peephole goes with --model=lstm"),
    ],
)
def test_values_are_checked(option, value, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        ModelConfig(**{option: value})
    with pytest.raises(DataError, match=message):
        ModelConfig.from_json(json.dumps({option: value}))


def test_whole_numbers_are_floats_too():
    assert ModelConfig(dropout=0, units=None).dropout == 0


def test_json():
    config = ModelConfig("lstm", cut="x", units=3, dropout=0.25, lstm_cell="peephole", channels=20)
    assert ModelConfig.from_json(config.to_json()) == config
    assert ModelConfig.from_json("{}") == ModelConfig()
    for text in ("", "[1]", '{"depth": 3}', "[" * 100_000):
        with pytest.raises(DataError, match="not a configuration of a network"):
            ModelConfig.from_json(text)


def test_state_size():
    assert ModelConfig().state_size(2048) == 1024
    assert ModelConfig(units=7).state_size(2048) == 7
