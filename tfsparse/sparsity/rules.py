"""Exceptions to one number: layers kept dense, capped, or set."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from tfsparse.config.sparsity import Rule
from tfsparse.errors import UserError

Shapes = Mapping[str, Sequence[int]]


def apply_rules(
    sparsities: Mapping[str, float], rules: Iterable[Rule], shapes: Shapes
) -> dict[str, float]:
    """`sparsities` with exceptions; 0.0 means dense.

    A rule names a layer, a pattern (`stage1_*`), `@first_conv` (the first kernel of more than two
    axes) or `@last_dense` (the last of two). Of several rules that match a layer the last one
    counts, and each starts from the layer's given sparsity.

    Args:
        sparsities: by layer name.
        rules: exceptions.
        shapes: kernel shapes by layer name, from input to output.

    Raises:
        UserError: a name or pattern matches no layer. `@first_conv` and `@last_dense` may match
            none: a network without convolutions has no first one.
    """
    chosen: dict[str, Rule] = {}
    for rule in rules:
        for name in matching_layers(rule.layers, shapes):
            chosen[name] = rule
    return {name: _under(chosen.get(name), value) for name, value in sparsities.items()}


def matching_layers(pattern: str, shapes: Shapes) -> list[str]:
    """The layers that a rule's name or pattern speaks of, from input to output."""
    if pattern == "@first_conv":
        return [name for name, shape in shapes.items() if len(shape) > 2][:1]
    if pattern == "@last_dense":
        return [name for name, shape in shapes.items() if len(shape) == 2][-1:]
    found = [name for name in shapes if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, shapes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(shapes)}"
        raise UserError(f"rules: layer {pattern!r}: no maskable layer matches; {hint}")
    return found


def _under(rule: Rule | None, sparsity: float) -> float:
    if rule is None:
        return sparsity
    if rule.exclude:
        return 0.0
    if rule.sparsity is not None:
        return rule.sparsity
    assert rule.max_sparsity is not None  # a rule says exactly one of the three
    return min(sparsity, rule.max_sparsity)
