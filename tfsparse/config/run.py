"""The config of one training run."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tfsparse.config.data import DataConfig
from tfsparse.config.distribution import DistributionConfig
from tfsparse.config.fields import MAX_EPOCHS, MAX_STEPS, Many, Sparsity, Step, Strict
from tfsparse.config.optimizer import OptimizerConfig
from tfsparse.config.sparsity import (
    PAPER_RULES,
    GrowthConfig,
    InitConfig,
    MaskConfig,
    PruningConfig,
    Rule,
)
from tfsparse.config.topology import TopologyConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"

Method = Literal[
    "dense",
    "pruned",
    "iterative",
    "one_shot",
    "lottery",
    "scratch",
    "retrain",
    "sparse_init",
    "random_sparse_init",
    "random",
    "topology",
    "imp",
    "imp_round",
    "small_dense",
    "set",
    "rigl",
    "rigl_inverted",
    "snfs",
    "snip",
    "grasp",
]


class ModelConfig(Strict):
    """Which architecture."""

    name: str = Field("lenet_5", min_length=1)
    """A name of the zoo, or your own function as `package.module:function`."""
    width: float = Field(1.0, gt=0)
    """Multiplies the number of hidden units and channels."""
    relu_logits: bool = False
    """Put a ReLU on the logits, as the code behind paper 2 did."""
    args: dict[str, Any] = Field({})
    """Further keyword arguments of the builder."""

    @field_validator("args")
    @classmethod
    def _check_args(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in ("width", "relu_logits"):
            if key in value:
                raise ValueError(f"expected {key!r} as a key of the model, not among its args")
        return value


class TrainConfig(Strict):
    """How long, in which portions and in which numbers."""

    steps: int | None = Field(None, ge=0, le=MAX_STEPS)
    """Optimizer steps; give either steps or epochs."""
    epochs: float | None = Field(None, gt=0, le=MAX_EPOCHS)
    batch_size: int = Field(128, ge=1)
    """Images per step, over all replicas."""
    log_every: Step = 100
    """Steps between two lines of metrics.jsonl."""
    evaluate_every: Step | None = 0.1
    """Steps between two evaluations; null evaluates only at the end."""
    evaluate_on: Literal["validation", "test"] = "validation"
    """The set of the evaluations during training; the final figure is always the test set's."""
    checkpoint_every: Step = 0.1
    """Steps between two checkpoints."""
    save_weights_at: Many[Step] = ()
    """Steps whose weights are kept for late rewinding (step 0 always is)."""
    gradient_flow_every: Step | None = None
    """Steps between two measurements of the gradient flow; null measures none."""
    gradient_flow_examples: int = Field(1000, ge=1)
    """Size of the fixed batch on which the gradient flow is measured."""
    gradient_flow_at_updates: bool = False
    """Measure it before and after every mask update, too."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    xla: bool | None = None
    """Compile the step with XLA; null takes what measures faster for the model kind."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if (self.steps is None) == (self.epochs is None):
            received = "neither" if self.steps is None else "both; set one of them to null"
            raise ValueError(
                f"expected exactly one of train.steps and train.epochs, received {received}"
            )
        return self


class SourceConfig(Strict):
    """Another run whose mask or weights this run starts from."""

    run: str = Field(min_length=1)
    """The folder of the source run; `{seed}` stands for this run's seed."""
    rewind_step: int = Field(0, ge=0)
    """The step of the source run whose weights a ticket starts from."""
    weights_run: str | None = None
    """The folder of the run whose weights a ticket starts from, when that is not `run`."""
    mask_hash: str | None = None
    """When given, the source's mask must have this hash."""


class ImpConfig(Strict):
    """Iterative magnitude pruning with rewinding."""

    rounds: int = Field(3, ge=1)
    final_sparsity: Sparsity = 0.8
    rewind_step: int = Field(0, ge=0)
    """The step of round 0 to whose weights every round returns."""
    rules: Many[Rule] = PAPER_RULES


class RunConfig(Strict):
    """One training run: `python -m tfsparse.train --config this.json`."""

    name: str = Field(json_schema_extra={"pattern": NAME})
    """The folder below run_dir; default: the config file's name."""
    about: str = ""
    """Purpose, expected time, expected result."""
    method: Method = "dense"
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig
    pruning: PruningConfig | None = None
    """For pruned, iterative and one_shot: how much is cut and when."""
    mask: MaskConfig | None = None
    """For methods that make their own mask: how sparse, spread how."""
    growth: GrowthConfig | None = None
    """For set, rigl, rigl_inverted and snfs: when connections move."""
    topology: TopologyConfig | None = None
    """For topology: which layers are RadiX-Nets, random or of a file from the start."""
    init: InitConfig = InitConfig()
    source: SourceConfig | None = None
    """For methods that take a mask or weights from another run."""
    imp: ImpConfig | None = None
    distribution: DistributionConfig = DistributionConfig()
    """On which devices; the same run may be carried on on others."""
    seed: int = Field(0, ge=0, lt=2**31)
    run_dir: str = Field("runs", min_length=1)
    """The folder that holds all runs."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not re.fullmatch(NAME, value):
            raise ValueError(
                "expected letters, digits and . _ + -, a letter or digit first "
                "(default: the config file's name)"
            )
        return value
