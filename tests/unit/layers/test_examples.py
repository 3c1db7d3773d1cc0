"""Runs the examples in the docstrings of the layers."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

from rlstm_tf import layers

MODULES = [f"rlstm_tf.layers.{module.name}" for module in pkgutil.iter_modules(layers.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    namespace = {**vars(module), "keras": keras, "np": np}
    assert doctest.testmod(module, extraglobs=namespace).failed == 0


@pytest.mark.parametrize("name", layers.__all__)
def test_each_layer_has_an_example(name):
    assert ">>> " in getattr(layers, name).__doc__
