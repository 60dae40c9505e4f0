"""All points of a path on one batch of images, as one graph.

The first layer with weights is linear in them, and the weights of a path are a weighted sum of
control points. Its output is therefore computed once per control point and batch and mixed at
every t, not computed anew. What lies between convolutions may be compiled with XLA; where no
convolution is left the whole loop over t is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfsparse.landscape.operations import Operation, Operations, Recorded, largest
from tfsparse.training.objective import cross_entropy

ROW, LABELS, MIXED, FIRST_POINT = -1, -2, -3, -4  # numbers of tensors that are not the model's

Table = Mapping[str, tf.Tensor]


class Program:
    """Evaluates a batch at every row of coefficients.

    Args:
        operations: the model's.
        points: the control points' weights, one tensor [k, ...] per name.
        label_smoothing: of the cross-entropy.
        compiled: whether to use XLA.
        parallel: how many rows may be under way at once.
    """

    def __init__(
        self,
        operations: Operations,
        points: Table,
        *,
        label_smoothing: float = 0.0,
        compiled: bool = False,
        parallel: int = 1,
    ) -> None:
        self._points, self._parallel = points, 1 if operations.opaque else parallel
        self._smoothing, self._records = label_smoothing, operations.records
        self._control_points = next(iter(points.values())).shape[0]
        self._lead = _Lead(operations.steps, operations.stem, tiled=compiled)
        steps = list(operations.steps[self._lead.length :])
        steps = [*self._lead.mixing(self._control_points), *steps]
        steps.append(self._judging(operations.output))
        if self._parallel > 1:
            steps = [_kept_apart(step, steps) for step in steps]
        self._result = steps[-1].output
        self._names = sorted({name for step in steps for name in step.weights})
        self.whole = whole = compiled and all(step.light for step in steps)
        self._groups = _grouped(steps, compiled=compiled and not whole, fusable=compiled)
        self._loop = tf.function(self._rows, jit_compile=True) if whole else self._rows

    @property
    def names(self) -> list[str]:
        """The weights that are needed per row."""
        return self._names

    def signature(self, size: int | None, rows: int | None = None) -> tuple[tf.TensorSpec, Any]:
        """The shapes of what `run` returns for a batch of `size` at so many rows, or at one."""
        many = [] if rows is None else [rows]
        return (
            tf.TensorSpec([*many, 2, size], tf.float32),
            {
                name: tf.TensorSpec([*many, *self._points[name].shape[1:]], tf.float32)
                for name in self._records
            },
        )

    def run(
        self, images: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, table: Table
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss of every image at every row.

        Args:
            images: model inputs, float32 [b, ...].
            labels: int32 [b].
            rows: coefficients, float32 [m, k].
            table: the weights of `names` at every row, float32 [m, ...].

        Returns:
            float32 [m, 2, b]: cross-entropies, and 1 where the classification is right;
            what was recorded, by name, [m, ...].
        """
        tensors = self._lead.run(images, self._points, self._control_points)
        tensors[LABELS] = labels
        return self._loop(tensors, rows, {name: table[name] for name in self._names})

    def _rows(
        self, fixed: Mapping[int, tf.Tensor], rows: tf.Tensor, table: Table
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def at(place: tf.Tensor) -> tuple[tf.Tensor, Recorded]:
            recorded = Recorded()
            weights = {name: value[place] for name, value in table.items()}
            tensors = {**fixed, ROW: rows[place]}
            for group in self._groups:
                tensors.update(group(tensors, weights, recorded))
            return tensors[self._result], recorded

        signature = self.signature(fixed[LABELS].shape[0])
        return tf.map_fn(
            at,
            tf.range(rows.shape[0]),
            parallel_iterations=self._parallel,
            fn_output_signature=signature,
        )

    def _judging(self, logits: int) -> Operation:
        """Cross-entropy and correctness of each image."""

        def run(x: list[tf.Tensor], _: Table, __: Recorded) -> tf.Tensor:
            entropy = cross_entropy(x[0], x[1], self._smoothing)
            right = tf.equal(tf.argmax(x[0], -1, output_type=x[1].dtype), x[1])
            return tf.stack([entropy, tf.cast(right, tf.float32)])

        return Operation((logits, LABELS), 1 << 30, (), True, "other", run)


class _Lead:
    """What is computed once per batch, not once per row: all up to the first layer and its bias.

    Where max pooling over tiles follows, the elements of its windows are laid apart once per
    batch, so that mixing, the maximum and a ReLU become one pass over contiguous numbers.

    Args:
        steps: the model's operations.
        stem: the place of the first layer's operation, or None.
        tiled: whether to look for pooling.
    """

    def __init__(self, steps: Sequence[Operation], stem: int | None, *, tiled: bool) -> None:
        self.length, self._before, self._linear = 0, list[Operation](), list[Operation]()
        self._pool: Operation | None = None
        self._relu: Operation | None = None
        if stem is None:
            return
        self._before, self._linear = list(steps[:stem]), [steps[stem]]
        self.length = stem + 1
        if self._next(steps, "bias"):
            self._linear.append(steps[self.length])
            self.length += 1
        if tiled and self._next(steps, "max_of_tiles"):
            self._pool = steps[self.length]
            self.length += 1
            if self._next(steps, "relu"):
                self._relu = steps[self.length]
                self.length += 1

    def _next(self, steps: Sequence[Operation], kind: str) -> bool:
        """Whether a step of this kind alone reads what the lead makes so far."""
        if self.length >= len(steps):
            return False
        step, made = steps[self.length], steps[self.length - 1].output
        return step.kind == kind and sum(made in other.inputs for other in steps) == 1

    def run(self, images: tf.Tensor, points: Table, count: int) -> dict[int, tf.Tensor]:
        """The tensors that operations of a row may read."""
        tensors, recorded = {0: images}, Recorded()
        for step in self._before:
            tensors[step.output] = step.run([tensors[i] for i in step.inputs], {}, recorded)
        place = FIRST_POINT
        for k in range(count if self._linear else 0):
            values = [tensors[i] for i in self._linear[0].inputs]
            for step in self._linear:
                weights = {name: points[name][k] for name in step.weights}
                values = [step.run(values, weights, recorded)]
            for value in _laid_apart(values[0], self._pool.window) if self._pool else values:
                tensors[place] = value
                place -= 1
        return tensors

    def mixing(self, count: int) -> list[Operation]:
        """From the control points' outputs to that of the first layer (and pooling) at a row."""
        if not self._linear:
            return []
        each = math.prod(self._pool.window) if self._pool else 1
        inputs = (ROW, *(FIRST_POINT - i for i in range(count * each)))

        def mix(x: list[tf.Tensor], _: Table, __: Recorded) -> tf.Tensor:
            row, parts = x[0], x[1:]
            sums = []
            for i in range(each):
                total = row[0] * parts[i]
                for k in range(1, count):
                    total += row[k] * parts[k * each + i]
                sums.append(total)
            return tf.nn.relu(largest(sums)) if self._relu else largest(sums)

        if self._pool is None:
            return [Operation(inputs, self._linear[-1].output, (), True, "other", mix)]
        shape = self._pool.shape
        mixed = Operation(inputs, MIXED, (), True, "other", mix)
        # Kept out of XLA's fusion, which would compute with the shaped tensor's indices.
        last = self._relu or self._pool
        shaped = Operation(
            (MIXED,), last.output, (), False, "other", lambda x, w, _: tf.reshape(x[0], shape)
        )
        return [mixed, shaped]


def _laid_apart(x: tf.Tensor, window: tuple[int, int]) -> list[tf.Tensor]:
    """The elements of [b, h, w, c] by their place in windows, each [b, rest]."""
    _, height, width, channels = x.shape
    rows, columns = height // window[0], width // window[1]
    parts = tf.reshape(x, [-1, rows, window[0], columns, window[1], channels])
    parts = tf.transpose(parts, [2, 4, 0, 1, 3, 5])
    return tf.unstack(
        tf.reshape(parts, [math.prod(window), -1, rows * columns * channels]), math.prod(window)
    )


def _kept_apart(step: Operation, steps: Sequence[Operation]) -> Operation:
    """A sum with a bias that TensorFlow does not fuse with the sum that may follow it.

    A convolution fused with its bias and a skip connection is one kernel, and oneDNN's keeps the
    pointers of a call in itself: two rows at once would write into each other's memory.
    """
    readers = [other for other in steps if step.output in other.inputs]
    if step.kind != "bias" or all(reader.kind == "relu" for reader in readers):
        return step
    return replace(
        step, run=lambda x, w, recorded: tf.raw_ops.Snapshot(input=step.run(x, w, recorded))
    )


class _Group:
    """Neighbouring operations, run as one."""

    def __init__(self, steps: Sequence[Operation], needed: set[int], *, compiled: bool) -> None:
        made = {step.output for step in steps}
        self._steps = steps
        self._inputs = sorted({i for step in steps for i in step.inputs} - made)
        self._outputs = sorted(made & needed)
        self._names = sorted({name for step in steps for name in step.weights})
        self._compiled = tf.function(self._unrecorded, jit_compile=True) if compiled else None

    def __call__(
        self, tensors: Mapping[int, tf.Tensor], weights: Table, recorded: Recorded
    ) -> dict[int, tf.Tensor]:
        inputs = [tensors[i] for i in self._inputs]
        weights = {name: weights[name] for name in self._names}
        if self._compiled is not None:
            outputs = self._compiled(inputs, weights)
        else:
            outputs = self._run(inputs, weights, recorded)
        return dict(zip(self._outputs, outputs, strict=True))

    def _unrecorded(self, inputs: list[tf.Tensor], weights: Table) -> list[tf.Tensor]:
        return self._run(inputs, weights, Recorded())

    def _run(self, inputs: list[tf.Tensor], weights: Table, recorded: Recorded) -> list[tf.Tensor]:
        tensors = dict(zip(self._inputs, inputs, strict=True))
        for step in self._steps:
            tensors[step.output] = step.run([tensors[i] for i in step.inputs], weights, recorded)
        return [tensors[i] for i in self._outputs]


def _grouped(steps: Sequence[Operation], *, compiled: bool, fusable: bool) -> list[_Group]:
    """Neighbouring light operations together, every heavy one alone."""
    steps = [step.fusable() if fusable else step for step in steps]
    parts: list[list[Operation]] = []
    for step in steps:
        if parts and step.light and parts[-1][-1].light:
            parts[-1].append(step)
        else:
            parts.append([step])
    groups = []
    for place, part in enumerate(parts):
        later = {i for other in parts[place + 1 :] for step in other for i in step.inputs}
        if place == len(parts) - 1:
            later.add(part[-1].output)
        groups.append(_Group(part, later, compiled=compiled and part[0].light))
    return groups
