from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rlstm_tf.data.rng import rng_at


def fresh(seed, epoch, position, purpose):
    counter = [0, position, epoch, purpose]
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


def drawn(generator):
    # An odd number of 32-bit draws: half a block is left over.
    return [*generator.integers(13, size=3), *generator.permutation(9), generator.random()]


def test_the_numbers_are_those_of_a_new_philox_whatever_was_drawn_before():
    for place in [(0, 0, 0, 0), (5, 1, 7, 1), (2**32 - 1, 3, 2**40, 1), (5, 1, 7, 1)]:
        assert drawn(rng_at(*place)) == drawn(fresh(*place))


def test_threads_do_not_share_a_generator():
    def draw(position):
        generator = rng_at(1, 2, position, 1)
        return [generator.integers(1000) for _ in range(200)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(draw, range(64)))
    for position, numbers in enumerate(found):
        generator = fresh(1, 2, position, 1)
        assert numbers == [generator.integers(1000) for _ in range(200)]
