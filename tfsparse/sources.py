"""What a run takes from another run, checked against the hashes that run recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.config import RunConfig
from tfsparse.errors import UserError
from tfsparse.runs import Run, weights_hash
from tfsparse.sparsity.mask_facts import mask_hash
from tfsparse.sparsity.mask_files import validate_masks

Shapes = Mapping[str, Sequence[int]]


class Source:
    """Another run, finished and of the same model.

    Args:
        path: its folder.
        config: of the run that takes something from it.

    Raises:
        UserError: the run is missing, unfinished or of another model.
    """

    def __init__(self, path: str, config: RunConfig) -> None:
        self.run = Run(Path(path))
        self._summary = self.run.summary()
        theirs = self.run.config_json().get("model")
        ours = config.model.model_dump(mode="json")
        if theirs != ours:
            raise UserError(f"{self.run.path}: expected a run of model {ours}, received {theirs}")

    def masks(self, shapes: Shapes, expected_hash: str | None = None) -> dict[str, np.ndarray]:
        """The source's masks.

        Args:
            shapes: kernel shapes of this run's model.
            expected_hash: what the taking run's config demands, if anything.

        Raises:
            UserError: a dense source, masks that do not fit the model, or that are not those
                the run ended with.
        """
        masks = validate_masks(self.run.masks(), shapes)
        if not masks:
            raise UserError(f"{self.run.path}: expected a run with masks, this one is dense")
        found = mask_hash(masks)
        self._same(found, self._summary.get("mask_hash"), "masks.npz")
        if expected_hash is not None and found != expected_hash:
            raise UserError(
                f"{self.run.path}: source.mask_hash: expected {expected_hash}, received {found}"
            )
        return masks

    def weights_at(self, step: int) -> dict[str, np.ndarray]:
        """The weights the source had after `step` steps.

        Raises:
            UserError: not kept, or not those the run started from.
        """
        weights = self.run.weights_at(step)
        if step == 0:
            self._same(weights_hash(weights), self._recorded("initial"), "initial.npz")
        return weights

    def final_weights(self) -> dict[str, np.ndarray]:
        """The weights the source ended with."""
        weights = self.run.final_weights()
        self._same(weights_hash(weights), self._recorded("final"), "final.npz")
        return weights

    def record(self, **more: Any) -> dict[str, Any]:
        """What the taking run's summary says of this source."""
        hashes = self._summary.get("weights_hash", {})
        return {
            "run": str(self.run.path),
            "mask_hash": self._summary.get("mask_hash"),
            "initial_hash": hashes.get("initial"),
            "final_hash": hashes.get("final"),
            **more,
        }

    def _recorded(self, which: str) -> str | None:
        return self._summary.get("weights_hash", {}).get(which)

    def _same(self, found: str, recorded: str | None, name: str) -> None:
        if found != recorded:
            raise UserError(
                f"{self.run.path / name}: does not belong to this run: its summary recorded hash "
                f"{recorded}, the file has {found}; train the source run again"
            )
