"""How rows read when they are printed: one line for people, by the name of the row's class."""

from typing import Any, Callable, Dict, Iterable, Optional, Sequence

FILE_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
MEMORY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def scaled(count: Optional[int], step: int, units: Sequence[str]) -> str:
    """Bytes in a unit that keeps the number short; "?" when they are not known."""
    if count is None or count < 0:
        return "?"
    value = float(count)
    unit = 0
    while value >= step - 0.5 and unit < len(units) - 1:
        value /= step
        unit += 1
    return f"{value:.0f} {units[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {units[unit]}"


def size(count: Optional[int]) -> str:
    """What is on a disk or on a line, in thousands."""
    return scaled(count, 1000, FILE_UNITS)


def memory_size(count: Optional[int]) -> str:
    """What is in memory, in steps of 1024."""
    return scaled(count, 1024, MEMORY_UNITS)


def price(micros: Optional[int]) -> str:
    if micros is None:
        return ""
    return f"${micros / 1e6:.2f} an hour" if micros else "free"


def seconds(milliseconds: Optional[int]) -> str:
    if milliseconds is None:
        return ""
    minutes, rest = divmod(milliseconds // 1000, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def joined(parts: Iterable[str], separator: str = "  ") -> str:
    return separator.join(part for part in parts if part)


def number(name: str, value: Optional[float]) -> str:
    return "" if value is None else f"{name} {value:.4g}"


def label(constant: Any) -> str:
    return str(constant.name).lower()


def progress(row: Any) -> str:
    moved = f"{size(row.bytes)} of {size(row.bytes_total)}" if row.bytes_total is not None else size(row.bytes)
    rate = f"{size(row.bytes_per_second)}/s" if row.bytes_per_second is not None else ""
    left = f"{seconds(row.left_ms)} left" if row.left_ms else ""
    return joined((row.stage, row.item, moved if row.bytes else "", rate, left))


def offer(row: Any) -> str:
    return joined((f"{row.accelerator:<16}", f"{label(row.verdict):<7}", price(row.hour_usd_micros), row.summary))


def machine(row: Any) -> str:
    chips = f"{row.chips} x {row.chip}" if row.chips > 1 else row.chip
    return joined((f"{row.name:<16}", chips, memory_size(row.memory_bytes), price(row.hour_usd_micros)))


def memory(row: Any) -> str:
    same = row.low_bytes == row.high_bytes
    most = memory_size(row.high_bytes)
    amount = most if same else f"{memory_size(row.low_bytes)} to {most}"
    return joined((f"{row.item:<12}", amount, row.formula))


def metric(row: Any) -> str:
    step = "" if row.step is None else f"step {row.step}" if row.steps is None else f"step {row.step}/{row.steps}"
    numbers = (number("loss", row.loss), number("evaluation loss", row.evaluation_loss),
               number("learning rate", row.learning_rate), number("tokens/s", row.tokens_per_second))
    return joined((step, *numbers)) or row.json


def check(row: Any) -> str:
    return joined((f"{row.name}: {label(row.answer)}", row.message, row.fix))


def setting(row: Any) -> str:
    return joined((f"{row.key:<28}", row.default_value, row.unit, row.description))


LINES: Dict[str, Callable[[Any], str]] = {
    "Check": check,
    "Error": lambda row: joined((row.message, row.hint), "\n"),
    "File": lambda row: row.path,
    "JobReport": lambda row: joined((row.id, label(row.state), row.name, row.accelerator, row.address, row.message)),
    "LogLine": lambda row: row.text,
    "LogRecord": lambda row: f"{label(row.level)}: {row.component}: {row.text}",
    "Machine": machine,
    "Memory": memory,
    "Metric": metric,
    "Model": lambda row: row.id,
    "Offer": offer,
    "Piece": lambda row: row.text,
    "Progress": progress,
    "Reason": lambda row: joined((row.message, row.change)),
    "Reference": lambda row: joined((row.name, row.commit)),
    "Repository": lambda row: f"{row.id}@{row.commit or row.revision}",
    "Setting": setting,
}


def line(row: Any) -> str:
    """The line of a row; of one that has none here, what it holds."""
    look = LINES.get(type(row).__name__)
    return look(row) if look else repr(row)
