#!/usr/bin/env python3
"""dashboard.py
    Drives a real browser through the dashboard, and holds what it shows against the database.

usage: dashboard.py CONFIG

CONFIG is JSON: "base" and "prefixed" (addresses of the dashboard, the latter behind a proxy), "tokens" (by role:
admin, reader), "psql" (a command that takes a statement as its last argument), "stop" and "start" (commands for the
server), "large" (the long set, too), "axe" (the file of axe-core, or null), "pictures" (a directory, or null), "traffic"
(for how many seconds there is some before pictures are taken).

Prints a line "ok NAME" or "not ok NAME" for each thing it has looked at, and what it saw below those that are wrong.
Waits for what is to come, never for a time.  Chromium and its driver are Debian's: nothing is fetched.
"""
import json
import os
import subprocess
import sys
import time
import traceback

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service

CHROMIUM = '/usr/bin/chromium'
DRIVER = '/usr/bin/chromedriver'
PATIENCE = 30
PAGES = ('', 'queues', 'tasks', 'endpoints', 'schedules', 'workers', 'health', 'settings')

with open(sys.argv[1], encoding='utf-8') as file:
    config = json.load(file)
failures = 0


def check(name, good, seen=''):
    """One line of the result."""
    global failures
    print(('ok ' if good else 'not ok ') + name, flush=True)
    if not good:
        failures += 1
        for line in str(seen)[:4000].splitlines():
            print(f'# {line}', flush=True)
    return good


def equal(name, got, wanted):
    return check(name, got == wanted, f'got    {got!r}\nwanted {wanted!r}')


def sql(statement):
    done = subprocess.run(config['psql'] + [statement], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.rstrip('\n')


def until(name, condition):
    """Waits until it is true; a failure if it never is."""
    end = time.monotonic() + PATIENCE
    seen = None
    while time.monotonic() < end:
        try:
            seen = condition()
            if seen:
                return check(name, True)
        except StaleElementReferenceException:
            pass
        time.sleep(0.05)
    return check(name, False, f'waited {PATIENCE} s; last: {seen!r}\n{browser.text("body")[:1500]}')


class Browser:
    """A window, and what a person does with it."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
                         '--window-size=1280,900', '--lang=en', '--disable-background-networking', '--no-first-run'):
            options.add_argument(argument)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.driver.set_script_timeout(120)
        self.base = config['base']

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def go(self, place='', anew=False):
        """To a page; anew: as one who has just come."""
        if anew:
            self.driver.get('about:blank')
        self.driver.get(self.base + '#/' + place)
        return self.loaded()

    def loaded(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.run("const main = document.querySelector('main'); return main && (main.className === 'login' || "
                    "main.dataset.place === location.hash && main.ariaBusy === 'false')"):
                return self
            time.sleep(0.02)
        raise RuntimeError('the page is not there: ' + self.text('body'))

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText).join('\\n')", css)

    def texts(self, css):
        return self.run('return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())', css)

    def button(self, words, within='body'):
        """The button with these words, or this name."""
        return self.run("""
            return [...document.querySelectorAll(arguments[1] + ' button, ' + arguments[1] + ' .button')].find((b) =>
                b.innerText.trim() === arguments[0] || b.getAttribute('aria-label') === arguments[0]) || null""", words, within)

    def press(self, words, within='body'):
        """Presses a button as soon as it is there, and nothing lies over it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.button(words, within).click()
                return
            except (AttributeError, StaleElementReferenceException, ElementClickInterceptedException):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def keys(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def fill(self, name, value, within='dialog'):
        element = self.one(f'{within} [name="{name}"]')
        element.clear()
        element.send_keys(value)

    def size(self, width, height=900):
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride',
            {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 800})

    def choose(self, **settings):
        self.run("localStorage.setItem('taskq', JSON.stringify(arguments[0]))", settings)

    def request(self, method, path, body=None, headers=None):
        """What the page itself could send; the status and the answer."""
        return self.driver.execute_async_script("""
            const [method, path, body, headers, done] = arguments;
            fetch('../v1/' + path, {method, body, headers: headers || {}}).then(
                async (r) => done([r.status, await r.text()]), (e) => done([0, String(e)]));""",
            method, path, None if body is None else json.dumps(body), headers)

    def complaints(self):
        """What the browser has said against the page, but for statuses of answers that are errors on purpose."""
        return [line['message'] for line in self.driver.get_log('browser')
            if line['level'] == 'SEVERE' and 'Failed to load resource' not in line['message']]

    def log_in(self, role):
        self.driver.delete_all_cookies()
        self.go(anew=True)
        self.one('input[name=token]').send_keys(config['tokens'][role] + Keys.ENTER)
        until(f'{role} is logged in', lambda: self.run("return !!document.querySelector('.frame .content')"))

    def shot(self, name):
        """Two pictures: of the window, and of the whole page."""
        if not config['pictures']:
            return
        width = self.run('return innerWidth')
        self.driver.save_screenshot(os.path.join(config['pictures'], name + '.png'))
        self.size(width, min(self.run("return document.querySelector('main').scrollHeight + 120"), 2600))
        self.loaded()
        self.driver.save_screenshot(os.path.join(config['pictures'], f'whole-{name}.png'))
        self.size(width)


browser = Browser()


# ---- what is shown ------------------------------------------------------------------------------------------------

def number(text):
    """A number as the dashboard writes it."""
    return int(''.join(c for c in text if c.isdigit()) or -1)


def rows(css='table.cards'):
    """A table as dictionaries by heading."""
    return browser.run("""
        return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map((tr) =>
            ({id: tr.querySelector('.id')?.innerText, ...Object.fromEntries([...tr.querySelectorAll('td')].map((td) =>
                [td.dataset.label || '', td.innerText.trim()]))}))""", css)


def facts():
    return browser.run("return Object.fromEntries([...document.querySelectorAll('.facts > div')].map((d) => "
        "[d.querySelector('dt').innerText.trim(), d.querySelector('dd').innerText.trim()]))")


def tile(name):
    return browser.run("const t = [...document.querySelectorAll('.tile')].find((t) => t.querySelector('.label').innerText === arguments[0]);"
        "return t && t.querySelector('.value').innerText", name)


def look_login():
    browser.go(anew=True)
    check('nobody sees the login', len(browser.all('main.login')) == 1)
    equal('nobody is refused by the API', browser.request('GET', 'queues')[0], 401)
    browser.one('input[name=token]').send_keys('tq_wrong' + Keys.ENTER)
    until('a wrong token is refused in words', lambda: 'token is wrong' in browser.text('.fault'))
    browser.one('input[name=token]').clear()
    browser.log_in('admin')
    equal('the cookie is not shown to scripts', browser.run('return document.cookie'), '')


def look_overview():
    browser.go('')
    stats = sql('select sum(pending), sum(running) from taskq.queue_stats()').split('|')
    until('overview: pending tasks', lambda: number(tile('Pending')) == int(stats[0]))
    equal('overview: running tasks', number(tile('Running')), int(stats[1]))
    until('overview: the paused queue needs a look', lambda: 'paused' in browser.text('.looks'))
    check('overview: a check that is not ok', 'paused queues' in browser.text('.verdict'))
    check('overview: the tab says how many', browser.driver.title.startswith('('), browser.driver.title)
    equal('overview: three charts with words', len(browser.all('figure.chart svg[role=img] > title')), 3)
    check('overview: they say what they show', 'Pending: now' in browser.run("return document.querySelector('figure.chart desc').textContent"))
    browser.press('Backlog as a table')
    until('overview: a chart as a table', lambda: len(browser.all('figure.chart table tbody tr')) > 0)
    browser.press('Backlog as a table')


def look_queues():
    browser.go('queues')
    wanted = sql('select queue, pending, running, coalesce(dead, 0) from taskq.queue_stats() order by 1')
    until('queues: all of them, with their numbers', lambda: '\n'.join('|'.join([r['Queue'].splitlines()[0], *(str(number(r[n]))
        for n in ('Pending', 'Running', 'Dead'))]) for r in sorted(rows(), key=lambda r: r['Queue'].splitlines()[0])) == wanted)
    browser.press('Pending', 'th')
    shown = [number(row['Pending']) for row in rows()]
    equal('queues: sorted by what is pending', shown, sorted(shown, reverse=True))
    browser.one('input.filter').send_keys('mai')
    until('queues: filtered', lambda: [r['Queue'].splitlines()[0] for r in rows()] == ['mail'])


def look_queue():
    browser.go('queues/mail')
    pending, running, dead = sql("select pending, running, dead from taskq.queue_stats('mail')").split('|')
    until('queue: pending', lambda: number(tile('Pending')) == int(pending))
    equal('queue: running and dead', (number(tile('Running')), number(tile('Dead'))), (int(running), int(dead)))
    bounds = [le for le, n in json.loads(browser.request('GET', 'queues/mail/times')[1])['wait']]
    until('queue: how long tasks wait', lambda: (tile('Wait p50') or '').startswith('≤'))
    equal('queue: bounds of its histogram', (len(bounds), bounds[-1]), (17, '+Inf'))
    equal('queue: its policy', facts()['Retry policy'], sql("select retry from taskq.queues where queue = 'mail'"))
    equal('queue: its newest dead tasks', browser.texts('.failures .id'),
        sql("select id from taskq.find_tasks('mail', '{dead}', \"limit\" => 8) order by id desc").splitlines())
    check('queue: its limit', facts().get('queue') == '50 at a time', facts())
    check('queue: the grants', 'view' in facts().get('shop_app', ''), facts())
    sql("select taskq.submit('archive')")
    sql("select taskq.finish(id, token) from taskq.acquire('archive')")
    browser.go('queues/archive')
    until('queue: a chart of waits, in words', lambda: 'p95: now ' in browser.run(
        "return [...document.querySelectorAll('figure.chart desc')].map((desc) => desc.textContent).join('\\n')"))
    browser.press('Wait as a table')
    until('queue: and as a table', lambda: any('ms' in text for text in browser.texts('figure.chart td.num')))
    browser.press('Wait as a table')


def look_tasks():
    browser.go('tasks')
    wanted = sql('select id, state, queue from taskq.find_tasks("limit" => 50) where id is not null order by id desc')
    until('tasks: the newest', lambda: '\n'.join(f"{r['id']}|{r['State']}|{r['Queue']}" for r in rows()) == wanted)
    browser.go('tasks?queue=mail&state=dead&error=mailbox')
    wanted = sql("select id from taskq.find_tasks('mail', '{dead}', error => 'mailbox') where id is not null order by id desc")
    until('tasks: a search in the address', lambda: '\n'.join(r['id'] for r in rows()) == wanted and wanted != '')
    check('tasks: says how far it looked', 'looked at' in browser.text('.more'))
    equal('tasks: the form shows the search', browser.run("return document.querySelector('[name=error]').value"), 'mailbox')
    browser.go('tasks?payload=' + '%7B%22big%22%3A%20123456789012345678901234567890%7D')
    until('tasks: found by payload', lambda: len(rows()) == 1)
    browser.go('tasks?error=(')
    until('tasks: a wrong search is explained', lambda: 'regular expression' in browser.text('.fault'))
    check('tasks: and can be mended', browser.run("return document.querySelector('[name=error]')?.value === '('"))


def look_task():
    dead = sql("select max(id) from taskq.tasks where queue = 'mail' and state = 'dead'")
    browser.go(f'tasks/{dead}')
    shown = facts()
    equal('task: state and queue', (shown['State'], shown['Queue']), ('dead', 'mail'))
    equal('task: each failed attempt', len([t for t in browser.texts('.timeline .title') if 'failed' in t]),
        int(sql(f'select count(*) from taskq.attempts where task_id = {dead}')))
    check('task: its error', 'mailbox full' in browser.text('.timeline'))
    big = sql("select id from taskq.tasks where payload ? 'big'")
    browser.go(f'tasks/{big}')
    check('task: numbers keep their digits', '123456789012345678901234567890' in browser.text('.foreign pre'), browser.text('.foreign'))
    pushed = sql("select max(id) from taskq.tasks where queue = 'crm' and state = 'finished'")
    browser.go(f'tasks/{pushed}')
    until('task: the answer to a request', lambda: '200' in browser.text('.content') and 'hello' in browser.text('.foreign pre'))
    browser.go('tasks/999999999')
    until('task: one that does not exist', lambda: 'there is no such task' in browser.text('.fault'))


def look_others():
    browser.go('endpoints')
    url = sql("select url from taskq.endpoints where endpoint = 'crm'")
    until('endpoints: url and circuit', lambda: url in rows()[0]['Endpoint'] and rows()[0]['Circuit'] == 'closed')
    browser.go('schedules')
    until('schedules: what the view says', lambda: '\n'.join(r['Schedule'].splitlines()[0] for r in rows())
        == sql('select schedule from taskq.schedules order by 1'))
    browser.go('schedules/nightly')
    until('schedule: its next times', lambda: len(browser.all('.plainlist li')) == 5)
    browser.go('workers')
    wanted = sql('select worker, running from taskq.workers order by 1')
    until('workers: those of the view', lambda: '\n'.join(f"{r['Worker']}|{r['Running']}" for r in rows()) == wanted and wanted != '')
    browser.go('health')
    wanted = sql('select "check" from taskq.status() order by "check" collate "C"').splitlines()
    until('health: each check', lambda: sorted(browser.texts('.checks strong')) == wanted)
    for place in ('nowhere', 'constructor', 'queues/no%20such%20queue/'):
        browser.go(place)
        # The statistics and the queue are asked for at the same time, and each has words of its own.
        until(f'a page that does not exist: {place}', lambda: 'no such page' in browser.text('main')
            or any(words in browser.text('.fault') for words in ('does not exist', 'there is no such queue')))


# ---- what is done --------------------------------------------------------------------------------------------------

def act_on_tasks():
    task = sql("select taskq.submit('mail', '{\"to\": \"act\"}', delay => '1 day')")
    browser.go(f'tasks/{task}')
    browser.press('Run now')
    until('run now: it is due', lambda: sql(f'select run_at <= now() from taskq.tasks where id = {task}') == 't')
    until('run now: said', lambda: 'is due now' in browser.text('#toasts'))
    browser.press('Cancel…')
    browser.press('Cancel the task', 'dialog')
    until('cancel: with a reason', lambda: sql(f'select state, error from taskq.tasks where id = {task}') == 'cancelled|by ops, dashboard')
    until('cancel: the page shows it', lambda: facts().get('State') == 'cancelled')
    browser.press('Retry')
    until('retry: it is pending', lambda: sql(f'select state from taskq.tasks where id = {task}') == 'pending')
    browser.go('queues/mail')
    browser.press('Submit a task')
    browser.fill('payload', '{"n": 123456789012345678901}')
    browser.fill('kind', 'by hand')
    browser.press('Submit', 'dialog')
    until('submit: the page of the new task', lambda: '123456789012345678901' in browser.text('.foreign pre'))
    browser.go('queues/mail')
    browser.press('Submit a task')
    browser.fill('payload', '{"n": ')
    browser.press('Submit', 'dialog')
    until('submit: what is no JSON is refused, and stays', lambda: len(browser.all('dialog[open] .fault')) == 1)
    browser.press('Close', 'dialog')


def act_on_many():
    sql("select count(taskq.submit('bulk', jsonb_build_object('n', i), kind => 'late', delay => '1 day')) from generate_series(1, 1200) i")
    browser.go('tasks?queue=bulk&kind=late')
    browser.press('Cancel all that match…')
    until('all that match: counted first', lambda: 'At least 1' in browser.text('dialog'))
    equal('all that match: nothing was done yet', sql("select count(*) from taskq.tasks where queue = 'bulk' and state = 'cancelled'"), '0')
    browser.press('Cancel all', 'dialog')
    until('all that match: more than a batch', lambda: 'Ready.' in browser.text('dialog'))
    equal('all that match: cancelled', sql("select count(*) from taskq.tasks where queue = 'bulk' and state = 'cancelled'"), '1200')
    equal('all that match: done, skipped, failed', [number(n) for n in browser.texts('dialog dd')], [1200, 0, 0])
    browser.press('Close', 'dialog')
    browser.go('tasks?queue=bulk&state=cancelled&key_prefix=none')
    browser.press('Retry all that match…')
    until('all that match: none', lambda: 'No task matches' in browser.text('dialog'))
    browser.press('Close', 'dialog')
    browser.go('tasks?queue=bulk&state=cancelled&payload=%7B%22n%22%3A%2077%7D')
    browser.press('Retry all that match…')
    until('all that match, by a filter that redrive() has not', lambda: browser.button('Retry 1 task', 'dialog'))
    browser.press('Retry 1 task', 'dialog')
    until('it is done one by one', lambda: 'Ready.' in browser.text('dialog'))
    equal('that one', sql("select payload from taskq.tasks where queue = 'bulk' and state = 'pending'"), '{"n": 77}')
    browser.press('Close', 'dialog')
    browser.go('tasks?queue=bulk&state=cancelled')
    for box in browser.all('tbody input[type=checkbox]')[:3]:
        box.click()
    until('selected ones', lambda: browser.button('Retry 3'))
    browser.press('Retry 3')
    until('selected ones are done', lambda: sql("select count(*) from taskq.tasks where queue = 'bulk' and state = 'pending'") == '4')


def act_on_queues():
    browser.go('queues')
    browser.press('Pause default')
    until('pause', lambda: sql("select paused from taskq.queues where queue = 'default'") == 't')
    until('pause: the button turns', lambda: browser.button('Resume default'))
    browser.press('Resume default')
    until('resume', lambda: sql("select paused from taskq.queues where queue = 'default'") == 'f')
    browser.go('queues/bulk')
    browser.press('Purge…')
    check('purge: not before its name is typed', not browser.button('Cancel all pending tasks', 'dialog').is_enabled())
    browser.fill('typed', 'bulk')
    browser.press('Cancel all pending tasks', 'dialog')
    until('purge', lambda: sql("select pending from taskq.queue_stats('bulk')") == '0')
    dead = sql("select count(*) from taskq.tasks where queue = 'crm' and state = 'dead'")
    browser.go('queues/crm')
    browser.press('Retry dead…')
    until('retry dead: counted', lambda: f'{dead} task' in browser.text('dialog'))
    browser.run("document.querySelector('dialog button[type=submit]').click()")
    until('retry dead: done', lambda: 'Ready.' in browser.text('dialog'))
    browser.press('Close', 'dialog')


def act_on_the_rest():
    browser.go('endpoints')
    browser.press('New secret for crm')
    browser.press('Make a new secret', 'dialog')
    until('a new secret is shown once', lambda: 'whsec_' in browser.text('dialog pre'))
    browser.press('Close', 'dialog')
    browser.press('Send a test request to crm')
    until('a test request is a task', lambda: 'tasks/' in browser.driver.current_url and facts().get('Kind') == 'test')
    browser.go('schedules')
    browser.press('Pause nightly')
    until('a schedule is paused', lambda: sql("select paused from taskq.schedules where schedule = 'nightly'") == 't')
    browser.press('Run nightly now')
    until('a schedule is run', lambda: sql("select last_task > 0 from taskq.schedules where schedule = 'nightly'") == 't')
    until('a schedule can go on', lambda: browser.button('Resume nightly'))
    browser.press('Resume nightly')
    until('a schedule goes on', lambda: sql("select paused from taskq.schedules where schedule = 'nightly'") == 'f')
    browser.go('health')
    browser.press('Disarm…')
    browser.press('Disarm', 'dialog')
    until('disarm', lambda: sql("select ok from taskq.status() where \"check\" = 'armed'") == 'f')
    until('disarm: the page offers the way back', lambda: browser.button('Arm…'))
    browser.press('Arm…')
    browser.press('Arm', 'dialog')
    until('arm', lambda: sql("select ok from taskq.status() where \"check\" = 'armed'") == 't')
    until('arm: the page is back', lambda: browser.button('Disarm…'))


def as_reader():
    words = ('Pause', 'Resume', 'Purge…', 'Retry dead…', 'Submit a task', 'Cancel…', 'Retry', 'Run now', 'Test', 'New secret…',
        'Disarm…', 'Arm…', 'Cancel all that match…', 'Retry all that match…')
    dead = sql("select max(id) from taskq.tasks where queue = 'mail' and state = 'dead'")
    task = sql("select taskq.submit('mail', delay => '1 day')")
    browser.log_in('reader')
    for place in (*PAGES, 'queues/mail', f'tasks/{dead}', f'tasks/{task}', 'schedules/nightly'):
        browser.go(place)
        found = [word for word in browser.texts('main button') if word in words]
        equal(f'a reader has no buttons on #/{place}', found, [])
    mark = {'X-Taskq': '1', 'Content-Type': 'application/json'}
    for method, path, body in (('DELETE', f'tasks/{task}', None), ('POST', f'tasks/{dead}/retry', {}), ('POST', 'queues/mail/pause', None),
            ('POST', 'queues/mail/purge', None), ('POST', 'queues/mail/tasks', {'payload': 1}), ('POST', 'arm', None),
            ('POST', 'endpoints/crm/rotate-secret', {}), ('POST', 'bulk', {'action': 'cancel', 'filter': {'queue': 'mail'}})):
        status, answer = browser.request(method, path, body, mark)
        # A cancel does not tell a role of tasks that are not its own.
        check(f'a reader is refused: {method} {path.split("/")[-1]}', status in (403, 404, 409), f'{status} {answer}')
    equal('a reader has changed nothing', sql(f'select state from taskq.tasks where id = {task}'), 'pending')
    browser.log_in('admin')
    equal('a request without the mark is refused', browser.request('POST', 'queues/mail/pause')[0], 403)
    sql(f'select taskq.cancel({task})')


# ---- what is hostile ------------------------------------------------------------------------------------------------

def hostile():
    nasty = sql("select max(id) from taskq.tasks where kind like '%script%'")
    line = sql("select id from taskq.tasks where kind = 'line'")
    browser.go(f'tasks/{nasty}')
    until('tags in an answer are text', lambda: '<img src=x onerror' in browser.text('.content'))
    check('tags in a payload are text', '</pre><script>window.pwned' in browser.text('.foreign pre'))
    check('tags in a kind are text', '<script>' in facts().get('Kind', ''))
    check('marks that turn a text around are written out', '\\u202e' in browser.text('.foreign pre') and '\u202e' not in browser.text('body'))
    for place in ('tasks', 'queues', 'workers', ''):
        browser.go(place)
    equal('nothing of it has run', browser.run('return window.pwned === undefined'), True)
    began = time.monotonic()
    browser.go(f'tasks/{line}')
    until('a line of 1 MB: its beginning', lambda: 'xxxxxxxxxx' in browser.text('.foreign pre') and browser.button('Show all'))
    browser.press('Show all')
    until('a line of 1 MB: all of it', lambda: browser.run("return document.querySelector('.foreign pre').textContent.length") > 1000000)
    check('a line of 1 MB: soon enough', time.monotonic() - began < PATIENCE)
    equal('it makes the page no wider', browser.run('return document.documentElement.scrollWidth <= innerWidth'), True)


def session_ends():
    browser.go('queues/mail')
    browser.driver.delete_all_cookies()
    until('a session that has ended: the login', lambda: len(browser.all('main.login')) == 1)
    browser.one('input[name=token]').send_keys(config['tokens']['admin'] + Keys.ENTER)
    until('after it the same page', lambda: browser.text('h1').startswith('mail'))
    browser.press('Log out')
    until('logged out', lambda: len(browser.all('main.login')) == 1)
    equal('the session is over', browser.request('GET', 'queues')[0], 401)
    browser.log_in('admin')


def under_prefix():
    browser.base = config['prefixed']
    browser.log_in('admin')
    for place in PAGES:
        browser.go(place)
        check(f'under a prefix: #/{place}', browser.driver.current_url.startswith(config['prefixed']) and len(browser.all('.fault')) == 0,
            browser.text('main'))
    browser.go('queues')
    browser.press('Pause default')
    until('under a prefix: pause', lambda: sql("select paused from taskq.queues where queue = 'default'") == 't')
    browser.press('Resume default')
    until('under a prefix: resume', lambda: sql("select paused from taskq.queues where queue = 'default'") == 'f')
    browser.base = config['base']
    browser.log_in('admin')


# ---- for whom it is ---------------------------------------------------------------------------------------------------

def keyboard():
    task = sql("select taskq.submit('mail', delay => '1 day')")
    browser.go('')
    browser.keys('g', 'q')
    until('keys: g q', lambda: browser.text('h1') == 'Queues')
    equal('the heading of a new page has the focus', browser.run('return document.activeElement.tagName'), 'H1')
    browser.keys('/')
    equal('keys: / searches', browser.run('return document.activeElement.id'), 'search')
    browser.keys(task + Keys.ENTER)
    until('keys: an id leads to the task', lambda: browser.text('h1') == f'Task {task}')
    browser.keys('?')
    until('keys: ? lists them', lambda: 'Search' in browser.text('dialog'))
    browser.keys(Keys.ESCAPE)
    until('keys: Escape closes', lambda: len(browser.all('dialog')) == 0)
    tab_to('Cancel…')
    browser.keys(Keys.ENTER)
    until('keys: the question', lambda: len(browser.all('dialog[open]')) == 1)
    tab_to('Cancel the task')
    browser.keys(Keys.ENTER)
    until('keys: a task is cancelled', lambda: sql(f'select state from taskq.tasks where id = {task}') == 'cancelled')
    browser.run("getSelection().selectAllChildren(document.querySelector('h1'))")
    until('a selected text holds the refresh', lambda: 'Held' in browser.text('.live'))
    browser.run('getSelection().removeAllRanges()')
    until('and lets it go on', lambda: 'Live' in browser.text('.live'))
    browser.keys('p')
    until('keys: p pauses the refresh', lambda: 'Paused' in browser.text('.live'))
    pending = tile_of_queues()
    sql("select taskq.submit('default')")
    browser.keys('p')
    until('keys: p lets it go on', lambda: tile_of_queues() != pending)


def tile_of_queues():
    browser.go('queues')
    return [number(row['Pending']) for row in rows() if row['Queue'].startswith('default')]


def tab_to(words):
    for _ in range(80):
        browser.keys(Keys.TAB)
        if browser.run('return document.activeElement.innerText') == words:
            check(f'keys: Tab comes to "{words}"', browser.run(
                "return getComputedStyle(document.activeElement).outlineStyle !== 'none'"), 'its focus is not seen')
            return
    check(f'keys: Tab comes to "{words}"', False)


# What is behind each text, and how it stands out; and the name of each control.
INSPECT = r"""
const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const seen = new Map();
function rgba(color) {
    if (!seen.has(color)) {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        const d = context.getImageData(0, 0, 1, 1).data;
        seen.set(color, [d[0], d[1], d[2], d[3] / 255]);
    }
    return seen.get(color);
}
const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
function behind(element) {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
        const color = rgba(getComputedStyle(e).backgroundColor);
        layers.push(color);
        if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, color) => over(color, below), [255, 255, 255, 1]);
}
function light([r, g, b]) {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function contrast(a, b) {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}
const weak = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) ||
        e.closest('.hidden, .skip, noscript, button:disabled, title, desc')) continue;
    const back = behind(e);
    const style = getComputedStyle(e);
    const ratio = contrast(over(rgba(e instanceof SVGElement ? style.fill : style.color), back), back);
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${e.tagName}.${e.getAttribute('class')}: ${walker.currentNode.data.trim().slice(0, 40)}`);
}
const controls = [...document.querySelectorAll('button, a[href], input, select, textarea, summary, [tabindex="0"]')];
const isNamed = (e) => ['aria-label', 'aria-labelledby', 'title'].some((name) => e.getAttribute(name)) || e.innerText?.trim() || e.labels?.length;
const nameless = controls.filter((e) => e.checkVisibility() && !isNamed(e) && e.getAttribute('aria-hidden') !== 'true')
    .map((e) => e.outerHTML.slice(0, 120));
const small = [...document.querySelectorAll('button, input[type=checkbox]')]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 16).map((e) => e.outerHTML.slice(0, 120));
const twice = [...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i);
return {weak: [...new Set(weak)].slice(0, 12), nameless, small, twice, headings: document.querySelectorAll('h1').length};
"""


AXE = """
const done = arguments[0];
axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(
    ({violations, passes}) => done([passes.length > 10, violations.flatMap((rule) =>
        rule.nodes.map((node) => `${rule.id}: ${node.target}: ${node.failureSummary}`))]),
    (error) => done([false, [String(error)]]))"""


def inspect(name):
    if config['axe']:
        with open(config['axe'], encoding='utf-8') as rules:
            browser.run(rules.read())
        equal(f'{name}: the rules of axe-core', browser.driver.execute_async_script(AXE), [True, []])
    found = browser.run(INSPECT)
    equal(f'{name}: every text stands out', found['weak'], [])
    equal(f'{name}: every control has a name and a size', (found['nameless'], found['small']), ([], []))
    equal(f'{name}: one heading, no id twice', (found['headings'], found['twice']), (1, []))


TRAFFIC = """
select count(taskq.submit('mail', jsonb_build_object('to', 'ada' || g || '@example.com', 'template', 'welcome', 'order', g * 7919),
    key => format('order-%s-%s', SECOND, g), kind => 'welcome')) from generate_series(1, 20 + SECOND % 37) g;
select count(taskq.submit('thumbnails', jsonb_build_object('image', g, 'sizes', array[64, 256]), kind => 'resize'))
    from generate_series(1, case when SECOND % 180 < 60 then 55 else 34 end) g;
select count(taskq.submit_http(endpoint => 'billing', payload => jsonb_build_object('invoice', g), kind => 'invoice.paid'))
    from generate_series(1, 3) g;
select taskq.submit_http(endpoint => 'crm', path => '/status/503', payload => '{"contact": 812, "state": "active"}',
    kind => 'contact.changed', max_attempts => 2)
    where SECOND % 4 = 0;
do $$
declare
    t record;
begin
    for t in select * from taskq.acquire('mail', 42, worker => 'worker-' || SECOND % 3 + 1) loop
        if random() < 0.004 then
            perform taskq.fail(t.id, t.token, 'SMTP 550 no such user', retryable => false);
        else
            perform taskq.finish(t.id, t.token, '{"sent": true}');
        end if;
    end loop;
    for t in select * from taskq.acquire('thumbnails', 40, worker => 'gpu-' || SECOND % 2 + 1) loop
        if random() < 0.98 then
            perform taskq.finish(t.id, t.token);
        end if;
    end loop;
end $$;
"""


def traffic():
    """For pictures: a shop in the afternoon, whose customer database is down."""
    seconds = config['traffic']
    if seconds == 0:
        return
    sql("select taskq.create_queue('thumbnails'), taskq.create_queue('search-index'), taskq.drop_queue('bulk', force => true)")
    sql("select taskq.create_endpoint('billing', url || '/slow/40', max_running => 8) from taskq.endpoints where endpoint = 'crm'")
    sql("select taskq.rotate_secret('billing'), taskq.purge_queue('default')")
    browser.go('')
    for second in range(seconds):
        began = time.monotonic()
        sql(TRAFFIC.replace('SECOND', str(second)))
        time.sleep(max(0, 1 - time.monotonic() + began))


def looks():
    """Every page in both themes, wide and narrow."""
    traffic()
    dead = sql("select id from taskq.tasks where state = 'dead' order by queue = 'crm' and attempt > 1 desc, id desc limit 1")
    places = {'overview': '', 'queues': 'queues', 'queue': 'queues/mail', 'tasks': 'tasks', 'task': f'tasks/{dead}', 'endpoints': 'endpoints',
        'schedules': 'schedules', 'schedule': 'schedules/nightly', 'workers': 'workers', 'health': 'health', 'settings': 'settings'}
    backgrounds = []
    for theme in ('light', 'dark'):
        browser.choose(theme=theme, utc=True)
        for width in (1280, 1024, 390):
            browser.size(width)
            for name, place in places.items():
                if not config['large'] and width < 1280 and name not in ('queues', 'task', 'endpoints'):
                    continue
                browser.go(place, anew=True)
                inspect(f'{name}, {theme}, {width}')
                equal(f'{name}, {theme}, {width}: not wider than the window', browser.run('return document.documentElement.scrollWidth'), width)
                browser.shot(f'{name}-{theme}-{width}')
        backgrounds.append(browser.run('return getComputedStyle(document.body).backgroundColor'))
    browser.size(1280)
    check('the themes differ', backgrounds[0] != backgrounds[1])
    browser.choose(theme='system')
    for scheme, wanted in zip(('light', 'dark'), backgrounds):
        browser.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})
        browser.go('settings', anew=True)
        equal(f'the theme of the system: {scheme}', browser.run('return getComputedStyle(document.body).backgroundColor'), wanted)
    browser.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})
    browser.driver.delete_all_cookies()
    browser.go(anew=True)
    inspect('login')
    browser.shot('login')
    browser.log_in('admin')


# ---- the long set ------------------------------------------------------------------------------------------------------

def many_tasks():
    """A search through more tasks than it may look at."""
    sql("select count(*) from (select taskq.submit_many('archive', array_agg(jsonb_build_object('n', i)), delay => '1 day') "
        "from generate_series(1, 300000) i group by i / 50000) x")
    browser.go('tasks?queue=archive&payload=%7B%22n%22%3A1%7D')
    until('a long search ends, and says where', lambda: 'looked at, down to' in browser.text('.more'))
    for _ in range(4):
        if browser.button('Look further') is None or len(rows()) > 0:
            break
        before = browser.text('.more')
        browser.press('Look further')
        until('it can go on', lambda: browser.text('.more') != before)
    equal('and finds it', len(rows()), 1)


def restart():
    browser.go('queues')
    subprocess.run(config['stop'], check=True, stdout=subprocess.DEVNULL)
    until('without a database the page says so, and stays', lambda: len(browser.all('.fault')) == 1 and len(rows()) > 0)
    subprocess.run(config['start'], check=True, stdout=subprocess.DEVNULL)
    until('and goes on by itself', lambda: len(browser.all('.fault')) == 0 and 'Live' in browser.text('.live'))


SHORT = (look_login, look_overview, look_queues, look_queue, look_tasks, look_task, look_others, act_on_tasks, act_on_many, act_on_queues,
    act_on_the_rest, hostile, as_reader, session_ends, under_prefix, keyboard, looks)
LONG = (many_tasks, restart)

try:
    for part in (*SHORT, *(LONG if config['large'] else ())):
        try:
            part()
        except Exception:  # the other parts say more than the end of all
            check(part.__name__, False, traceback.format_exc() + browser.text('body')[:1000])
            browser.log_in('admin')
        equal(f'{part.__name__}: the browser complains of nothing', browser.complaints(), [])
finally:
    browser.driver.quit()
sys.exit(1 if failures else 0)
