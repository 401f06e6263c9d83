"""The table of all figures, for people; the same as JSON is the figures' own."""

from collections.abc import Sequence

from benchmarks.figures import Figure, Samples

HEADINGS = ("figure", "median", "min", "p95", "n", "beside it", "median", "ratio", "goal", "met")
LEFT = {0, 5, 8, 9}


def render(figures: Sequence[Figure]) -> str:
    """Columns as wide as they need to be."""
    rows = [HEADINGS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(figure: Figure) -> tuple[str, ...]:
    samples, beside, met = figure.samples, figure.beside, figure.is_met
    several = len(samples.values) > 1
    return (
        f"{figure.name}, {figure.unit}",
        _number(samples.median),
        _number(samples.low) if several else "",
        _number(samples.p95) if several else "",
        str(len(samples.values)),
        figure.beside_name,
        _median(beside),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        str(figure.goal),
        "" if met is None else "yes" if met else "NO",
    )


def _median(samples: Samples | None) -> str:
    return "" if samples is None else _number(samples.median)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
