"""What a person sees while a run trains: step, loss, sparsity, rate, time left."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES = 10  # without a terminal: one line each tenth of the run


class Display:
    """Progress on stderr: a bar on a terminal, a line each tenth of the run elsewhere.

    Args:
        title: what is running.
        total: the last step.
        start: the first step of this process.
        batch_size: images per step, for the rate.
        quiet: show nothing.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        start: int = 0,
        batch_size: int = 1,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._total, self._start, self._batch_size = title, total, start, batch_size
        self._quiet, self._clock = quiet, clock
        self._began = clock()
        self._last_line = start
        console = Console(file=sys.stderr)
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(compact=True),
                console=console,
            )
            if console.is_terminal and not quiet
            else None
        )

    def __enter__(self) -> "Display":
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(
                self._title, total=self._total, completed=self._start, text=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: int, *, loss: float | None, sparsity: float | None = None) -> None:
        """Show that `step` steps are done."""
        if self._quiet:
            return
        seconds = max(1e-9, self._clock() - self._began)
        rate = (step - self._start) / seconds
        parts = [] if loss is None else [f"loss {loss:.4f}"]
        if sparsity is not None:
            parts.append(f"sparsity {sparsity:.1%}")
        parts.append(f"{rate * self._batch_size:,.0f} images/s")
        text = "  ".join(parts)
        if self._bar:
            self._bar.update(self._task, completed=step, text=text)
        elif step >= self._total or step - self._last_line >= self._total / LINES:
            self._last_line = step
            left = (self._total - step) / rate if rate > 0 else 0.0
            print(
                f"{self._title}  {step}/{self._total}  {text}  {clock_text(left)} left",
                file=sys.stderr,
                flush=True,
            )


def clock_text(seconds: float) -> str:
    """A duration as people write it.

    >>> clock_text(75.2), clock_text(3.4), clock_text(7300)
    ('1m 15s', '3s', '2h 1m')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {whole % 60}s" if minutes else f"{whole}s"
