"""Data sets: found as TFDS lays them out, split, preprocessed, in memory or streamed."""

from tfsparse.data.load import load_data
from tfsparse.data.memory import Examples, InMemoryData
from tfsparse.data.stream import StreamedData

__all__ = ["Examples", "InMemoryData", "StreamedData", "load_data"]
