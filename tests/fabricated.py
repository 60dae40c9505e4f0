"""Run folders as training writes them, made without training: finished, running, broken."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse import files

SHAPES = {"dense1": (784, 300), "dense2": (300, 100), "logits": (100, 10)}
SHARES = {"dense1": 1.0, "dense2": 0.98, "logits": 0.6}


def config(name: str, method: str, seed: int, steps: int) -> dict[str, Any]:
    """A resolved config, the parts a reader looks at."""
    return {
        "name": name,
        "about": "made up for a test",
        "method": method,
        "model": {"name": "lenet_300_100", "width": 1.0, "relu_logits": False, "args": {}},
        "data": {"name": "digits"},
        "train": {"steps": steps, "epochs": None, "batch_size": 128},
        "seed": seed,
        "run_dir": "runs",
    }


def lines(method: str, seed: int, steps: int, every: int, sparsity: float) -> Iterator[dict]:
    """Log lines of a run whose loss falls as 1 / sqrt(step), noisy."""
    noise = np.random.default_rng(seed)
    slow = {"scratch": 2.0, "lottery": 1.6, "dense": 0.8}.get(method, 1.0)
    for step in range(every, steps + 1, every):
        part = step / steps
        now = sparsity if method != "pruned" else sparsity * (1 - (1 - min(1, part / 0.75)) ** 3)
        entropy = slow * (0.03 + 2.2 / math.sqrt(1 + step / 20)) * math.exp(noise.normal(0, 0.1))
        accuracy = max(0.1, 1 - 0.28 * entropy)
        yield {
            "kind": "train", "step": step, "epoch": step / 11, "loss": entropy + 0.01,
            "cross_entropy": entropy, "l2": 0.01, "accuracy": accuracy,
            "learning_rate": 0.1 * (1 + math.cos(math.pi * part)) / 2, "sparsity": now,
            "images_per_second": 41234.5, "seconds": step * 0.003,
        }  # fmt: skip
        if step % (every * 10) == 0:
            layers = {layer: now * share for layer, share in SHARES.items()}
            yield {"kind": "evaluation", "step": step, "split": "validation", "n": 180,
                   "cross_entropy": entropy * 1.1, "accuracy": accuracy - 0.01}  # fmt: skip
            yield {"kind": "mask_update", "step": step, "sparsity": now, "layers": layers,
                   "dropped": 100, "grown": 0}  # fmt: skip
            flow = {layer: entropy**2 / (3 + i) for i, layer in enumerate(SHARES)}
            yield {"kind": "gradient_flow", "step": step, "squared": sum(flow.values()),
                   "norm": math.sqrt(sum(flow.values())), "layers": flow}  # fmt: skip


def make_run(
    root: Path,
    name: str,
    *,
    method: str = "pruned",
    seed: int = 0,
    steps: int = 2000,
    every: int = 20,
    sparsity: float = 0.8,
    state: str = "finished",
    weights: bool = True,
    accuracy: float | None = None,
) -> Path:
    """One run folder; `state` is finished or stopped (half of its log, no summary)."""
    folder = root / name / f"seed_{seed}"
    sparsity = 0.0 if method == "dense" else sparsity
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(name, method, seed, steps), indent=2))
    (folder / "command.txt").write_text(f"python -m tfsparse.train --config configs/{name}.json\n")
    (folder / "environment.json").write_text(
        json.dumps({"python": "3.11.2", "packages": {"tensorflow": "2.21.0"}, "commit": "abc+"})
    )
    all_lines = list(lines(method, seed, steps, every, sparsity))
    if state != "finished":
        all_lines = all_lines[: len(all_lines) // 2]
    text = "".join(json.dumps(line) + "\n" for line in all_lines)
    (folder / "metrics.jsonl").write_text(text)
    if weights:
        write_weights(folder, method, seed, sparsity)
    if state == "finished":
        last = [line for line in all_lines if line["kind"] == "evaluation"][-1]
        result = summary(name, method, seed, steps, sparsity, last)
        if accuracy is not None:
            result["test"]["accuracy"] = accuracy
        (folder / "summary.json").write_text(json.dumps(result))
    return folder


def write_weights(folder: Path, method: str, seed: int, sparsity: float) -> None:
    """initial.npz, final.npz and masks.npz; neuron 0 of each layer loses all its weights."""
    random = np.random.default_rng(seed)
    initial = {f"{layer}/kernel": random.normal(0, 0.05, shape).astype(np.float32)
               for layer, shape in SHAPES.items()}  # fmt: skip
    initial |= {f"{layer}/bias": np.zeros(shape[1], np.float32) for layer, shape in SHAPES.items()}
    files.write_npz(folder / "initial.npz", initial)
    masks = {}
    for layer, shape in SHAPES.items():
        mask = (random.random(shape) >= sparsity * SHARES[layer]).astype(np.uint8)
        mask[:, 0] = 0
        masks[layer] = mask
    final = dict(initial)
    if method != "dense":
        final |= {f"{layer}/kernel": final[f"{layer}/kernel"] * mask
                  for layer, mask in masks.items()}  # fmt: skip
        files.write_npz(folder / "masks.npz", masks)
    files.write_npz(folder / "final.npz", final)


def summary(
    name: str, method: str, seed: int, steps: int, sparsity: float, last: dict[str, Any]
) -> dict[str, Any]:
    """A finished run's summary.json."""
    layers = {}
    for layer, shape in SHAPES.items():
        size = shape[0] * shape[1]
        part = sparsity * SHARES[layer]
        layers[layer] = {"shape": list(shape), "size": size, "sparsity": part,
                         "nonzero": round(size * (1 - part)), "positions": 1}  # fmt: skip
    total = sum(layer["size"] for layer in layers.values())
    return {
        "kind": "training", "method": method, "model": "lenet_300_100", "data": "digits",
        "seed": seed, "steps": steps, "batch_size": 128, "nominal_sparsity": sparsity,
        "sparsity": 1 - sum(layer["nonzero"] for layer in layers.values()) / total,
        "layers": layers,
        "parameters": {"total": total + 410,
                       "kept": 410 + sum(layer["nonzero"] for layer in layers.values())},
        "test": {"accuracy": last["accuracy"], "cross_entropy": last["cross_entropy"], "n": 360},
        "validation": None, "train": {}, "sources": {}, "seconds": 12.5,
        "images_per_second": 41234.5, "finished_at": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's lock, as the process that trains it does."""
    with open(folder / "lock", "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def make_broken(root: Path) -> None:
    """One folder of every kind of damage, and one sound run among them."""
    make_run(root, "sound", method="dense", steps=400)
    half = make_run(root, "half_log", state="stopped", steps=400)
    with open(half / "metrics.jsonl", "a") as stream:
        stream.write('{"kind": "train", "step": 99999, "lo')
    middle = make_run(root, "bad_line", steps=400)
    text = (middle / "metrics.jsonl").read_text().splitlines()
    text[3] = "\x00\x00 not json <b>bold</b>"
    text[5] = '{"kind": "train", "step": "seven"}'
    (middle / "metrics.jsonl").write_text("\n".join(text) + "\n")
    corrupt = make_run(root, "corrupt_config", steps=400)
    (corrupt / "config.json").write_text('{"name": "corrupt_config", ')
    wrong = make_run(root, "corrupt_summary", steps=400)
    (wrong / "summary.json").write_text("[1, 2, 3]")
    gone = make_run(root, "no_log", steps=400)
    (gone / "metrics.jsonl").unlink()
    cut = make_run(root, "cut_weights", steps=400)
    (cut / "final.npz").write_bytes((cut / "final.npz").read_bytes()[:5000])
    (cut / "masks.npz").write_bytes(b"")
    failed = make_run(root, "failed_run", state="stopped", steps=400)
    (failed / "failure.json").write_text(json.dumps({"error": "<script>alert(1)</script> loss"}))
    hollow = root / "hollow" / "seed_0"
    hollow.mkdir(parents=True)
    (hollow / "config.json").write_text("{}")


def make_many(root: Path, count: int, log_lines: int) -> None:
    """`count` finished runs that share one long log each of `log_lines` lines (own files)."""
    first = make_run(root, "many_0", steps=log_lines * 20, every=20, weights=False)
    log = (first / "metrics.jsonl").read_bytes()
    log = b"\n".join(log.split(b"\n")[:log_lines]) + b"\n"
    (first / "metrics.jsonl").write_bytes(log)
    result = json.loads((first / "summary.json").read_text())
    for i in range(1, count):
        method = ("pruned", "lottery", "scratch", "dense")[i % 4]
        name, seed = f"many_{i // 5}", i % 5
        folder = root / name / f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        conf = config(name, method, seed, log_lines * 20)
        (folder / "config.json").write_text(json.dumps(conf))
        (folder / "metrics.jsonl").write_bytes(log)
        result |= {"method": method, "seed": seed}
        (folder / "summary.json").write_text(json.dumps(result))


def make_study(root: Path, name: str = "studies/gap_smoke") -> Path:
    """A finished study: figure, table, three claims, summary."""
    folder = root / name
    folder.mkdir(parents=True)
    places = [(0.0, 0.98, "dense"), (0.8, 0.97, "pruned"), (0.8, 0.94, "scratch")]
    values = [dict(zip(("sparsity", "accuracy", "method"), place, strict=True)) for place in places]
    figure = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": {"text": "The gap", "subtitle": ["gap, preset smoke", "line: mean"]},
        "data": {"values": values},
        "mark": "point",
        "encoding": {
            "x": {"field": "sparsity", "type": "quantitative"},
            "y": {"field": "accuracy", "type": "quantitative"},
            "color": {"field": "method", "type": "nominal"},
        },
    }
    (folder / "figure.vl.json").write_text(json.dumps(figure))
    (folder / "table.csv").write_text(
        "measure,series,sparsity,n,mean,std\naccuracy,pruned,0.8,3,0.97,0.001\n"
    )
    claims = [
        {"name": f"claim_{i}", "sentence": f"<b>Sentence</b> {i} | of the paper", "paper": paper,
         "ours": {"mean": 0.97, "std": 0.001, "n": 3}, "verdict": verdict, "detail": "because"}
        for i, (paper, verdict) in enumerate(
            [(0.98, "holds"), ("none given", "does not hold"), (None, "not decided")]
        )
    ]  # fmt: skip
    (folder / "claims.json").write_text(json.dumps(claims))
    (folder / "summary.json").write_text(json.dumps({"kind": "study", "study": "gap"}))
    measures = {"accuracy": {"label": "test accuracy", "percent": True}}
    (folder / "study.json").write_text(json.dumps({"study": "gap", "measures": measures}))
    return folder


def make_interpolation(root: Path, name: str = "line", *, kind: str = "interpolation") -> Path:
    """The line, or line and Bezier curve, between two solutions with a barrier."""
    folder = root / name
    folder.mkdir(parents=True)
    paths = ("line", "curve") if kind == "curve" else ("line",)
    rows = ["t,objective,cross_entropy,l2,accuracy,objective_se,cross_entropy_se"]
    rows[0] += ",path" if kind == "curve" else ""
    for path in paths:
        for i in range(29):
            t = -0.2 + 0.05 * i
            height = 2.0 if path == "line" else 0.3
            entropy = 0.1 + height * max(0.0, math.sin(math.pi * t)) + max(0.0, -t, t - 1)
            cells = [t, entropy + 0.01, entropy, 0.01, 1 - 0.3 * entropy, 0.004, 0.004]
            rows.append(",".join(f"{cell:.6g}" for cell in cells))
            rows[-1] += f",{path}" if kind == "curve" else ""
    (folder / "points.csv").write_text("\n".join(rows) + "\n")
    if kind == "curve":
        write_plane(folder)
    verdict = {"barrier": 2.0, "barrier_se": 0.01, "barrier_t": 0.5, "has_barrier": True,
               "monotone": False, "max_rise": 0.31, "max_rise_se": 0.002, "max_rise_t": 0.05,
               "integral": 1.37, "integral_se": 0.01, "plateau": None}  # fmt: skip
    result = {
        "kind": kind,
        "start": {"label": "scratch", "run": "runs/scratch_80/seed_0"},
        "end": {"label": "pruned", "run": "runs/pruned_80/seed_0"},
        "t0_is": "start", "t1_is": "end", "verdict": verdict,
        "finished_at": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"name": name}))
    (folder / "summary.json").write_text(json.dumps(result))
    return folder


def write_plane(folder: Path) -> None:
    """A bowl on a plane of 9 x 9 places, with a curve, a line and three corners drawn in."""
    places = [(x, y) for y in np.linspace(-1, 3, 9) for x in np.linspace(-1, 5, 9)]
    rows = ["x,y,objective,cross_entropy,l2,accuracy"]
    for x, y in places:
        loss = 0.1 + (x - 2) ** 2 / 4 + (y - 1) ** 2
        rows.append(f"{x},{y},{loss + 0.01:.6g},{loss:.6g},0.01,{max(0.0, 1 - loss / 5):.6g}")
    (folder / "plane.csv").write_text("\n".join(rows) + "\n")
    drawn = ["path,t,x,y", "corner: pruned,,0,0", "corner: scratch,,4,0", "corner: middle,,2,2"]
    for i in range(11):
        t = i / 10
        drawn += [f"curve: c,{t},{4 * t},{4 * t * (1 - t)}", f"line: c,{t},{4 * t},0"]
    (folder / "plane_paths.csv").write_text("\n".join(drawn) + "\n")


def make_deploy(root: Path, name: str = "pruned_80/seed_0/export") -> Path:
    """A deployment check's deploy.json: one file that passes, one that is refused."""
    variant = {
        "name": "sparse", "file": "sparse.tflite", "status": "pass", "bytes": 79_000,
        "zipped_bytes": 50_000, "size_ratio": 0.32, "zipped_ratio": 0.4,
        "default_delegate": {"accepted": True}, "without_delegate": {"accepted": True},
        "threads": 1, "latency": {"median_ms": 0.0124, "calls": 200}, "arena_bytes": 252_264,
        "sparse_tensors": ["a", "b"], "weight_tensors": 5, "n": 360, "finite": True,
        "max_difference": 1e-6, "accuracy": 0.972, "accuracy_drop": 0.0,
        "xnnpack_sparse": {"eligible": False, "layer": "conv1", "reason": "is 5x5"}, "reasons": [],
    }  # fmt: skip
    refused = variant | {
        "name": "int8_sparse", "status": "unusable", "bytes": 25_000, "size_ratio": 0.1,
        "default_delegate": {"accepted": False}, "accuracy": None, "accuracy_drop": None,
        "latency": None, "max_difference": None, "reasons": ["LiteRT refuses <b>CONV_2D</b>"],
    }  # fmt: skip
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "kind": "deploy", "against": {"path": "runs/pruned_80/seed_0", "n": 360},
        "dense": {"bytes": 249_000}, "statement": "Sizes are the same on a phone.",
        "variants": [variant, refused],
    }  # fmt: skip
    files.write_json(folder / "deploy.json", report)
    return folder
