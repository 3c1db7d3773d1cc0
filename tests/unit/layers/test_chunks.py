"""Attention in chunks: equal to all weights at once, without holding them."""

import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from relational_layers import layer_and_input

from rlstm_tf.compat import KERAS_3
from rlstm_tf.layers import NonLocalOperation, relation
from rlstm_tf.layers.non_local import PAIRWISE
from rlstm_tf.layers.relation import TERMS, without_chunks
from rlstm_tf.models.cost import multiply_adds

MAPS = (3, 5)
N = 15
GATES = 4
# Chunks of 4, 4, 4 and 3 positions.
IN_FOUR = GATES * 4 * N


def results(layer, inputs, traced=False, jit=False):
    """Output, and the gradients of the inputs and of every weight."""
    inputs = [tf.constant(x) for x in (inputs if isinstance(inputs, list) else [inputs])]

    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            H = layer(list(inputs) if len(inputs) > 1 else inputs[0])
            # Not a plain sum: the gradient of a softmax's weights would be zero.
            total = tf.reduce_sum(tf.square(tf.cast(H, "float64") + 0.5))
        return [H, *tape.gradient(total, [*inputs, *layer.trainable_variables])]

    run = tf.function(run, jit_compile=jit) if traced else run
    return [np.asarray(tf.cast(x, "float64")) for x in run(*inputs)]


def check_equal(monkeypatch, layer, inputs, tolerance, most=IN_FOUR, **kwargs):
    """Compares with all weights at once; the tolerance is relative to numbers above 1."""
    with without_chunks():
        expected = results(layer, inputs, **kwargs)
    monkeypatch.setattr(relation, "MOST_WEIGHTS", most)
    calls = count_calls(monkeypatch, "in_chunks")
    found = results(layer, inputs, **kwargs)
    assert calls
    for x, y in zip(expected, found):
        np.testing.assert_allclose(y, x, rtol=0, atol=tolerance * max(1.0, np.abs(x).max()))


def count_calls(monkeypatch, name):
    """Returns a list that each call of a function of `relation` appends its result to."""
    calls, function = [], getattr(relation, name)

    def call(*args):
        calls.append(function(*args))
        return calls[-1]

    monkeypatch.setattr(relation, name, call)
    return calls


@pytest.mark.parametrize("pairwise", [name for name in PAIRWISE if name != "gaussian"])
@pytest.mark.parametrize("terms", [(), *((term,) for term in TERMS), TERMS])
def test_equal(monkeypatch, pairwise, terms):
    options = dict.fromkeys(terms, True)
    layer, X = layer_and_input(2, MAPS, dtype="float64", pairwise=pairwise, unroll=True, **options)
    check_equal(monkeypatch, layer, X, 1e-12)


@pytest.mark.parametrize(
    ("pairwise", "unroll"), [("embedded_gaussian", False), ("concatenation", True)]
)
def test_equal_when_traced(monkeypatch, pairwise, unroll):
    options = dict.fromkeys(TERMS, True)
    layer, X = layer_and_input(2, MAPS, pairwise=pairwise, unroll=unroll, **options)
    check_equal(monkeypatch, layer, X, 1e-5, traced=True)


def test_equal_when_compiled(monkeypatch):
    """By XLA, as with --jit."""
    layer = NonLocalOperation(4)
    X = np.random.default_rng(2).normal(size=(2, 7, 5)).astype("float32")
    layer.build(X.shape)
    check_equal(monkeypatch, layer, X, 1e-5, most=3 * 7, traced=True, jit=True)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_equal_in_mixed_precision(monkeypatch, policy):
    """Many chunks of one position: their sums have to be more precise than the policy."""
    policy = policy if KERAS_3 else keras.mixed_precision.Policy(policy)
    options = dict.fromkeys(TERMS, True)
    layer, X = layer_and_input(2, MAPS, dtype=policy, pairwise="dot_product", **options)
    check_equal(monkeypatch, layer, X, 0.02, most=1)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_equal_for_two_sets_of_positions(monkeypatch, pairwise):
    rng = np.random.default_rng(1)
    X, Y = (rng.normal(size=(2, size, 5)) for size in (7, 4))
    layer = NonLocalOperation(6, pairwise, 0.7, dtype="float64")
    layer.build([X.shape, Y.shape])
    check_equal(monkeypatch, layer, [X, Y], 1e-12, most=3 * 4)


def test_equal_for_a_batch_of_unknown_size(monkeypatch):
    layer, X = layer_and_input(2, MAPS)
    expected = layer(X)
    monkeypatch.setattr(relation, "MOST_WEIGHTS", IN_FOUR)
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-5)
    assert tf.function(model)(X).shape == expected.shape


def test_chosen_by_size(monkeypatch):
    """All at once as long as they are few enough, or if asked for."""
    calls = count_calls(monkeypatch, "in_chunks")
    layer, X = layer_and_input(1, MAPS, unroll=True)
    monkeypatch.setattr(relation, "MOST_WEIGHTS", GATES * N * N)
    layer(X)
    assert not calls
    monkeypatch.setattr(relation, "MOST_WEIGHTS", GATES * N * N - 1)
    with without_chunks():
        layer(X)
    assert not calls
    layer(X)
    assert len(calls) == 2
    assert 4 * 14**4 < 2**21 < 4 * 28**4  # the sizes that the comment names


def test_no_weights_are_kept_for_the_backward_pass(monkeypatch):
    """Eager: what the tape keeps is what is alive after the forward pass."""
    layer, X = layer_and_input(2, MAPS, unroll=True)
    kept = {}
    for name, most in (("whole", GATES * N * N), ("chunks", IN_FOUR)):
        monkeypatch.setattr(relation, "MOST_WEIGHTS", most)
        alive = []

        def attention_weights(*args, alive=alive, function=relation.attention_weights):
            w = function(*args)
            alive.append(weakref.ref(w))
            return w

        with monkeypatch.context() as context, tf.GradientTape() as tape:
            context.setattr(relation, "attention_weights", attention_weights)
            H = layer(X)
        assert len(alive) > 2 * (name == "chunks")
        kept[name] = sum(w() is not None for w in alive)
        assert tape.gradient(H, layer.cell.kernel) is not None
    # r(X_t, X_t) for all t, and r(X_t, H_{t-1}) for each.
    assert kept == {"whole": 3, "chunks": 0}


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_no_tensor_of_a_step_has_all_weights(monkeypatch, unroll):
    """Nor does a loop stack what it computes in its chunks."""
    layer, X = layer_and_input(3, MAPS, unroll=unroll)
    monkeypatch.setattr(relation, "MOST_WEIGHTS", IN_FOUR)

    @tf.function
    def run(X):
        with tf.GradientTape() as tape:
            H = layer(X)
        return tape.gradient(H, layer.trainable_variables)

    graphs = all_graphs(run.get_concrete_function(X).graph)
    tensors = [x for graph in graphs for op in graph.get_operations() for x in op.outputs]
    shapes = [tuple(x.shape) for x in tensors if x.shape.rank is not None]
    assert (GATES, 4, N) in shapes
    assert not [shape for shape in shapes if shape[-2:] == (N, N)]
    pushed = [
        op.inputs[1].shape
        for graph in graphs
        for op in graph.get_operations()
        if op.type in ("TensorListPushBack", "TensorListSetItem")
    ]
    assert not [shape for shape in pushed if shape[-1:] == (N,)]
    assert bool(pushed)


def all_graphs(graph):
    """A graph and those of the functions that it calls, loops too."""
    found = [graph]
    for op in graph.get_operations():
        for name in ("f", "body", "cond"):
            if name in op.node_def.attr and op.node_def.attr[name].func.name:
                found += all_graphs(graph._get_function(op.node_def.attr[name].func.name).graph)
    return found


def test_multiply_adds_are_counted_at_once(monkeypatch):
    layer, X = layer_and_input(2, MAPS, unroll=True)
    model = keras.Sequential([keras.Input(X.shape[1:]), layer])
    expected = multiply_adds(model)
    monkeypatch.setattr(relation, "MOST_WEIGHTS", IN_FOUR)
    assert multiply_adds(model) == expected
