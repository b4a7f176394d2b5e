#!/usr/bin/env python3
"""cron_oracle.py
        Random cron expressions, and what croniter says of them, in UTC.

usage: cron_oracle.py NUMBER SEED

Prints NUMBER lines: expression|after|next|next, times in seconds since 1970 or "never".

Each version of croniter from 1.3 to 6.2 means the same by an expression only in these cases, so no
others are printed:
- the second is its last field, and 5L is L5: they are translated
- it knows no W, no L-3 and no ?, and with six fields, or steps beside it, no 7 for Sunday
- a range has more than one value, also that of 5/2, which ends with the highest of the field
- it joins both fields of days by "or" unless one has all values, the core unless one begins with *:
  so either one is *, or neither begins with * and neither has all values
- with "or" it finds nothing if one of both fields never comes true: so a day up to the 28th is there
- with 5L or MON#2 in the day of week it ignores the day of month, and mixes them with no others
- from a short month it steps over a list that has days up to the 3rd beside days from the 29th on or L
"""
import random
import sys

from croniter import CroniterBadDateError, croniter

FIELDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
MONTHS = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split()
WEEKDAYS = 'SUN MON TUE WED THU FRI SAT'.split()
SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(6)
FORTY_YEARS = 14610 * 86400


def name(rng, field, value):
    names = {MONTH: MONTHS, WEEKDAY: WEEKDAYS}.get(field)
    if names is None or value == 7 == FIELDS[field][1] or rng.random() < 0.5:
        return str(value)
    text = names[(value - FIELDS[field][0]) % len(names)]
    return rng.choice([text, text.lower(), text.capitalize()])


def element(rng, field):
    """The text of an element and its values."""
    low, high = FIELDS[field]
    first, last = sorted(rng.sample(range(low, high + 1), 2))
    step = rng.randint(1, high - low + 1 if rng.random() < 0.3 else 6)
    kind = rng.choice(['value', 'value', 'range', 'steps', 'all', 'from'])
    if kind == 'value':
        return name(rng, field, first), [first]
    if kind == 'range':
        return name(rng, field, first) + '-' + name(rng, field, last), range(first, last + 1)
    if kind == 'steps':
        return f'{first}-{last}/{step}', range(first, last + 1, step)
    if kind == 'all':
        return f'*/{step}', range(low, high + 1, step)
    return f'{first}/{step}', range(first, high + 1, step)


def field_of(rng, field):
    """The text of a field and its set of values."""
    if rng.random() < {SECOND: 0.2, MINUTE: 0.2, HOUR: 0.3, DAY: 0.5, MONTH: 0.6, WEEKDAY: 0.5}[field]:
        return '*', None
    if field == DAY and rng.random() < 0.1:
        return 'L', {'L'}
    if field == WEEKDAY and rng.random() < 0.2:
        weekday = rng.randint(0, 6)
        return rng.choice([f'{weekday}L', f'{weekday}#{rng.randint(1, 5)}']), {'n'}
    texts, values = zip(*[element(rng, field) for _ in range(rng.choice([1, 1, 1, 2, 3]))])
    return ','.join(texts), {value for part in values for value in part}


def comparable(texts, values):
    days, weekdays = values[DAY], values[WEEKDAY]
    last_day = '7' in texts[WEEKDAY] or (weekdays and 7 in weekdays)
    if last_day and (texts[SECOND] != '0' or '/' in texts[WEEKDAY]) or '6/' in texts[WEEKDAY]:
        return False
    if days and weekdays:
        if texts[DAY].startswith('*') or texts[WEEKDAY].startswith('*') or 'n' in weekdays:
            return False
        if len(days) == 31 or len({value % 7 for value in weekdays}) == 7 or days.isdisjoint(range(1, 29)):
            return False
    if days and days != {'L'}:
        return min(days) > 3 or max(days) < 29
    return True


def expression(rng):
    while True:
        texts, values = map(list, zip(*[field_of(rng, field) for field in range(6)]))
        if rng.random() < 0.5:
            texts[SECOND], values[SECOND] = '0', {0}
        if comparable(texts, values):
            return texts


def translated(fields):
    second, *rest = fields
    if rest[4].endswith('L'):
        rest[4] = 'L' + rest[4][:-1]
    return ' '.join(rest if second == '0' else rest + [second])


def times(fields, after):
    iterator = croniter(translated(fields), after)
    for _ in range(2):
        try:
            time = int(iterator.get_next())
        except CroniterBadDateError:
            time = after + FORTY_YEARS + 1
        yield str(time) if time <= after + FORTY_YEARS else 'never'
        after = min(time, after + FORTY_YEARS)


def main():
    rng = random.Random(int(sys.argv[2]))
    begin = 631152000
    for _ in range(int(sys.argv[1])):
        fields = expression(rng)
        after = begin + rng.randrange(60 * 365 * 86400)
        text = ' '.join(fields[1:] if fields[0] == '0' and rng.random() < 0.8 else fields)
        print(text, after, *times(fields, after), sep='|')


main()
