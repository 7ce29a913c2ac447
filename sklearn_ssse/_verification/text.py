"""A report as plain text."""

import textwrap

from sklearn_ssse._verification.sections import ROW_SETS, report_sections

# Characters of a line.
WIDTH = 88


def write_text(report):
    """The text of a report.

    Parameters
    ----------
    report : dict
        See `ErasureReport.to_dict`.
    """
    counts = [f"{n} {ROW_SETS[name]}" for name, n in report["n_rows"].items()]
    lines = [f"Report on an erasure, {report['time']}", ", ".join(counts), ""]
    lines.append("Findings (measured on these rows; no certificate)")
    for sentence in report["findings"]:
        mark = "!" if sentence in report["alarms"] else "-"
        lines += textwrap.wrap(sentence, WIDTH, initial_indent=f"{mark} ", subsequent_indent="  ")
    for section in report_sections(report):
        lines += ["", section.title, *textwrap.wrap(section.note, WIDTH)]
        lines += _table([section.header, *section.rows])
    return "\n".join(lines)


def _table(rows):
    """The lines of a table whose columns are aligned, the last one wrapped."""
    columns = zip(*(row[:-1] for row in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    for row in rows:
        pairs = zip(row[:-1], widths, strict=True)
        start = "  " + "".join(f"{cell:<{width}}  " for cell, width in pairs)
        room = max(WIDTH - len(start), 24)
        yield from textwrap.wrap(
            start + row[-1], len(start) + room, subsequent_indent=" " * len(start)
        ) or [start]
