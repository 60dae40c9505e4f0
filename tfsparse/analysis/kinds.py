"""What each kind of analysis computes: files for the folder and numbers for its summary."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsparse import files
from tfsparse.analysis import flow_log
from tfsparse.analysis.signal import signal
from tfsparse.analysis.similarity import (
    accuracy,
    cosine_distances,
    disagreement,
    divergence,
    ensembles,
    l2_distances,
    pairs_mean,
    plane_map,
    softmax,
    stress,
    vector,
)
from tfsparse.analysis.solutions import (
    Predictor,
    Solution,
    gradient_flow,
    open_solution,
    same_kind,
)
from tfsparse.config.analysis import AnalysisConfig
from tfsparse.models import kernel_shapes, set_weights
from tfsparse.runs import Run
from tfsparse.training.gradient_flow import fixed_batch

Note = Callable[[str], None]
Summary = dict[str, Any]


def write_table(run: Run, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of the same keys as a CSV file."""
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    files.write_text(run.path / name, "\n".join(lines) + "\n")


def analyze_signal(config: AnalysisConfig, run: Run, note: Note) -> Summary:
    """points.csv; the summary holds the rows, and `std` and `drift` where there is one."""
    assert config.signal is not None
    rows = signal(config.signal, config.seed)
    write_table(run, "points.csv", rows)
    single = {key: rows[0][key] for key in ("std", "drift")} if len(rows) == 1 else {}
    return {"model": config.signal.model.name, "points": rows, **single}


def analyze_flow(config: AnalysisConfig, run: Run, note: Note) -> Summary:
    """The gradient flow at both ends of a run, and means of what it logged."""
    section = config.gradient_flow
    assert section is not None
    solution = open_solution(section.run)
    data = solution.data()
    images, labels = fixed_batch(data, section.examples, config.seed)
    model, ends = solution.model(data), {}
    for at in ("start", "end"):
        set_weights(model, solution.weights(at))
        found = gradient_flow(model, solution.masks(at), images, labels)
        ends[at] = {**found, "log_norm": math.log(found["norm"]) if found["norm"] > 0 else None}
    lines, total = solution.run.metrics(), solution.summary["steps"]
    return {
        **described(solution),
        **ends,
        "training": flow_log.norms(lines, total, section.early),
        "updates": flow_log.changes(lines, total, section.early),
    }


def analyze_similarity(config: AnalysisConfig, run: Run, note: Note) -> Summary:
    """similarity.npz (matrices), map.csv (places); the summary holds means and each run's row.

    Order of the matrices: the solution first, then the runs. The map holds the solution's end and
    every run's start and end. Dead runs have their rows, but no part in means and ensembles; a
    number for which too few runs live is null.
    """
    section = config.similarity
    assert section is not None
    solution = open_solution(section.solution)
    runs = [open_solution(path) for path in section.runs]
    same_kind(solution, runs)
    data = solution.data()
    model = solution.model(data)
    names = [f"{name}/kernel" for name in kernel_shapes(model)]
    everyone = [solution, *runs]
    starts = np.array([vector(item.weights("start"), names) for item in runs])
    ends = np.array([vector(item.weights("end"), names) for item in everyone])
    predict = Predictor(model, data, section.split, section.limit)
    logits, labels = [], np.empty(0)
    for item in everyone:
        set_weights(model, item.run.final_weights())
        scores, labels = predict()
        logits.append(scores)
    probabilities = softmax(np.array(logits))
    disagreements, kl = disagreement(probabilities), divergence(probabilities)
    l2, cosine = l2_distances(ends), cosine_distances(ends)
    rows: list[Summary] = []
    for number, item in enumerate(runs, start=1):
        start = starts[number - 1]
        rows.append({
            "run": str(item.run.path),
            "method": item.config.method,
            "seed": item.config.seed,
            "l2_to_start": float(np.linalg.norm(ends[number] - start)),
            "l2_start_to_solution": float(np.linalg.norm(start - ends[0])),
            "l2_to_solution": float(l2[number, 0]),
            "cosine_to_start": float(cosine_distances(np.array([ends[number], start]))[0, 1]),
            "cosine_to_solution": float(cosine[number, 0]),
            "disagreement": float(disagreements[number, 0]),
            "kl": float(kl[0, number]),
            "accuracy": accuracy(probabilities[number], labels),
        })  # fmt: skip
    every = np.concatenate([ends, starts])
    distances = l2_distances(every)
    places = plane_map(distances)
    write_table(run, "map.csv", _map_rows(everyone, places))
    files.write_npz(
        run.path / "similarity.npz",
        {"l2": l2, "cosine": cosine, "disagreement": disagreements, "kl": kl,
         "map_distances": distances},
    )  # fmt: skip
    floor = section.dead_below
    living = [n for n, row in enumerate(rows) if floor is None or row["accuracy"] >= floor]
    return {
        **described(solution),
        "split": section.split,
        "n": len(labels),
        "runs": rows,
        "dead": len(rows) - len(living),
        "mean": _means([rows[n] for n in living], of=rows[0], but=("run", "method", "seed")),
        "pairs": {
            name: pairs_mean(matrix[1:, 1:][np.ix_(living, living)])
            for name, matrix in (
                ("l2", l2),
                ("cosine", cosine),
                ("disagreement", disagreements),
                ("kl", kl),
            )
        },
        "ensemble": {
            **_ensemble(probabilities[1:][living], labels),
            "solution": accuracy(probabilities[0], labels),
        },
        "map_stress": stress(distances, places),
    }


def _means(rows: Sequence[Summary], *, of: Summary, but: Sequence[str]) -> Summary:
    """The mean of every number of a row such as `of`; null without rows."""
    return {
        key: float(np.mean([row[key] for row in rows])) if rows else None
        for key in of
        if key not in but
    }


def _ensemble(probabilities: np.ndarray, labels: np.ndarray) -> Summary:
    """How good [k, n, classes] are together and alone; all null for k = 0."""
    if not len(probabilities):
        return {"accuracy": None, "single": None, "gain": None, "by_size": []}
    together = ensembles(probabilities, labels)
    single = float(np.mean([accuracy(one, labels) for one in probabilities]))
    gain = together[-1] - single
    return {"accuracy": together[-1], "single": single, "gain": gain, "by_size": together}


def _map_rows(everyone: Sequence[Solution], places: np.ndarray) -> list[dict[str, Any]]:
    points = [(item, "end") for item in everyone] + [(item, "start") for item in everyone[1:]]
    return [
        {
            "run": str(item.run.path).replace(",", ";"),
            "method": item.config.method,
            "seed": item.config.seed,
            "at": at,
            "role": "solution" if item is everyone[0] else "run",
            "x": float(place[0]),
            "y": float(place[1]),
        }
        for (item, at), place in zip(points, places, strict=True)
    ]


def described(solution: Solution) -> Summary:
    """What the summary says of the run that was looked at."""
    summary = solution.summary
    return {
        "source": str(solution.run.path),
        "method": solution.config.method,
        "model": solution.config.model.name,
        "data": solution.config.data.name,
        "weights_hash": summary.get("weights_hash"),
        "mask_hash": summary.get("mask_hash"),
    }
