#!/usr/bin/env python3
"""lint_web.py
		Rules of the dashboard's files, which a browser gets as they are.

usage: lint_web.py DIRECTORY NAME...

The NAMEs are what the Makefile puts into the program: all files of the directory.

Foreign text meets text nodes alone, elements are made in h.js alone, nothing is fetched from
elsewhere, and no module grows beyond what one reads at a sitting.  Prints what breaks a rule.
"""
import os
import re
import sys

MAX_MODULE = 300
MAX_ALL = 3600
MAX_COLUMNS = 140

FORBIDDEN = (
	(r'\b(inner|outer)HTML\b|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc',
	 'text becomes elements'),
	(r'\beval\s*\(|\bnew\s+Function\b|set(Timeout|Interval)\s*\(\s*[\'"`]|javascript:', 'text becomes code'),
	(r'\bimport\s*\(|importScripts|new\s+Worker', 'code is loaded by hand'),
	(r'setAttribute\(\s*[\'"`](style|on)', 'the policy forbids inline styles and handlers'),
	(r'\b(WebSocket|EventSource|sendBeacon|XMLHttpRequest)\b', 'requests are made in api.js, with fetch'),
)

# An address that is no name, and those in examples.
ALLOWED_URL = re.compile(r'http://www\.w3\.org/2000/svg|https://[a-z.]*example\.com[^\'"` ]*')


def code_of(line):
	"""A line without what is behind //."""
	return re.sub(r'(^|\s)//.*', '', line)


def check_javascript(name, lines):
	if lines[0] != f'// {name}':
		yield 1, 'a module begins with its name'
	if len(lines) > MAX_MODULE:
		yield len(lines), f'{len(lines)} lines: at most {MAX_MODULE}'
	for n, line in enumerate(lines, 1):
		code = code_of(line)
		for pattern, why in FORBIDDEN:
			if re.search(pattern, code):
				yield n, why
		if name != 'h.js' and re.search(r'\.createElement|createTextNode', code):
			yield n, 'elements are made in h.js'
		if name != 'api.js' and re.search(r'\bfetch\s*\(', code):
			yield n, 'requests are made in api.js'


def check_imports(directory, lines):
	for n, line in enumerate(lines, 1):
		found = re.match(r'import .* from \'(.*)\';', line)
		if line.startswith('import ') and not found:
			yield n, 'an import is one line, with single quotes'
		elif found and not (found[1].startswith('./') and os.path.isfile(os.path.join(directory, found[1]))):
			yield n, f'{found[1]} is no file here'


def check_page(lines):
	for n, line in enumerate(lines, 1):
		if re.search(r'<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=', line):
			yield n, 'the policy forbids inline scripts, styles and handlers'


def check_style(lines):
	for n, line in enumerate(lines, 1):
		if re.search(r'@import|url\(|@font-face', line):
			yield n, 'a style loads nothing'


def check_all(lines):
	for n, line in enumerate(lines, 1):
		if re.search(r'(https?:)?//[a-z0-9]', ALLOWED_URL.sub('', code_of(line))):
			yield n, 'an address of somewhere else'


def check_columns(lines):
	for n, line in enumerate(lines, 1):
		if len(line.expandtabs(4)) > MAX_COLUMNS:
			yield n, f'more than {MAX_COLUMNS} columns'


def main():
	directory = sys.argv[1]
	total = 0
	for name in sorted(set(os.listdir(directory)) ^ set(sys.argv[2:])):
		print(f'{directory}/{name}: either no file, or not in WEB of cli/Makefile')
	for name in sorted(os.listdir(directory)):
		with open(os.path.join(directory, name), encoding='utf-8') as file:
			lines = file.read().splitlines()
		found = list(check_all(lines))
		if name.endswith('.js'):
			found += [*check_javascript(name, lines), *check_imports(directory, lines), *check_columns(lines)]
		elif name.endswith('.html'):
			found += check_page(lines)
		elif name.endswith('.css'):
			found += check_style(lines)
		elif not name.endswith('.svg'):
			found.append((1, 'neither page, style, module nor picture'))
		if not name.endswith('.svg'):
			total += len(lines)
		for n, why in found:
			print(f'{directory}/{name}:{n}: {why}')
	if total > MAX_ALL:
		print(f'{directory}: {total} lines: at most {MAX_ALL}')


main()
