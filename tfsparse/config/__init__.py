"""Typed, strict configs: what may stand in a JSON file, checked before anything runs."""

from tfsparse.config.data import DataConfig
from tfsparse.config.distribution import DistributionConfig
from tfsparse.config.fields import Sparsity, Step, Strict, resolve_step
from tfsparse.config.load import check, load_config, merge, read_object
from tfsparse.config.optimizer import OptimizerConfig
from tfsparse.config.run import ImpConfig, ModelConfig, RunConfig, SourceConfig, TrainConfig
from tfsparse.config.sparsity import GrowthConfig, InitConfig, MaskConfig, PruningConfig, Rule

__all__ = [
    "DataConfig",
    "DistributionConfig",
    "GrowthConfig",
    "ImpConfig",
    "InitConfig",
    "MaskConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PruningConfig",
    "Rule",
    "RunConfig",
    "SourceConfig",
    "Sparsity",
    "Step",
    "Strict",
    "TrainConfig",
    "check",
    "load_config",
    "merge",
    "read_object",
    "resolve_step",
]
