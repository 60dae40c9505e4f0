"""The mask section of a config, carried out: masks that are drawn, cut or read, not learnt."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfsparse.config import MaskConfig
from tfsparse.errors import UserError
from tfsparse.seeds import named_seed
from tfsparse.sparsity.distributions import DISTRIBUTIONS, from_masks
from tfsparse.sparsity.masks import (
    Masks,
    global_magnitude_masks,
    load_masks,
    magnitude_mask,
    random_mask,
    shuffled_masks,
)
from tfsparse.sparsity.rules import apply_rules

Shapes = Mapping[str, Sequence[int]]


def draw_masks(
    config: MaskConfig,
    shapes: Shapes,
    *,
    seed: int,
    kernels: Mapping[str, np.ndarray],
    source_masks: Masks | None,
) -> Masks:
    """The masks a config asks for; layers that stay dense have none.

    Args:
        config: which kind, how sparse, spread how.
        shapes: kernel shapes by layer name, from input to output.
        seed: of the random kinds.
        kernels: trained kernels, for the magnitude kinds.
        source_masks: of the source run, where one is named.

    Raises:
        UserError: a file that does not fit, or a kind that needs a source run.
    """
    if config.kind == "file":
        assert config.file is not None  # the config has checked it
        return load_masks(config.file, shapes)
    if config.kind == "shuffled":
        return shuffled_masks(_required(source_masks, "kind 'shuffled'"), seed)
    if config.kind == "source":
        return _required(source_masks, "kind 'source'")
    sparsities = _sparsities(config, shapes, source_masks)
    if config.kind == "global_magnitude":
        assert config.sparsity is not None
        chosen = {name: kernels[name] for name in sparsities}
        return global_magnitude_masks(chosen, config.sparsity)
    if config.kind == "magnitude":
        return {name: magnitude_mask(kernels[name], s) for name, s in sparsities.items()}
    exact = config.kind == "exact"
    return {
        name: random_mask(shapes[name], s, named_seed(seed, "mask", name), exact=exact)
        for name, s in sparsities.items()
    }


def _sparsities(config: MaskConfig, shapes: Shapes, source_masks: Masks | None) -> dict[str, float]:
    """How sparse each masked layer shall be."""
    if config.distribution == "source":
        wanted = from_masks(_required(source_masks, "distribution 'source'"))
    else:
        assert config.sparsity is not None  # the config has checked it
        wanted = DISTRIBUTIONS[config.distribution](shapes, config.sparsity)
        wanted = apply_rules(wanted, config.rules, shapes)
    return {name: sparsity for name, sparsity in wanted.items() if sparsity > 0}


def _required(masks: Masks | None, what: str) -> Masks:
    if masks is None:
        raise UserError(f"mask: {what} needs a source run; add a section 'source'")
    return masks
