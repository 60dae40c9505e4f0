"""Losses along a path: one pass over the images for many points of the path."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse import files
from tfsparse.landscape.batchnorm import Mode, pooled
from tfsparse.landscape.curves import Weights
from tfsparse.landscape.folding import fold
from tfsparse.landscape.images import Images, MemoryImages, StreamedImages
from tfsparse.landscape.operations import Operations, refuse_opaque, take_apart
from tfsparse.landscape.program import Program
from tfsparse.models import maskable_layers
from tfsparse.training.strategies import OverParts

BatchNorm = Literal["batch", "running", "recomputed"]
Tick = Callable[[int], None]

TABLE_BYTES = 256 << 20
"""Memory for the interpolated weights of one pass."""
MANY_LAYERS = 8
"""Networks with more convolutions are walked few rows at a time: the images and the first layer
cost them nothing, and a walk that was stopped carries on at its last finished rows."""
FEW_ROWS = 8
WORTH_COMPILING = 500_000
"""Rows times images from which XLA pays: it fuses what lies between convolutions, which makes a
point of LeNet-5 1.5 times and one of LeNet-300-100 1.4 times as fast (on 2 cores)."""
BATCHES_AT_ONCE = 8
"""A loop that XLA has compiled as a whole runs on one core: several batches go side by side."""
CALL_SECONDS = 1.0
"""About how long the graph runs between two signs of life."""


@dataclass(frozen=True)
class Walked:
    """What was found on a path of m points with n images.

    Args:
        losses: float32 [m, n], the cross-entropy of each image, in nats; [m, 0] where a walk
            does not keep them.
        cross_entropy: float64 [m], the means.
        accuracy: float64 [m], a fraction.
    """

    losses: np.ndarray
    cross_entropy: np.ndarray
    accuracy: np.ndarray


class Walk:
    """Evaluates weighted sums of control points on the same images.

    Args:
        model: the architecture; its own weights are put back after every call.
        points: the control points.
        images: on which to evaluate.
        batch_norm: where batch norm takes its statistics from.
        label_smoothing: of the cross-entropy.
        compiled: use XLA; None decides by the amount of work.
        parallel: how many rows may be under way at once.
        keep_losses: keep the loss of every image, from which uncertainties come.
    """

    def __init__(
        self,
        model: keras.Model,
        points: Sequence[Weights],
        images: Images,
        *,
        batch_norm: BatchNorm = "batch",
        label_smoothing: float = 0.0,
        compiled: bool | None = None,
        parallel: int = 2,
        keep_losses: bool = True,
    ) -> None:
        self._keep_losses = keep_losses
        self._passes: dict[str, _Pass] = {}
        self._model, self._batch_norm = model, batch_norm
        self._label_smoothing, self._compiled, self._parallel = label_smoothing, compiled, parallel
        names = points[0].keys()
        self._stacked = {
            name: np.stack([np.asarray(point[name], np.float32) for point in points])
            for name in names
        }
        self._points = {name: tf.constant(value) for name, value in self._stacked.items()}
        mode: Mode = "batch" if batch_norm == "batch" else "stored"
        operations = take_apart(model, mode)
        refuse_opaque(operations)
        steps, self._folds = fold(operations.steps, operations.stem)
        self._operations = replace(operations, steps=tuple(steps))
        self._heavy = sum(not step.light for step in self._operations.steps)
        self._images = images
        if isinstance(images, MemoryImages) and not self._uses_batches(mode):
            self._images = images.resized(min(images.batch_size, tile_size(model)))

    @property
    def rows_at_once(self) -> int:
        """How many rows are evaluated in one pass over the images."""
        row_bytes = sum(value[0].nbytes for value in self._stacked.values())
        fits = max(1, TABLE_BYTES // max(1, row_bytes))
        return min(fits, FEW_ROWS) if self._heavy > MANY_LAYERS else fits

    def passes(self, rows: int) -> int:
        """How many signs of life `run` gives for so many rows: one per row and batch."""
        each = 2 if self._batch_norm == "recomputed" else 1
        return rows * self._images.batches * each

    def run(
        self, rows: np.ndarray, tick: Tick = lambda count: None, keep: Path | None = None
    ) -> Walked:
        """Evaluate rows of coefficients.

        Args:
            rows: [m, number of control points].
            tick: told how many rows times batches are done since the last call.
            keep: a folder for finished groups of rows, taken from there when the same walk is
                started again. A walk of one pass keeps nothing: it is quick enough to be redone.

        Returns:
            The losses; a row's result depends on no other row.
        """
        rows = np.asarray(rows, np.float64).reshape(-1, len(next(iter(self._stacked.values()))))
        parts = np.array_split(rows, math.ceil(len(rows) / self.rows_at_once))
        keep = keep if len(parts) > 1 else None
        if self._compiled is None:
            self._compiled = self._pays(len(rows))
        kept = [(variable, variable.numpy()) for variable in self._model.weights]
        try:
            found = [self._kept(part, tick, keep, place) for place, part in enumerate(parts)]
        finally:
            for variable, value in kept:
                variable.assign(value)
        return Walked(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _kept(
        self, rows: np.ndarray, tick: Tick, keep: Path | None, place: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Losses, mean losses and accuracies of one group of rows, from the folder if there."""
        path = keep / f"rows_{place:04d}.npz" if keep else None
        if path is not None and path.is_file():
            saved = files.read_npz(path)
            if np.array_equal(saved["rows"], rows):
                tick(self.passes(len(rows)))
                return saved["losses"], saved["cross_entropy"], saved["accuracy"]
        found = self._part(rows, tick)
        losses = found[:, 0] if self._keep_losses else found[:, 0, :0]
        entropy = found[:, 0].mean(axis=1, dtype=np.float64)
        accuracy = found[:, 1].mean(axis=1, dtype=np.float64)
        if path is not None:
            arrays = {"losses": losses, "cross_entropy": entropy, "accuracy": accuracy}
            files.write_npz(path, {"rows": rows, **arrays})
        return losses, entropy, accuracy

    def _part(self, rows: np.ndarray, tick: Tick) -> np.ndarray:
        """float32 [m, 2, n] of rows that fit into one pass."""
        evaluating = self._pass("evaluating", self._operations)
        made = {found.shift for found in self._folds}
        entering = {name for found in self._folds for name in found.inputs}
        names = {*evaluating.program.names, *entering} - made
        table = {name: self._at(rows, name) for name in sorted(names)}
        if self._batch_norm == "recomputed":
            collecting = take_apart(self._model, "collected")
            if collecting.records:
                table.update(self._statistics(collecting, rows, tick))
        for found in self._folds:
            found.apply(table)
        return evaluating.run(rows, table, tick)[0]

    def _statistics(
        self, collecting: Operations, rows: np.ndarray, tick: Tick
    ) -> dict[str, np.ndarray]:
        """Batch norm's statistics over all images at every row."""
        passing = self._pass("collecting", collecting)
        table = {name: self._at(rows, name) for name in passing.program.names}
        _, found, sizes = passing.run(rows, table, tick)
        result = {}
        for mean in (name for name in collecting.records if name.endswith("/moving_mean")):
            variance = mean.replace("/moving_mean", "/moving_variance")
            both = pooled(found[mean], found[variance], sizes)
            result[mean], result[variance] = (value.astype(np.float32) for value in both)
        return result

    def _pass(self, name: str, operations: Operations) -> "_Pass":
        """A pass over the images; its graph is kept for all groups of rows."""
        if name not in self._passes:
            program = Program(
                operations,
                self._points,
                label_smoothing=self._label_smoothing,
                compiled=bool(self._compiled),
                parallel=self._parallel,
            )
            self._passes[name] = _Pass(program, self._images)
        return self._passes[name]

    def _at(self, rows: np.ndarray, name: str) -> np.ndarray:
        """A weight at every row, float32 [m, ...]."""
        stacked = self._stacked[name]
        mixed = rows.astype(np.float32) @ stacked.reshape(len(stacked), -1)
        return mixed.reshape(len(rows), *stacked.shape[1:])

    def _pays(self, rows: int) -> bool:
        """Whether XLA saves more time than it takes to compile."""
        return self._heavy <= MANY_LAYERS and rows * self._images.count >= WORTH_COMPILING

    def _uses_batches(self, mode: Mode) -> bool:
        """Whether the losses depend on which images share a batch."""
        statistics = take_apart(self._model, "collected").records
        return bool(statistics) and (mode == "batch" or self._batch_norm == "recomputed")


def tile_size(model: keras.Model) -> int:
    """Images at a time where their number changes nothing but speed (measured on a CPU)."""
    dense = all(len(layer.kernel.shape) == 2 for layer in maskable_layers(model))
    return 1000 if dense else 500


class _Pass:
    """One pass over the images.

    Args:
        program: what is computed per batch.
        images: of which batches.
    """

    def __init__(self, program: Program, images: Images) -> None:
        self.program, self._images = program, images
        self._graphs: dict[int, Callable[..., Any]] = {}

    def run(
        self, rows: np.ndarray, table: Mapping[str, np.ndarray], tick: Tick
    ) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Losses and correctness float32 [m, 2, n], records float64 [batches, m, ...] by name,
        and the sizes of the batches."""
        row_tensor = tf.constant(rows, tf.float32)
        tensors = {name: tf.constant(value, tf.float32) for name, value in table.items()}
        outputs: list[np.ndarray] = []
        records: dict[str, list[np.ndarray]] = {}
        sizes: list[int] = []
        parts = (
            self._in_memory(self._images, row_tensor, tensors)
            if isinstance(self._images, MemoryImages)
            else self._streamed(self._images, row_tensor, tensors)
        )
        for losses, found in parts:  # [batches, m, 2, size]
            outputs.append(np.moveaxis(losses, 0, 2).reshape(*losses.shape[1:3], -1))
            for name, value in found.items():
                records.setdefault(name, []).append(value.astype(np.float64))
            sizes += [losses.shape[-1]] * len(losses)
            tick(len(losses) * len(rows))
        return (
            np.concatenate(outputs, axis=2),
            {name: np.concatenate(values) for name, values in records.items()},
            np.array(sizes, np.float64),
        )

    def _in_memory(
        self, images: MemoryImages, rows: tf.Tensor, table: Mapping[str, tf.Tensor]
    ) -> Iterator[Any]:
        for first, batches, size in images.groups():
            run = self._graph(size, images)
            if isinstance(run, OverParts):
                parts = [(tf.constant(first + i * size), tf.constant(1)) for i in range(batches)]
                for found in run(parts, images.pixels, images.labels, rows, table):
                    yield tf.nest.map_structure(lambda value: value.numpy(), found)
                continue
            done, at_once = 0, 1
            while done < batches:
                count = min(at_once, batches - done)
                began = time.monotonic()
                start = tf.constant(first + done * size)
                found = run(start, tf.constant(count), images.pixels, images.labels, rows, table)
                result = tf.nest.map_structure(lambda value: value.numpy(), found)
                seconds = time.monotonic() - began
                if done:  # the first call also traces
                    at_once = max(1, min(batches, int(count * CALL_SECONDS / max(seconds, 1e-6))))
                done += count
                yield result

    def _graph(self, size: int, images: MemoryImages) -> Callable[..., Any]:
        """Several batches of one size in a row."""
        program = self.program

        def stretch(
            first: tf.Tensor, count: tf.Tensor, pixels: tf.Tensor, labels: tf.Tensor,
            rows: tf.Tensor, table: Mapping[str, tf.Tensor],
        ) -> Any:  # fmt: skip
            def batch(i: tf.Tensor) -> Any:
                inputs, classes = images.batch(pixels, labels, first + i * size, size)
                return program.run(inputs, classes, rows, table)

            return tf.map_fn(
                batch,
                tf.range(count),
                parallel_iterations=BATCHES_AT_ONCE if program.whole else 1,
                fn_output_signature=program.signature(size, rows.shape[0]),
            )

        if size not in self._graphs:
            spread = tf.distribute.has_strategy()
            self._graphs[size] = OverParts(stretch) if spread else tf.function(stretch)
        return self._graphs[size]

    def _streamed(
        self, images: StreamedImages, rows: tf.Tensor, table: Mapping[str, tf.Tensor]
    ) -> Iterator[Any]:
        run = self._graphs.setdefault(0, OverParts(self.program.run))
        for found in run(iter(images), rows, table):
            yield tf.nest.map_structure(lambda value: value.numpy()[None], found)
