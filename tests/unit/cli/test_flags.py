"""Flags: values of the configurations, round trips, errors of the user."""

import pytest
from absl import flags as absl_flags
from command_lines import parse
from repository import ROOT

from rlstm_tf.cli import flags, freezing_flags, input_flags, parsing
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.runs.directory import read_flags


@pytest.mark.parametrize("name", ["ucf101_spatial", "hmdb51_spatial"])
def test_configurations_have_the_papers_numbers(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = parse(f"--flagfile=configs/{name}.cfg")
    assert (values.backbone, values.cut, values.weights) == (
        "resnet101v2",
        "conv5_block2_out",
        "imagenet",
    )
    assert (values.num_segments, values.image_size, values.batch_size) == (8, 224, 24)
    assert (values.dropout, values.epochs, parsing.parse_drop_epochs(values)) == (0.8, 50, (35, 45))
    assert (values.learning_rate, values.momentum, values.weight_decay) == (5e-4, 0.9, 5e-4)
    assert (values.batch_norm, values.batch_norm_momentum) == ("population", 0.999)
    assert (values.pairwise, values.attention_scale) == ("embedded_gaussian", 1.0)
    assert input_flags.arguments(values)["crop_scales"] == (1, 0.875, 0.75, 0.66)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.cfg")), ids=lambda p: p.name)
def test_every_configuration_parses_and_names_its_command(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = parse(f"--flagfile=configs/{path.name}")
    input_flags.arguments(values)
    parsing.parse_drop_epochs(values)
    assert f"--flagfile=configs/{path.name}" in path.read_text()


def test_formatted_flags_parse_to_the_same_values(tmp_path):
    values = parse(
        "--data=x y", "--run_dir=z", "--noflip", "--crop_scales=1,0.5", "--epochs=3", "--resume"
    )
    texts = flags.format_flags(values, ("resume",))
    path = tmp_path / "flags.cfg"
    path.write_text("\n".join(texts.values()))
    again = read_flags(path)
    assert not again.resume
    assert (again.data, again.flip, again.epochs) == ("x y", False, 3)
    assert flags.format_flags(again, ("resume",)) == texts


def test_missing_and_damaged_runs(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        read_flags(tmp_path / "flags.cfg")
    for text in ("--epochs=many\n", "--epochs=3\n", "--data=x\n--epochs=3\n"):
        (tmp_path / "flags.cfg").write_text(text)
        with pytest.raises(DataError, match="damaged"):
            read_flags(tmp_path / "flags.cfg")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--crop_scales=1,two", "--crop_scales=1,two: floats, from 1e-06 to 1"),
        ("--crop_scales=1.5", "--crop_scales=1.5"),
        ("--crop_scales=0", "--crop_scales=0"),
        ("--drop_epochs=3,2", "--drop_epochs=3,2: must rise"),
        ("--drop_epochs=0", "--drop_epochs=0: ints, from 1 to 1e+09"),
    ],
)
def test_lists_of_numbers(argument, message):
    values = parse(argument)
    with pytest.raises(UsageError, match=message.replace("+", r"\+")):
        (input_flags.arguments if "crop" in argument else parsing.parse_drop_epochs)(values)


def test_drop_epochs_may_be_empty():
    assert parsing.parse_drop_epochs(parse("--drop_epochs=")) == ()


@pytest.mark.parametrize(
    "given",
    [
        ["--cache_maps=auto", "--cache_frames=8", "--cache_views=center"],
        # As in the flags.cfg of a run without cached maps.
        ["--cache_frames=32", "--cache_views=center,mirrored"],
    ],
)
def test_options_of_cached_maps_that_are_taken(given):
    freezing_flags.check_cache(parse(*given))


@pytest.mark.parametrize("norm", ["0", "-1", "1e31"])
def test_norms_that_are_refused(norm):
    """A norm near the largest float32 has an inverse of zero, which clips all gradients to zero."""
    with pytest.raises(absl_flags.Error, match=f"--clip_norm={float(norm):g}"):
        parse(f"--clip_norm={norm}")
    assert parse("--clip_norm=1e30").clip_norm == 1e30


def test_every_option_of_a_network_has_its_flag():
    values = parse()
    for name, option in ModelConfig.options().items():
        assert (name in values) == option.flag, name
        if option.flag:
            assert (values[name].default, values[name].help.endswith(option.help)) == (
                option.default,
                True,
            )
    assert ModelConfig.from_flags(values) == ModelConfig()


def test_flags_become_a_configuration():
    values = parse("--model=rlstm", "--units=3", "--attention_scale=0.5", "--bidirectional")
    expected = ModelConfig("rlstm", units=3, attention_scale=0.5, bidirectional=True)
    assert ModelConfig.from_flags(values) == expected
    assert ModelConfig.from_flags(parse("--stream=temporal")).channels == 20
    assert ModelConfig.from_flags(parse("--stream=temporal", "--new_length=4")).channels == 8
    with pytest.raises(UsageError, match="--new_length=4 goes with --stream=temporal"):
        ModelConfig.from_flags(parse("--new_length=4"))
    with pytest.raises(UsageError, match="--lstm_cell=peephole goes with --model=lstm"):
        ModelConfig.from_flags(parse("--lstm_cell=peephole"))


def test_shared_embeddings_are_refused(tmp_path):
    assert parse("--embeddings=separate").embeddings == "separate"
    with pytest.raises(absl_flags.Error, match="--embeddings=shared: shared embeddings were remov"):
        parse("--embeddings=shared")
    path = tmp_path / "flags.cfg"
    path.write_text("--data=x\n--run_dir=y\n--embeddings=shared\n")
    with pytest.raises(DataError, match="shared embeddings were removed"):
        read_flags(path)
