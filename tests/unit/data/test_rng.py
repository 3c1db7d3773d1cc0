from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rlstm_tf.data.rng import rng_at


def new_generator(seed, epoch, position, purpose):
    counter = [0, position, epoch, purpose]
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


def draw_numbers(generator):
    # An odd number of 32-bit draws leaves half a block.
    return [*generator.integers(13, size=3), *generator.permutation(9), generator.random()]


def test_draws_equal_those_of_a_new_generator():
    for key in [(0, 0, 0, 0), (5, 1, 7, 1), (2**32 - 1, 3, 2**40, 1), (5, 1, 7, 1)]:
        assert draw_numbers(rng_at(*key)) == draw_numbers(new_generator(*key))


def test_threads_do_not_share_a_generator():
    def draw(position):
        generator = rng_at(1, 2, position, 1)
        return [generator.integers(1000) for _ in range(200)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(draw, range(64)))
    for position, numbers in enumerate(found):
        generator = new_generator(1, 2, position, 1)
        assert numbers == [generator.integers(1000) for _ in range(200)]
