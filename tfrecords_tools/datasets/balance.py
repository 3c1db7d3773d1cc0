"""Selects groups of videos so that every class comes close to a share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

# Pairs of groups are exchanged too, up to this number of groups.
_PAIRED_GROUPS = 100
# The cost of a class without a video on one side outweighs any distance from the share.
_ONE_SIDED = 10.0
# Above rounding, so that the search ends.
_LEAST_GAIN = 1e-9


def select_balanced(groups: Mapping[str, Counter[int]], share: float) -> set[str]:
    """Selects whole groups so that about `share` of each class's videos is selected.

    Adds, removes and exchanges groups, in their order, as long as that lowers the sum over the
    classes of (selected / all - share)^2. Then does the same so that no class has an empty side, as
    far as its groups allow.

    Args:
        groups: number of videos of each class, by name of the group.
        share: 0..1.

    Returns:
        Names of the selected groups.
    """
    search = _Search(groups, share)
    moves: list[tuple[str, ...]] = [(name,) for name in groups]
    if len(groups) <= _PAIRED_GROUPS:
        moves += combinations(groups, 2)
    search.descend(moves)
    search.one_sided_cost = _ONE_SIDED
    for label in sorted(search.totals):
        if search.is_one_sided(label, search.taken[label]):
            best = max((name for name in groups if label in groups[name]), key=search.gain_of)
            if search.gain_of(best) > _LEAST_GAIN:
                search.apply((best,))
    search.descend(moves)
    return search.selected


class _Search:
    """A selection, and the gain of changing it.

    Attributes:
        selected: names of the selected groups.
        taken: number of selected videos of each class.
        totals: number of all videos of each class.
        one_sided_cost: cost of a class that has no video on one side.
    """

    def __init__(self, groups: Mapping[str, Counter[int]], share: float):
        self.selected: set[str] = set()
        self.taken: Counter[int] = Counter()
        self.totals = sum(groups.values(), Counter[int]())
        self.one_sided_cost = 0.0
        self._groups = groups
        self._share = share
        self._num_groups = Counter(label for counts in groups.values() for label in counts)

    def is_one_sided(self, label: int, taken: int) -> bool:
        """Returns whether a class lacks training videos, or selected ones that it could have."""
        total = self.totals[label]
        return taken == total or (taken == 0 and self._num_groups[label] > 1)

    def descend(self, moves: Iterable[tuple[str, ...]]) -> None:
        """Applies moves that gain until none is left."""
        improved = True
        while improved:
            improved = False
            for move in moves:
                if self._gain(move) > _LEAST_GAIN:
                    self.apply(move)
                    improved = True

    def gain_of(self, name: str) -> float:
        """Returns by how much adding or removing a group lowers the cost."""
        return self._gain((name,))

    def apply(self, move: tuple[str, ...]) -> None:
        """Adds each of these groups, or removes it if it is selected."""
        for label, change in self._changes(move).items():
            self.taken[label] += change
        self.selected ^= {*move}

    def _gain(self, move: tuple[str, ...]) -> float:
        return sum(
            self._cost(label, self.taken[label]) - self._cost(label, self.taken[label] + change)
            for label, change in self._changes(move).items()
        )

    def _changes(self, move: tuple[str, ...]) -> dict[int, int]:
        changes: dict[int, int] = {}
        for name in move:
            sign = -1 if name in self.selected else 1
            for label, count in self._groups[name].items():
                changes[label] = changes.get(label, 0) + sign * count
        return changes

    def _cost(self, label: int, taken: int) -> float:
        deviation = taken / self.totals[label] - self._share
        return deviation**2 + self.one_sided_cost * self.is_one_sided(label, taken)
