#!/usr/bin/env python3
# report.py
#		Makes the table, and docs/benchmarks.md, of what run.sh has noted.
#
# usage: report.py DIRECTORY NOTES DOCUMENT README MODE
#        report.py --again NOTES DOCUMENT README CHART [--check]
#
# DIRECTORY holds `facts`: lines of fields separated by tabs, of the kinds
# sample, row, note, command, and one each that describe machine and server.
# Writes DIRECTORY/benchmarks.md: NOTES, its placeholders filled in.  What
# DOCUMENT, an earlier report of the same machine and server, says of scenarios
# that were not measured now is kept.  Also writes DIRECTORY/benchmarks.svg, the chart
# of the lines on top, and DIRECTORY/README.md with those that README shows.
#
# --again measures nothing: it writes these files anew from the table of DOCUMENT, after
# a change of NOTES.  With --check it says which of them would change, and changes none.
#
# The n-th sample of a contender belongs to the n-th run: ratios are of runs.

import datetime
import math
import operator
import os
import re
import statistics
import sys
from collections import defaultdict

HEADER = ["scenario", "measured", "median", "beside it", "median", "ratio (min–max)", "must reach", "", "when"]
COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


# The lines on top: what is done, scenario, measured, beside it, whether README shows it.
TOP = [
    ("Submit one task in a transaction, 8 clients", "submit8", "taskq", "bare INSERT", True),
    ("Acquire and finish one task, 8 clients", "work8", "taskq", "SQL queue", True),
    ("The same", "graphile_worker", "taskq", "graphile-worker", False),
    ("The same", "pg_boss", "taskq", "pg-boss", True),
    ("Acquire and finish 100 tasks at a time, 1 client", "pgq", "taskq, acquire and finish by 100",
     "PgQ, batches of 100", False),
    ("Tenth minute beside a transaction that stays open", "pinned_soak", "taskq, last window",
     "SQL queue, first window", False),
    ("Work while 95 000 customers are at their limit", "groups_blocked", "taskq",
     "SQL queue with anti-join", False),
    ("Fire 1 000 schedules at once, 99th percentile of the delay", "schedules", "1 000 schedules, p99",
     "1 000 jobs of pg_cron, p99", True),
    ("Run jobs in Python", "runners", "taskq work --lines, Python", "celery", False),
    ("Send HTTP requests", "push", "taskq", "bare curl-multi", True),
]
# What the names in the table mean to somebody who has not read on.
SHORT = {"SQL queue": "a hand-written queue (SKIP LOCKED)", "bare INSERT": "a bare INSERT",
         "SQL queue, first window": "a hand-written queue in its first minute",
         "SQL queue with anti-join": "a hand-written queue with NOT EXISTS",
         "PgQ, batches of 100": "PgQ", "1 000 jobs of pg_cron, p99": "pg_cron",
         "celery": "Celery with Redis", "bare curl-multi": "a program of libcurl alone, without a database"}


class Facts:
    """What was noted; scenarios of make soak get names of their own."""

    def __init__(self, path, suffix):
        self.samples = defaultdict(list)
        self.rows, self.notes = [], []
        self.commands = defaultdict(list)
        self.about = {}
        for line in open(path, encoding="utf-8"):
            kind, *fields = line.rstrip("\n").split("\t")
            if kind in ("sample", "row", "note", "command"):
                fields[0] += suffix
            if kind == "sample":
                self.samples[fields[0], fields[1]].append(float(fields[2]))
            elif kind == "row":
                self.rows.append(fields)
            elif kind == "note":
                self.notes.append(fields)
            elif kind == "command":
                self.commands[fields[0]].append(fields[1])
            else:
                self.about[kind] = fields[0]


def number(value):
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}"


def verdict(target, value):
    if target == "-":
        return ""
    how, bound = target.split()
    return "yes" if COMPARE[how](value, float(bound)) else "**no**"


def make_row(facts, when, scenario, contender, base, unit, target):
    ours = facts.samples[scenario, contender]
    median = statistics.median(ours)
    cells = [scenario, contender, f"{number(median)} {unit}"]
    if base == "-":
        spread = f"({number(min(ours))}–{number(max(ours))})" if len(ours) > 1 else ""
        cells += ["", "", spread]
        reached = median
    else:
        theirs = facts.samples[scenario, base]
        ratios = [a / b if b else math.inf for a, b in zip(ours, theirs)]
        reached = statistics.median(ratios)
        spread = f" ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else ""
        cells += [base, number(statistics.median(theirs)), f"{reached:.2f}{spread}"]
    shown = "" if target == "-" else target.replace(">=", "≥").replace("<=", "≤")
    return cells + [shown, verdict(target, reached), when]


def aligned(rows):
    """The table for a terminal; all but the date."""
    rows = [row[:-1] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(cells):
    return "| " + " | ".join(cells) + " |"


def kept(path, about, measured):
    """Lines of an earlier document's lists by section, of scenarios not measured now."""
    sections = defaultdict(list)
    try:
        text = open(path, encoding="utf-8").read()
    except FileNotFoundError:
        return sections
    if about["machine"] not in text or about["server"] not in text:
        return sections
    for section, line in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end -->", text, re.S):
        for entry in line.splitlines():
            name = re.match(r"(?:\| |- `)(\w+)", entry)
            if name and name[1] not in measured and name[1] != HEADER[0]:
                sections[section].append(entry)
    return sections


def about(document, notes):
    """What an earlier document says of machine and server, where the notes have their @names@."""
    part = re.search(r"^- @machine@\n(?:- .*\n)+", notes, re.M)[0]
    pattern = re.sub(r"@(\w+)@", r"(?P<\1>.+)", re.escape(part))
    return re.search(pattern, document).groupdict()


def top_lines(rows):
    """Of TOP what the table has: (what, of taskq, beside it, name of that, how many times as fast, in README)."""
    lines = []
    for what, scenario, measured, base, shown in TOP:
        for row in rows:
            if row[:2] != [scenario, measured] or row[3] != base:
                continue
            value, unit = re.match(r"([\d ]+(?:\.\d+)?) (\S+)$", row[2]).groups()
            theirs = float(row[4].replace(" ", ""))
            ratio = float(row[5].split()[0])
            if unit == "ms":
                ratio = theirs / float(value.replace(" ", ""))
            lines.append((what, f"{value} {unit}", f"{row[4]} {unit}", SHORT.get(base, base), ratio, shown))
            break
    return lines


def times(ratio):
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}"


def top_table(lines):
    head = ["what", "taskq", "the other", "", "ratio"]
    rows = [[what, ours, theirs, base, times(ratio)] for what, ours, theirs, base, ratio, _ in lines]
    return [markdown(row) for row in [head, ["---"] * len(head)] + rows]


CHART_STYLE = """  <style>
    .paper { fill: #ffffff; }
    .bar { fill: #1f5fbf; }
    .slower { fill: #b3561e; }
    .axis { stroke: #46546a; }
    text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1b2430; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #14181f; }
      .bar { fill: #6ea5f5; }
      .slower { fill: #f0a070; }
      .axis { stroke: #b3c0d2; }
      text { fill: #e8edf4; }
    }
  </style>"""


def chart(lines):
    """Bars to the right of a line: taskq is faster; to the left: slower.  Each length is a logarithm."""
    middle, one, step = 440, 100, 34
    height = step * len(lines) + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" role="img" aria-labelledby="title">',
           '  <title id="title">How many times as fast taskq is as what it was measured beside</title>',
           CHART_STYLE, f'  <rect class="paper" width="900" height="{height}"/>']
    before = ""
    for i, (what, _, _, base, ratio, _) in enumerate(lines):
        y, length = 20 + i * step, math.log10(ratio) * one
        what = before if what == "The same" else what
        before = what
        left, width = min(middle, middle + length), max(abs(length), 1)
        out += [f'  <text x="16" y="{y + 12}">{what}</text>',
                f'  <text x="16" y="{y + 26}" style="font-size:11px">beside {base}</text>',
                f'  <rect class="{"bar" if ratio >= 1 else "slower"}" x="{left:.1f}" y="{y}" width="{width:.1f}" height="22"/>',
                f'  <text x="{middle + max(length, 0) + 8:.1f}" y="{y + 16}">{times(ratio)} times as fast</text>']
    out += [f'  <path class="axis" d="M{middle} 12V{height - 30}"/>',
            f'  <text x="{middle}" y="{height - 10}" text-anchor="middle">as fast as the other</text>', "</svg>"]
    return "\n".join(out) + "\n"


def readme(path, lines):
    """README with the lines that it shows."""
    text = open(path, encoding="utf-8").read()
    shown = "\n".join(top_table([line for line in lines if line[-1]]))
    return re.sub(r"(<!-- figures -->\n).*?(<!-- end -->)", lambda m: m[1] + shown + "\n" + m[2], text, flags=re.S)


def section(name, lines, head=""):
    return f"<!-- {name} -->\n{head}" + "".join(line + "\n" for line in lines) + "<!-- end -->"


def document(facts, rows, notes_path, old_path):
    measured = {row[0] for row in rows} | {note[0] for note in facts.notes} | set(facts.commands)
    old = kept(old_path, facts.about, measured)
    head = markdown(HEADER) + "\n" + markdown(["---"] * len(HEADER)) + "\n"
    commands = [f"- `{name}`: " + "; ".join(f"`{line}`" for line in lines)
                for name, lines in facts.commands.items()]
    table = old["table"] + [markdown(row) for row in rows]
    top = top_lines([[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table])
    text = open(notes_path, encoding="utf-8").read()
    for name, value in facts.about.items():
        text = text.replace("@" + name + "@", value)
    text = text.replace("@top@", "\n".join(top_table(top)))
    for name, lines, above in (
        ("table", table, head),
        ("notes", old["notes"] + [f"- `{name}`: {note}" for name, note in facts.notes], ""),
        ("commands", old["commands"] + commands, ""),
    ):
        text = text.replace("@" + name + "@", section(name, lines, above))
    return text, top


def again(notes_path, old_path, readme_path, chart_path, check=""):
    """Writes what is made of the table, without measuring."""
    facts = Facts(os.devnull, "")
    facts.about = about(open(old_path, encoding="utf-8").read(), open(notes_path, encoding="utf-8").read())
    text, top = document(facts, [], notes_path, old_path)
    for path, new in ((old_path, text), (chart_path, chart(top)), (readme_path, readme(readme_path, top))):
        if check:
            if not os.path.exists(path) or open(path, encoding="utf-8").read() != new:
                print(f"{path}: run bench/report.py --again {notes_path} {old_path} {readme_path} {chart_path}")
        else:
            with open(path, "w", encoding="utf-8") as out:
                out.write(new)


def main():
    if sys.argv[1] == "--again":
        return again(*sys.argv[2:])
    directory, notes_path, old_path, readme_path, mode = sys.argv[1:]
    facts = Facts(directory + "/facts", "_soak" if mode == "soak" else "")
    facts.about["commits"] = number(float(facts.about["commits"]))
    facts.about["settings"] = ", ".join(f"`{s}`" for s in facts.about["settings"].split("; ") if s)
    when = f"{datetime.date.today()}, {facts.about['taskq']}, {mode}"
    rows = [make_row(facts, when, *fields) for fields in facts.rows]
    text, top = document(facts, rows, notes_path, old_path)
    for name, content in (("benchmarks.md", text), ("benchmarks.svg", chart(top)), ("README.md", readme(readme_path, top))):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as out:
            out.write(content)
    print()
    for name in "machine", "server", "taskq":
        print(f"{name}: {facts.about[name]}")
    print(f"durable commits by one client: {facts.about['commits']} /s")
    print()
    print(aligned([HEADER] + rows))
    for name, note in facts.notes:
        print(f"{name}: {note}")


main()
