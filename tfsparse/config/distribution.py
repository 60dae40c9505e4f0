"""Where the work runs: one device, several, several machines, or a TPU."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tfsparse.config.fields import Many, Strict
from tfsparse.errors import UserError

FORM = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
DEVICE = r"^(CPU|GPU):(0|[1-9][0-9]?)$"


class DistributionConfig(Strict):
    """The `tf.distribute` strategy. Batch sizes elsewhere count the images of all replicas."""

    strategy: Literal["one_device", "mirrored", "multi_worker", "tpu"] = "one_device"
    """mirrored: the devices of this machine; multi_worker: the machines that the environment
    variable TF_CONFIG names; tpu: the cores of a TPU."""
    devices: Many[str] = ()
    """For one_device and mirrored, such as `["GPU:0", "GPU:1"]`. Default: TensorFlow's choice; for
    mirrored all GPUs, or the CPU where there is none. CPU:1 and above split the processor."""
    tpu: str | None = Field(None, min_length=1)
    """For tpu: its name or address, or `local` on the machine it belongs to."""
    synchronised_batch_norm: bool = False
    """Batch norm takes its statistics from the batch of all replicas, not from each one's part."""

    @field_validator("devices")
    @classmethod
    def _check_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for device in value:
            if not re.fullmatch(DEVICE, device):
                raise ValueError(f"expected devices such as 'GPU:0', received {device!r}")
        if len(set(value)) < len(value):
            raise ValueError("expected every device once")
        return value

    @model_validator(mode="after")
    def _check(self) -> "DistributionConfig":
        if self.devices and self.strategy not in ("one_device", "mirrored"):
            raise ValueError(f"devices: has no effect under {self.strategy!r}; remove it")
        if self.strategy == "one_device" and len(self.devices) > 1:
            raise ValueError("devices: expected one device, or strategy 'mirrored'")
        if (self.strategy == "tpu") != (self.tpu is not None):
            raise ValueError("tpu: expected a name or address with strategy 'tpu', and only then")
        return self


@dataclass(frozen=True)
class Cluster:
    """What TF_CONFIG says: all workers' addresses, and which of them this process is."""

    workers: tuple[str, ...]
    index: int


def read_cluster(text: str | None) -> Cluster:
    """The workers of a TF_CONFIG variable.

    >>> task = '"task": {"type": "worker", "index": 1}'
    >>> read_cluster('{"cluster": {"worker": ["a:1", "b:1"]}, %s}' % task)
    Cluster(workers=('a:1', 'b:1'), index=1)

    Raises:
        UserError: missing, no JSON, or not of that form.
    """
    if not text:
        raise UserError(f"TF_CONFIG: expected {FORM}, received nothing; set it for every worker")
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f"TF_CONFIG: expected {FORM}, received no JSON ({error})") from None
    workers = _at(value, "cluster", "worker")
    if not isinstance(workers, list) or not workers or not all(map(_address, workers)):
        raise UserError(f"TF_CONFIG: cluster.worker: expected a list of 'host:port' in {FORM}")
    if len(set(workers)) < len(workers):
        raise UserError("TF_CONFIG: cluster.worker: expected every address once")
    if set(value["cluster"]) != {"worker"} or _at(value, "task", "type") != "worker":
        raise UserError("TF_CONFIG: expected tasks of type 'worker' only; worker 0 is the chief")
    index = _at(value, "task", "index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(workers):
        raise UserError(
            f"TF_CONFIG: task.index: expected 0 to {len(workers) - 1}, received {index!r}"
        )
    return Cluster(tuple(workers), index)


def _at(value: Any, *keys: str) -> Any:
    """The value at a path of keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _address(text: Any) -> bool:
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
