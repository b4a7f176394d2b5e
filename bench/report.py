#!/usr/bin/env python3
# report.py
#		Makes the table, and docs/benchmarks.md, of what run.sh has noted.
#
# usage: report.py DIRECTORY NOTES DOCUMENT MODE
#
# DIRECTORY holds `facts`: lines of fields separated by tabs, of the kinds
# sample, row, note, command, and one each that describe machine and server.
# Writes DIRECTORY/benchmarks.md: NOTES, its placeholders filled in.  What
# DOCUMENT, an earlier report of the same machine and server, says of scenarios
# that were not measured now is kept.
#
# The n-th sample of a contender belongs to the n-th run: ratios are of runs.

import datetime
import math
import operator
import re
import statistics
import sys
from collections import defaultdict

HEADER = ["scenario", "measured", "median", "beside it", "median", "ratio (min–max)", "must reach", "", "when"]
COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


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


def section(name, lines, head=""):
    return f"<!-- {name} -->\n{head}" + "".join(line + "\n" for line in lines) + "<!-- end -->"


def document(facts, rows, notes_path, old_path):
    measured = {row[0] for row in rows} | {note[0] for note in facts.notes} | set(facts.commands)
    old = kept(old_path, facts.about, measured)
    head = markdown(HEADER) + "\n" + markdown(["---"] * len(HEADER)) + "\n"
    commands = [f"- `{name}`: " + "; ".join(f"`{line}`" for line in lines)
                for name, lines in facts.commands.items()]
    text = open(notes_path, encoding="utf-8").read()
    for name, value in facts.about.items():
        text = text.replace("@" + name + "@", value)
    for name, lines, top in (
        ("table", [markdown(row) for row in rows], head),
        ("notes", [f"- `{name}`: {note}" for name, note in facts.notes], ""),
        ("commands", commands, ""),
    ):
        text = text.replace("@" + name + "@", section(name, old[name] + lines, top))
    return text


def main():
    directory, notes_path, old_path, mode = sys.argv[1:]
    facts = Facts(directory + "/facts", "_soak" if mode == "soak" else "")
    facts.about["commits"] = number(float(facts.about["commits"]))
    facts.about["settings"] = ", ".join(f"`{s}`" for s in facts.about["settings"].split("; ") if s)
    when = f"{datetime.date.today()}, {facts.about['taskq']}, {mode}"
    rows = [make_row(facts, when, *fields) for fields in facts.rows]
    with open(directory + "/benchmarks.md", "w", encoding="utf-8") as out:
        out.write(document(facts, rows, notes_path, old_path))
    print()
    for name in "machine", "server", "taskq":
        print(f"{name}: {facts.about[name]}")
    print(f"durable commits by one client: {facts.about['commits']} /s")
    print()
    print(aligned([HEADER] + rows))
    for name, note in facts.notes:
        print(f"{name}: {note}")


main()
