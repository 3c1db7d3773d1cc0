"""Which layers of a backbone are frozen."""

import pytest
from small_networks import tiny_network

from rlstm_tf.errors import UsageError
from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.freezing import split_by_block

# Blocks of each backbone, in the trunk at the default cut and above it, and layers after the last.
BLOCKS = {
    "densenet121": (42, 58, ["bn", "relu"]),
    "efficientnet_b0": (15, 16, ["top_conv", "top_bn", "top_activation"]),
    "inception_v3": (10, 11, []),
    "mobilenet": (12, 13, []),
    "mobilenet_v2": (15, 16, ["Conv_1", "Conv_1_bn", "out_relu"]),
    "resnet50v2": (15, 16, ["post_bn", "post_relu"]),
    "tiny_resnetv2": (5, 6, ["post_bn", "post_relu"]),
    "vgg16": (4, 5, []),
}
QUICK = ("mobilenet", "mobilenet_v2", "tiny_resnetv2", "vgg16")


def tiny(model="two_branch", freeze="none"):
    return tiny_network(3, freeze, model=model, num_segments=2)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_each_backbone(name, request):
    if name not in QUICK and not request.config.getoption("--thorough"):
        pytest.skip("with --thorough")
    backbone = build_backbone(name, weights="none", image_size=75)
    below = [layer.name for layer in backbone.trunk.layers]
    names = below + [layer.name for layer in backbone.tail.layers]
    in_trunk, count, after = BLOCKS[name]
    blocks = split_by_block(names)
    assert len(split_by_block(below)) == in_trunk
    assert len(blocks) == count
    assert names[sum(map(len, blocks)) :] == after
    assert blocks[0][0] == names[0]


def test_blocks_by_name():
    names = ["stem_conv", "block1a_dwconv", "block1a_bn", "block2a_expand_conv", "block2b_add"]
    assert split_by_block([*names, "top_conv"]) == [names[:3], names[3:4], names[4:]]
    names = ["conv1", "conv_dw_1", "conv_dw_1_bn", "conv_pw_1", "conv_pad_2", "conv_dw_2"]
    assert split_by_block(names) == [names[:4], names[4:]]


def names_of_trained(network):
    return {
        f"{part}/{layer.name}"
        for part in ("trunk", "tail", "non_local_tail")
        for layer in network.get_layer(part).layers
        if layer.trainable_weights
    }


def test_trunk():
    before = names_of_trained(tiny())
    trained = names_of_trained(tiny(freeze="trunk"))
    assert trained == {name for name in before if not name.startswith("trunk/")}
    assert not tiny(freeze="trunk").get_layer("trunk").trainable_weights


def test_blocks_in_trunk_and_tail():
    """The tail of the non-local branch has the same names, but begins with random weights."""
    before = names_of_trained(tiny())
    two = before - names_of_trained(tiny(freeze="2"))
    assert two == {name for name in before if "/conv2_" in name or "/conv1_" in name} | {
        name for name in before if name.startswith("trunk/conv3_")
    }
    everything = before - names_of_trained(tiny(freeze="6"))
    assert {name.split("/")[0] for name in everything} == {"trunk", "tail"}
    assert "tail/post_bn" not in everything
    assert not tiny("rlstm", "5").get_layer("trunk").trainable_weights


def test_too_many_blocks():
    with pytest.raises(UsageError, match="--freeze=7: the backbone has 6 blocks"):
        tiny(freeze="7")
