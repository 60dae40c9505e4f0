"""Pieces and their inputs as a graph: what is missing, what goes round, what comes first."""

import difflib
import graphlib
from collections.abc import Mapping, Sequence

from tfsparse.errors import UserError


def in_order(inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names so that every piece comes after its inputs: by depth, then as they were given.

    Raises:
        UserError: an input that is no piece, or a cycle.

    >>> in_order({"scratch": ["pruned"], "pruned": [], "dense": []})
    ['pruned', 'dense', 'scratch']
    """
    for name, needed in inputs.items():
        for other in needed:
            if other not in inputs:
                near = difflib.get_close_matches(other, inputs, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UserError(f"piece {name!r} needs {other!r}, which is no piece{hint}")
    try:
        order = list(graphlib.TopologicalSorter(inputs).static_order())
    except graphlib.CycleError as error:
        round_trip = " -> ".join(reversed(error.args[1]))
        raise UserError(f"pieces need each other in a cycle: {round_trip}") from None
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[other] for other in inputs[name]), default=-1)
    place = {name: index for index, name in enumerate(inputs)}
    return sorted(inputs, key=lambda name: (depth[name], place[name]))


def with_ancestors(names: Sequence[str], inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """The names and everything they directly or indirectly need."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(inputs[name])
    return found


def share(order: Sequence[str], index: int, count: int) -> list[str]:
    """The part of `order` that belongs to share `index` of `count` (1-based).

    Every name belongs to exactly one share, the same one on every machine. Names that follow
    each other go to different shares, so pieces of one depth are spread evenly.

    Raises:
        UserError: `index` outside 1..count.

    >>> share(["a", "b", "c"], 1, 2)
    ['a', 'c']
    """
    if not 1 <= index <= count:
        raise UserError(f"--shard: expected i/n with 1 <= i <= n, received {index}/{count}")
    return list(order[index - 1 :: count])
