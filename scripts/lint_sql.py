#!/usr/bin/env python3
"""lint_sql.py
    Checks the install script's parts for what review forgets.

usage: lint_sql.py --regress "NAME..." FILE...

The files are one script; NAMEs are the regression tests that are run.  Prints
"FILE:LINE: what is wrong" and exits 1 if anything is.

- Nothing is made OR REPLACE or IF NOT EXISTS: both would adopt an object that
  somebody else planted.
- A SECURITY DEFINER function pins its search_path to pg_catalog, pg_temp.
- Every public function, procedure, view and type has a COMMENT; public is what
  stands in schema taskq.  Schema taskq holds no table and no sequence.
- No line has more than 140 columns, with a tab for every four.
- Part sql/NN_NAME.sql has a regression test test/sql/NAME.sql, which is run.
"""
import argparse
import os
import re
import sys

WIDTH = 140
TAB = 4

KIND = {"function": "function", "procedure": "function", "routine": "function",
        "view": "view", "type": "type", "aggregate": "function"}


def blank_out(text):
    """The text with comments and the bodies of strings blanked, of equal length."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(\$\w*\$).*?\1", re.S)
    return token.sub(blank, text)


def statements(text):
    """(offset, statement) of a blanked script."""
    start = 0
    for end in [m.start() for m in re.finditer(";", text)] + [len(text)]:
        body = text[start:end]
        lead = len(body) - len(body.lstrip())
        if body.strip():
            yield start + lead, body.strip()
        start = end + 1


def public_name(name):
    return name.startswith("taskq.")


class Script:
    def __init__(self):
        self.made = {}
        self.commented = set()
        self.problems = []

    def problem(self, path, text, offset, what):
        self.problems.append(f"{path}:{text.count(chr(10), 0, offset) + 1}: {what}")

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.width(path, text)
        blanked = blank_out(text)
        for pattern, what in ((r"\bor\s+replace\b", "OR REPLACE"),
                              (r"\bif\s+not\s+exists\b", "IF NOT EXISTS")):
            for m in re.finditer(pattern, blanked, re.I):
                self.problem(path, text, m.start(), f"{what} would adopt another's object")
        for offset, statement in statements(blanked):
            self.statement(path, text, offset, statement)

    def width(self, path, text):
        for number, line in enumerate(text.splitlines(), 1):
            columns = len(line.expandtabs(TAB))
            if columns > WIDTH:
                self.problems.append(f"{path}:{number}: {columns} columns, more than {WIDTH}")

    def test(self, path, regress):
        name = re.sub(r"^\d+_(\w+)\.sql$", r"\1", os.path.basename(path))
        if not os.path.exists(f"test/sql/{name}.sql"):
            self.problems.append(f"{path}:1: there is no test/sql/{name}.sql")
        elif name not in regress:
            self.problems.append(f"{path}:1: test {name} is not listed in REGRESS")

    def statement(self, path, text, offset, statement):
        if re.match(r"create\s+(table|sequence)\s+taskq\.", statement, re.I):
            self.problem(path, text, offset, "tables and sequences belong to schema taskq_private")
        made = re.match(r"create\s+(function|procedure|aggregate|view|type)\s+([\w.]+)",
                        statement, re.I)
        if made:
            kind, name = KIND[made.group(1).lower()], made.group(2).lower()
            self.made.setdefault((kind, name), (path, text, offset))
        comment = re.match(r"comment\s+on\s+(\w+)\s+([\w.]+)", statement, re.I)
        if comment:
            kind = comment.group(1).lower()
            self.commented.add((KIND.get(kind, kind), comment.group(2).lower()))
        definer = re.search(r"\bsecurity\s+definer\b", statement, re.I)
        pinned = re.search(r"\bset\s+search_path\s*(=|to)\s*pg_catalog\s*,\s*pg_temp\b",
                           statement, re.I)
        if definer and not pinned:
            self.problem(path, text, offset,
                         "SECURITY DEFINER without set search_path = pg_catalog, pg_temp")

    def finish(self):
        for (kind, name), (path, text, offset) in self.made.items():
            if public_name(name) and (kind, name) not in self.commented:
                self.problem(path, text, offset, f"no comment on {kind} {name}")
        return self.problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--regress", required=True, type=str.split)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    script = Script()
    for path in args.files:
        script.read(path)
        script.test(path, args.regress)
    problems = script.finish()
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
