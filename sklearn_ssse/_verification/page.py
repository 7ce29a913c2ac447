"""A report as one HTML file: no script, and nothing that is loaded from elsewhere."""

from html import escape

from sklearn_ssse._verification.chart import membership_chart
from sklearn_ssse._verification.sections import ROW_SETS, report_sections

STYLE = """
.ssse-report {
  color-scheme: light dark;
  --ink: #1c2127; --soft: #57606a; --line: #d5dae0; --panel: #f6f8fa; --paper: #ffffff;
  --alarm: #a3261d; --alarm-panel: #fdf1f0; --mark: #1f6f8b;
  box-sizing: border-box; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
}
.ssse-report h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; color: var(--ink); }
.ssse-report h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; color: var(--ink); }
.ssse-report p { margin: .25rem 0 .75rem; max-width: 46rem; }
.ssse-report .soft { color: var(--soft); }
.ssse-report ul { list-style: none; margin: .5rem 0; padding: 0; }
.ssse-report li { background: var(--panel); border-left: 4px solid var(--line);
  margin: .4rem 0; padding: .5rem .75rem; }
.ssse-report li.alarm { background: var(--alarm-panel); border-color: var(--alarm); }
.ssse-report li.alarm strong { color: var(--alarm); }
.ssse-report .scroll { overflow-x: auto; }
.ssse-report table { border-collapse: collapse; width: 100%; font-size: .94rem; margin: 0;
  color: var(--ink); background: transparent; }
.ssse-report th, .ssse-report td { text-align: left; vertical-align: top; background: transparent;
  padding: .4rem .75rem .4rem 0; border: 0; border-bottom: 1px solid var(--line); }
.ssse-report thead th { color: var(--soft); font-weight: 600; }
.ssse-report tbody th { font-weight: 400; }
.ssse-report td { font-variant-numeric: tabular-nums; }
.ssse-report svg { display: block; width: 100%; max-width: 30rem; height: auto; margin: .5rem 0; }
.ssse-report svg text { fill: var(--ink); font-size: 12px; }
.ssse-report svg .axis { stroke: var(--line); }
.ssse-report svg .bar { stroke: var(--mark); stroke-width: 2; }
.ssse-report svg .dot { fill: var(--mark); }
@media (prefers-color-scheme: dark) {
  .ssse-report { --ink: #e6e9ed; --soft: #a3adb8; --line: #3a424c; --panel: #1d232a;
    --paper: #13171c; --alarm: #ff9c92; --alarm-panel: #35191a; --mark: #7cc4de; }
}
@media (max-width: 600px) {
  .ssse-report thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  .ssse-report table, .ssse-report tbody { display: block; }
  .ssse-report tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .ssse-report th, .ssse-report td { display: flex; gap: 1rem; border: 0; padding: .1rem 0; }
  .ssse-report tbody th { font-weight: 600; }
  .ssse-report td::before { content: attr(data-label); color: var(--soft); flex: 0 0 7.5rem; }
}
@media print {
  .ssse-report { --ink: #000000; --soft: #444444; --line: #bbbbbb; --panel: #ffffff;
    --paper: #ffffff; --alarm: #8a1c14; --alarm-panel: #ffffff; --mark: #000000;
    max-width: none; padding: 0; font-size: 11pt; }
  .ssse-report li, .ssse-report table, .ssse-report svg { break-inside: avoid; }
  .ssse-report h2, .ssse-report p, .ssse-report thead { break-after: avoid; }
}
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Report on an erasure</title>
<style>
body {{ margin: 0; background: #ffffff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #13171c; }} }}
@media print {{ body {{ background: #ffffff; }} @page {{ margin: 18mm; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_page(report, *, whole=True):
    """The HTML of a report: a whole page, or the part for a notebook.

    Parameters
    ----------
    report : dict
        See `ErasureReport.to_dict`.
    whole : bool
    """
    sections = "\n".join(map(_section, report_sections(report), _charts(report)))
    body = f"""<style>{STYLE}</style>
<article class="ssse-report">
<h1>Report on an erasure</h1>
<p class="soft">{_facts(report)}</p>
<section>
<h2>Findings</h2>
<p class="soft">Measured on the given rows. No finding is a certificate.</p>
<ul>
{_findings(report)}
</ul>
</section>
{sections}
</article>"""
    return PAGE.format(body=body) if whole else body


def _facts(report):
    counts = [f"{n:,} {ROW_SETS[name]}" for name, n in report["n_rows"].items()]
    versions = [f"{name} {version}" for name, version in report["versions"].items()]
    time = report["time"].replace("T", " ").replace("+00:00", " UTC")
    return escape("; ".join([time, ", ".join(counts), ", ".join(versions)]))


def _findings(report):
    lines = []
    for sentence in report["findings"]:
        if sentence in report["alarms"]:
            lines.append(f'<li class="alarm"><strong>Failure:</strong> {escape(sentence)}</li>')
        else:
            lines.append(f"<li>{escape(sentence)}</li>")
    return "\n".join(lines)


def _charts(report):
    """The chart of each section, or an empty str."""
    for section in report_sections(report):
        is_membership = section.title == "Membership inference"
        yield membership_chart(report["membership_inference"]) if is_membership else ""


def _section(section, chart):
    header = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in section.header)
    rows = "\n".join(_row(section.header, row) for row in section.rows)
    note = f'<p class="soft">{escape(section.note)}</p>' if section.note else ""
    return f"""<section>
<h2>{escape(section.title)}</h2>
{note}
{chart}
<div class="scroll"><table>
<thead><tr>{header}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</section>"""


def _row(header, row):
    cells = [
        f'<td data-label="{escape(name)}">{escape(cell)}</td>'
        for name, cell in zip(header[1:], row[1:], strict=True)
    ]
    return f'<tr><th scope="row">{escape(row[0])}</th>{"".join(cells)}</tr>'
