"""A study's templates become its pieces: names, folders, inputs, checked before anything runs."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfsparse.config.study import ClaimConfig, StudyConfig
from tfsparse.errors import UserError, one_line
from tfsparse.studies.graph import in_order
from tfsparse.studies.unfold import Draft, unfold


@dataclass(frozen=True)
class Piece:
    """One run or evaluation of a study."""

    name: str
    """Unique, and its folder below `pieces/`: `<name>` or `<name>/seed_<n>`."""
    template: int
    """The place of its template in the file: pieces of one template cost about the same."""
    kind: str
    series: str
    at: Mapping[str, Any]
    seed: int | None
    measures: tuple[str, ...]
    seconds: float | None
    folder: Path
    config: Mapping[str, Any]
    """The command's config, with folders in the place of pieces' names."""
    spec: Mapping[str, Any]
    """The config with the pieces' names: the same wherever the results lie."""
    inputs: tuple[str, ...]

    @property
    def group(self) -> str:
        """The name without the seed."""
        return self.name.split("/seed_")[0]


@dataclass(frozen=True)
class Plan:
    """A study at one preset, unfolded."""

    config: StudyConfig
    out: Path
    """Where table, figure and claims go."""
    root: Path
    """Where the pieces and their locks lie: `out`, or the folder of the study's family."""
    pieces: Mapping[str, Piece]
    """By name, every piece after its inputs."""

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """What each piece needs, in the plan's order."""
        return {name: piece.inputs for name, piece in self.pieces.items()}


def make_plan(
    config: StudyConfig,
    out: Path,
    check_piece: Callable[[Piece], None] | None = None,
    *,
    root: Path | None = None,
) -> Plan:
    """Unfold the study's templates over their axes.

    Args:
        config: the study.
        out: the folder of results.
        check_piece: raises UserError where a piece's config cannot work.
        root: piece folders are `root/pieces/<name>`; `out` when it is not given.

    Raises:
        UserError: duplicate names, missing pieces, cycles, unknown axes, measures, series or
            places, and whatever `check_piece` finds.
    """
    root = out if root is None else root
    drafts = [
        draft
        for index, template in enumerate(config.pieces)
        for draft in unfold(index, template, config)
    ]
    owners: dict[str, int] = {}
    for draft in drafts:
        if draft.name in owners:
            raise UserError(
                f"pieces.{draft.index}.name: {draft.name!r} is already the name of a piece of "
                f"pieces.{owners[draft.name]}; name every axis of `over` in the name"
            )
        owners[draft.name] = draft.index
    groups: dict[str, list[str]] = {}
    for draft in drafts:
        groups.setdefault(draft.parts.name, []).append(draft.name)
    pieces = {draft.name: _piece(draft, groups, root) for draft in drafts}
    order = in_order({name: piece.inputs for name, piece in pieces.items()})
    plan = Plan(config, out, root, {name: pieces[name] for name in order})
    _check_claims(plan)
    if check_piece is not None:
        for piece in plan.pieces.values():
            try:
                check_piece(piece)
            except UserError as error:
                raise UserError(f"piece {piece.name!r}: {one_line(error)}") from None
    return plan


def _piece(draft: Draft, groups: dict[str, list[str]], root: Path) -> Piece:
    parts = draft.parts
    inputs: list[str] = []
    config = _resolve(parts.config, draft, groups, root, inputs, f"pieces.{draft.index}.config")
    return Piece(
        name=draft.name,
        template=draft.index,
        kind=parts.kind,
        series=parts.series,
        at=parts.at,
        seed=draft.seed,
        measures=tuple(parts.measures),
        seconds=parts.seconds,
        folder=root / "pieces" / draft.name,
        config=config,
        spec=parts.config,
        inputs=tuple(dict.fromkeys(inputs)),
    )


def _resolve(
    value: Any,
    draft: Draft,
    groups: dict[str, list[str]],
    root: Path,
    inputs: list[str],
    where: str,
) -> Any:
    """`value` with folders in the place of references; names of needed pieces go to `inputs`."""
    if isinstance(value, list):
        return [
            _resolve(item, draft, groups, root, inputs, f"{where}.{index}")
            for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    if "piece" in value:
        unknown = sorted(set(value) - {"piece", "seed"})
        if unknown:
            raise UserError(f"{where}: expected only `piece` and `seed`, received {unknown[0]!r}")
        name = _target(value, draft, groups)
        inputs.append(name)
        return str(root / "pieces" / name)
    if "every" in value:
        if set(value) != {"every"} or not isinstance(value["every"], str):
            raise UserError(f"{where}: expected `every` alone, with the name of a piece")
        names = groups.get(value["every"], [value["every"]])
        inputs.extend(names)
        return [str(root / "pieces" / name) for name in names]
    return {
        key: _resolve(item, draft, groups, root, inputs, f"{where}.{key}")
        for key, item in value.items()
    }


def _target(reference: dict[str, Any], draft: Draft, groups: dict[str, list[str]]) -> str:
    group = str(reference["piece"])
    seed = reference.get("seed", draft.seed)
    seeded = f"{group}/seed_{seed}"
    # A piece without seeds may be the input of one that has seeds.
    return group if group in groups.get(group, []) or seed is None else seeded


def _check_claims(plan: Plan) -> None:
    config = plan.config
    series = {piece.series for piece in plan.pieces.values()}
    names: set[str] = set()
    for index, claim in enumerate(config.claims):
        where = f"claims.{index} ({claim.name})"
        if claim.name in names:
            raise UserError(f"{where}: the name is given to two claims")
        names.add(claim.name)
        if claim.measure not in config.measures:
            raise UserError(f"{where}: no measure is named {claim.measure!r}")
        for selection in (claim.of, claim.than):
            if selection is None:
                continue
            if selection.series not in series:
                raise UserError(
                    f"{where}: expected a series of {', '.join(sorted(series))}, "
                    f"received {selection.series!r}"
                )
            for place in places(claim):
                wanted = {**place, **selection.at}
                if not any(
                    matches(piece, selection.series, wanted) and claim.measure in piece.measures
                    for piece in plan.pieces.values()
                ):
                    raise UserError(
                        f"{where}: no piece of series {selection.series!r} has measure "
                        f"{claim.measure!r} at {wanted}"
                    )
    for index, reference in enumerate(config.reference):
        if reference.measure not in config.measures:
            raise UserError(f"reference.{index}: no measure is named {reference.measure!r}")


def places(claim: ClaimConfig) -> list[dict[str, Any]]:
    """Every combination of the claim's `at`; one empty place when there is none."""
    return [
        dict(zip(claim.at, combination, strict=True))
        for combination in itertools.product(*claim.at.values())
    ]


def matches(piece: Piece, series: str, place: Mapping[str, Any]) -> bool:
    """Whether the piece belongs to `series` and lies at `place` (keys it names must agree)."""
    return piece.series == series and all(
        key in piece.at and piece.at[key] == value for key, value in place.items()
    )
