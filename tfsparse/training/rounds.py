"""Iterative magnitude pruning with rewinding: a chain of runs inside one run folder.

Round 0 trains the dense network. Round k cuts the last weights of round k - 1 to sparsity
1 - (1 - s)^(k / n), returns to round 0's weights of `rewind_step` and trains again (Frankle &
Carbin 2019). Every round is a run folder of its own below `rounds/`, so a killed chain carries
on within the round it was in.
"""

import json
from collections.abc import Callable
from typing import Any

from tfsparse import files
from tfsparse.config import ImpConfig, MaskConfig, RunConfig, SourceConfig
from tfsparse.runs import Run

TrainRound = Callable[[RunConfig, Run], dict[str, Any]]


def round_sparsity(config: ImpConfig, number: int) -> float:
    """The sparsity after round `number`: each round removes the same share of what is left.

    >>> [round(round_sparsity(ImpConfig(rounds=3, final_sparsity=0.875), k), 3) for k in range(4)]
    [0.0, 0.5, 0.75, 0.875]
    """
    if number == config.rounds:
        return config.final_sparsity
    return 1.0 - (1.0 - config.final_sparsity) ** (number / config.rounds)


def round_run(run: Run, number: int) -> Run:
    """The folder of one round."""
    return Run(run.path / "rounds" / f"round_{number}")


def round_config(config: RunConfig, run: Run, number: int) -> RunConfig:
    """The config of one round."""
    imp = config.imp
    assert imp is not None  # methods.check_sections
    changes: dict[str, Any] = {"name": f"{config.name}-round_{number}", "imp": None}
    if number == 0:
        kept = {*config.train.save_weights_at, imp.rewind_step} - {0}
        train = config.train.model_copy(update={"save_weights_at": tuple(kept)})
        changes |= {"method": "dense", "train": train}
    else:
        changes |= {
            "method": "imp_round",
            "mask": MaskConfig(
                kind="magnitude", sparsity=round_sparsity(imp, number), rules=imp.rules
            ),
            "source": SourceConfig(
                run=str(round_run(run, number - 1).path),
                weights_run=str(round_run(run, 0).path),
                rewind_step=imp.rewind_step,
            ),
        }
    return config.model_copy(update=changes)


def train_rounds(config: RunConfig, run: Run, train_round: TrainRound) -> dict[str, Any]:
    """Train all rounds and gather the last one's results in `run`.

    Args:
        config: with method `imp`.
        run: the folder of the chain, held by this process.
        train_round: trains one run in its folder, or returns the summary of a finished one.

    Returns:
        The summary: the last round's, with the table of rounds.
    """
    imp = config.imp
    assert imp is not None  # methods.check_sections
    table, lines = [], []
    for number in range(imp.rounds + 1):
        last = round_run(run, number)
        summary = train_round(round_config(config, run, number), last)
        if number == 0:
            run.write_initial(last.initial_weights())
        offset = number * summary["steps"]
        lines += [
            {**line, "step": line["step"] + offset, "round": number} for line in last.metrics()
        ]
        table.append({"round": number, "sparsity": summary["sparsity"], "test": summary["test"]})
    files.write_text(run.path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    run.write_final(last.final_weights(), last.masks())
    return {
        **summary,
        "name": config.name,
        "method": "imp",
        "nominal_sparsity": imp.final_sparsity,
        "rounds": table,
        "rewind_step": imp.rewind_step,
        "steps": sum(round_run(run, k).summary()["steps"] for k in range(imp.rounds + 1)),
        "seconds": sum(round_run(run, k).summary()["seconds"] for k in range(imp.rounds + 1)),
    }
