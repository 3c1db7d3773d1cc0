"""Multiply-adds against formulas."""

import keras
import pytest
import tensorflow as tf

from rlstm_tf import cost
from rlstm_tf.cli import app
from rlstm_tf.compat import unrolled_conv_lstm
from rlstm_tf.layers import NonLocalOperation, RelationalLSTM
from rlstm_tf.models.cost import multiply_adds
from rlstm_tf.models.transformer import NUM_LAYERS, transformer_encoder


def count(*layers, shape):
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return multiply_adds(keras.Model(inputs, x))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # 8 x 6 positions of 5 filters over 3 x 3 x 4.
        (keras.layers.Conv2D(5, 3, padding="same"), 48 * 5 * 36),
        # A 3 x 3 window with stride 2 fits 8 x 6 at 3 x 2 places.
        (keras.layers.Conv2D(5, 3, strides=2), 3 * 2 * 5 * 36),
        # Each filter sees one channel; two filters a channel.
        (keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), 48 * 4 * 2 * 9),
        (keras.layers.Dense(7), 48 * 4 * 7),
        (keras.layers.BatchNormalization(), 0),
    ],
)
def test_layers_over_maps(layer, expected):
    assert count(layer, shape=(8, 6, 4)) == expected


def test_layers_add_up_without_those_that_no_output_needs():
    inputs = keras.Input((8, 6, 4))
    first = keras.layers.Conv2D(5, 1, name="first")(inputs)
    second = keras.layers.Dense(3)(keras.layers.Flatten()(first))
    assert multiply_adds(keras.Model(inputs, second)) == 48 * 4 * 5 + 240 * 3
    both = keras.Model(inputs, [first, second])

    class FirstOfBoth(keras.layers.Layer):
        def call(self, x):
            return both(x)[0]

    assert count(FirstOfBoth(), shape=(8, 6, 4)) == 48 * 4 * 5


@pytest.mark.parametrize(
    ("equation", "other", "expected"),
    [
        ("bnc,cu->bnu", (4, 7), 6 * 4 * 7),
        ("bnc,...mc->b...nm", (2, 5, 4), 6 * 4 * 2 * 5),
        ("...nc,...mc->...nm", (5, 4), 6 * 4 * 5),
    ],
)
def test_einsum(equation, other, expected):
    constant = tf.ones(other)
    layer = keras.layers.Lambda(lambda x: tf.einsum(equation, x, constant))
    assert count(layer, shape=(6, 4)) == expected


def test_groups():
    """Two groups: each filter sees 2 of 4 channels."""
    kernel = tf.ones((3, 3, 2, 6))
    layer = keras.layers.Lambda(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"))
    assert count(layer, shape=(8, 6, 4)) == 48 * 6 * 18


def test_nested_functions():
    """A function that calls another twice."""
    inner = tf.function(lambda x: tf.matmul(x, tf.ones((4, 5))), autograph=False)
    outer = tf.function(lambda x: inner(x) + inner(x + 1.0), autograph=False)
    layer = keras.layers.Lambda(lambda x: outer(tf.reduce_sum(x, axis=0, keepdims=True)))
    assert count(layer, shape=(4,)) == 2 * 4 * 5


def test_non_local_operation():
    """Embeddings of N positions of X and M of Y, w = theta phi^T, z = w g."""
    N, M, C_x, C_y, U = 12, 6, 5, 7, 3

    class WithConstantY(NonLocalOperation):
        def build(self, input_shape):
            super().build([input_shape, (None, 2, 3, C_y)])

        def call(self, X):
            return super().call([X, tf.ones((1, 2, 3, C_y))])

    expected = N * C_x * U + 2 * M * C_y * U + 2 * N * M * U
    assert count(WithConstantY(U), shape=(4, 3, C_x)) == expected
    assert count(NonLocalOperation(U), shape=(4, 3, C_x)) == 3 * N * C_x * U + 2 * N * N * U


def test_relational_lstm():
    """Eq. 3: four gates of r(X, X) and r(X, H), each with theta, phi, g and attention.

    All T steps count equally, because the products with H_0 = 0 are computed.
    """
    T, N, C, U = 5, 6, 8, 4
    of_input = 3 * N * C * U + 2 * N * N * U
    of_state = N * C * U + 2 * N * U * U + 2 * N * N * U
    layer = RelationalLSTM(U, unroll=True)
    assert count(layer, shape=(T, 2, 3, C)) == T * 4 * (of_input + of_state)


def test_convolutional_lstm():
    T, N, C, U = 5, 12, 8, 4
    layer = unrolled_conv_lstm(U, kernel_size=3, padding="same")
    assert count(layer, shape=(T, 4, 3, C)) == T * 4 * N * 9 * U * (C + U)


def test_lstm():
    T, C, U = 5, 8, 4
    layer = keras.layers.LSTM(U, unroll=True)
    assert count(layer, shape=(T, C)) == T * 4 * U * (C + U)


def test_transformer_encoder():
    """Each of M tokens: C d, and in each layer 4 d^2 + 4 d^2 and an attention of 2 M d."""
    T, N, C, d = 5, 6, 8, 12
    maps = keras.Input((T, 2, 3, C))
    M = T * N
    expected = M * (C * d + NUM_LAYERS * (8 * d**2 + 2 * M * d))
    assert multiply_adds(keras.Model(maps, transformer_encoder(d)(maps))) == expected


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (RelationalLSTM(4), (5, 2, 3, 8)),
        (keras.layers.LSTM(4), (5, 8)),
        (keras.layers.ConvLSTM2D(4, 3), (5, 4, 3, 8)),
    ],
)
def test_loops_are_refused(layer, shape):
    with pytest.raises(ValueError, match=r"while.* runs an unknown number of times"):
        count(layer, shape=shape)


def test_resnet50v2_against_its_architecture_and_the_published_figure():
    """3.49 G at 224, with Keras's strides in the last block of a stage; published: 3.5 G."""
    network = keras.applications.ResNet50V2(weights=None, include_top=True)
    stages = [(64, 3, 56, 28), (128, 4, 28, 14), (256, 6, 14, 7), (512, 3, 7, 7)]
    expected, channels = 112 * 112 * 64 * 49 * 3 + 2048 * 1000, 64
    for width, blocks, side, after in stages:
        for block in range(blocks):
            out = after if block == blocks - 1 else side
            if block == 0:
                expected += out**2 * channels * 4 * width
            expected += side**2 * channels * width  # 1 x 1
            expected += out**2 * 9 * width**2  # 3 x 3, with the stride
            expected += out**2 * width * 4 * width  # 1 x 1
            channels = 4 * width
    assert multiply_adds(network) == expected
    assert expected == pytest.approx(3.49e9, rel=0.01)


def test_table(capsys):
    """The tiny backbone's pinned parameters, and multiply-adds for both streams."""
    arguments = ["--backbone=tiny_resnetv2", "--image_size=32", "--num_segments=2"]
    arguments += ["--models=tsn,rlstm", "--weights=imagenet"]
    assert app.run(cost.main, cost.define_flags, ["cost", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    head, _, tsn, rlstm = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert head[:3] == ["model", "parameters, 3 channels", "G multiply-adds, 3 channels"]
    assert (tsn[0], tsn[1], rlstm[1]) == ("`tsn`", "37,145", "81,241")
    assert int(tsn[3].replace(",", "")) - 37_145 == 7 * 7 * 17 * 16
    # The first convolution of two snippets: 16 x 16 positions, 16 filters, 17 more channels.
    assert float(tsn[4]) - float(tsn[2]) == pytest.approx(2 * 256 * 16 * 49 * 17 / 1e9, rel=0.01)
    assert float(rlstm[2]) > float(tsn[2]) > 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--channels=3,many", "--channels=3,many: ints"),
        ("--models=tsn,trn", "--models=tsn,trn: of two_branch,"),
    ],
)
def test_refusals(argument, message, capsys):
    arguments = ["cost", "--backbone=tiny_resnetv2", "--image_size=32", argument]
    assert app.run(cost.main, cost.define_flags, arguments) == app.USAGE
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""
