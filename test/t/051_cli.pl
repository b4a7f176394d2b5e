# 051_cli.pl
#		taskq, the command line: each command, in the formats it prints, with the
#		exit statuses and messages that scripts rely on.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $database = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';

# Nothing of the machine's own.
delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
$ENV{TASKQ_DATABASE} = $database;
$ENV{TZ} = 'UTC';

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs taskq with some input; returns status, output, errors.
sub taskq_with
{
	my ($input, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'build/cli/taskq', @arguments ], '<', \$input, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

sub taskq
{
	return taskq_with('', @_);
}

# Runs it, expects a status and an output (a pattern or a text), and returns the output.
sub runs
{
	my ($name, $arguments, $status, $expected, $errors) = @_;
	my ($got, $stdout, $stderr) = taskq(@$arguments);

	is($got, $status, "$name: status") or diag("$stdout$stderr");
	ref $expected ? like($stdout, $expected, $name) : is($stdout, $expected, $name) if defined $expected;
	like($stderr, $errors, "$name: message") if defined $errors;
	return $stdout;
}

# ---- help, and mistakes ------------------------------------------------------------------------

my $help = runs('--help', ['--help'], 0, qr/^Usage: taskq/);
my $manual = slurp_file('build/cli/taskq.1') =~ s/\\-/-/gr;
my @names = $help =~ /^  ([a-z]+(?: [a-z-]+)?)  /mg;
cmp_ok(scalar(@names), '>=', 39, 'it lists the commands');
foreach my $name (@names)
{
	my ($status, $stdout) = taskq(split(/ /, $name), '--help');
	my @options = $stdout =~ /(--[a-z-]+)/g;

	is($status, 0, "$name --help");
	like($stdout, qr/^Usage: taskq $name /, "$name: usage");
	is(join(' ', grep { index($manual, $_) < 0 } @options), '', "$name: the manual has its options");
}
runs('--version', ['--version'], 0, qr/^taskq \d+\.\d+\n\z/);
runs('no command', [], 2, qr/^Usage/);
runs('unknown command', ['sumbit'], 2, '', qr/there is no command "sumbit"; did you mean "submit"\?/);
runs('unknown second word', [ 'queue', 'craete' ], 2, '', qr/did you mean "queue create"/);
runs('no second word', ['queue'], 2, '', qr/needs a second word: ls, create, /);
runs("$_->[0] $_->[1]", $_, 0, qr/^  queue set-limit  +Limit /m) foreach [ 'queue', '--help' ], [ 'help', 'queue' ];
runs('unknown option', [ 'ls', '--limt', '1' ], 2, '', qr/there is no option --limt here; did you mean --limit\?/);
runs('option without value', [ 'ls', '--limit' ], 2, '', qr/--limit needs a value/);
runs('too few arguments', ['submit'], 2, '', qr/needs more arguments/);
runs('too many arguments', [ 'pause', 'a', 'b' ], 2, '', qr/does not take "b"/);
runs('no id', [ 'show', 'x' ], 2, '', qr/"x" is not the id of a task/);
runs('no format', [ '-o', 'xml', 'ls' ], 2, '', qr/--output is table/);

# ---- queues ---------------------------------------------------------------------------------------

runs('queue create', [ 'queue', 'create', 'mail', '--lease-for', '30 s', '--keep-payload', 'true' ], 0, '');
runs('queue create again', [ 'queue', 'create', 'mail' ], 1, '', qr/^taskq: queue "mail" exists already \(TQ002\)\n/);
runs('queue ls', [ 'queue', 'ls' ], 0, qr/^mail\tpull\tfalse\t00:00:30\tdefault\t/m);
runs('queue ls, JSON', [ 'queue', 'ls', '--json=queue,paused,url' ], 0, qr/\{"queue":"mail","paused":false,"url":null\}/);
runs('a field that is not there', [ 'queue', 'ls', '--json=name' ], 2, '', qr/there is no field \\"name\\"; there are queue, mode/);
runs('queue alter', [ 'queue', 'alter', 'mail', '--lease-for=1 min' ], 0, '');
is(sql("select lease_for from taskq.queues where queue = 'mail'"), '00:01:00', 'it was altered');
runs('suggestion', [ 'queue', 'alter', 'mial', '--lease-for=1 min' ], 1, '',
	qr/queue "mial" does not exist \(TQ001\)\n.*hint: Did you mean "mail"\?/s);
runs('error as JSON', [ 'queue', 'alter', 'nowhere', '--lease-for=1 min', '--json' ], 1, '',
	qr/^\{"error":\{"code":"TQ001","message":"queue \\"nowhere\\" does not exist",.*"exit":1\}\}\n\z/);
runs('pause', [ 'pause', 'mail' ], 0, '');
runs('pause again', [ 'pause', 'mail' ], 0, '', qr/mail: was paused already/);
runs('resume', [ 'resume', 'mail' ], 0, '', qr/\A\z/);
sql('create role app login');
runs('queue grant', [ 'queue', 'grant', 'mail', 'app', 'submit,view' ], 0, '');
is(sql("select privileges from taskq.queue_grants where role = 'app'"), '{submit,view}', 'granted');
runs('queue revoke', [ 'queue', 'revoke', 'mail', 'app', 'submit' ], 0, '');
runs('not permitted', [ '-U', 'app', 'pause', 'mail' ], 5, '', qr/permission denied/);
runs('--role', [ '--role', 'app', 'submit', 'mail', '1' ], 5, '', qr/permission denied/);

# ---- values that the server cannot read, and names it does not know -----------------------------------

my $before = sql('select count(*) from taskq.tasks');
foreach (
	[ '--limit', 'x', 'ls' ], [ '--state', 'x', 'ls' ], [ '--since', '1h', 'ls' ], [ '--payload', '{x', 'ls' ],
	[ '--priority', 'high', 'submit', 'mail', '1' ], [ '--in', '5x', 'submit', 'mail', '1', '-n' ], [ '--wait', 'x', 'submit', 'mail', '1' ],
	[ '--in', '5x', 'retry', '1' ], [ '--lease-for', 'x', 'queue', 'alter', 'mail' ], [ '--timeout', 'x', 'ls' ],
	[ '--spread', 'x', 'redrive', 'mail', '-y' ])
{
	my ($option, $value, @command) = @$_;
	runs("$option=$value", [ @command, "$option=$value" ], 2, '', qr/^taskq: $option: /);
}
runs('a duration', [ 'submit', 'mail', '1', '--in', '5x' ], 2, '', qr/\nhint: A duration is .*'90 s'/);
runs('a time', [ 'ls', '--since', '1h' ], 2, '', qr/\nhint: A time is .*'yesterday'/);
runs('out of range', [ 'submit', 'mail', '1', '--priority', '99' ], 2, '', qr/priority is out of range \(TQ004\)/);
is(sql('select count(*) from taskq.tasks'), $before, 'nothing is submitted');
runs('suggestion of a queue', [ 'submit', 'mial', '1', @$_ ], 1, '', qr/hint: Did you mean "mail"\?/) foreach [], ['-n'];
runs('suggestion of a policy', [ 'submit', 'mail', '1', '--retry', 'webhoo' ], 2, '', qr/hint: Did you mean "webhook"\?/);
runs('suggestion before a question', [ 'queue', 'drop', 'mial' ], 3, '', qr/there is no such queue\nhint: Did you mean "mail"\?/);
runs('the help of the command', [ 'submit', '--nothing' ], 2, '', qr/hint: Try "taskq submit --help"/);
sql('create database bare');
runs('no extension', [ 'ls', '-d', $database =~ s/postgres$/bare/r ], 1, '', qr/hint: Has database "bare" the extension/);
sql('drop database bare');
sql('create role nobody login');
runs('no role of taskq', [ '-U', 'nobody', 'ls' ], 5, '', qr/permission denied for schema taskq .*hint: .*role "nobody".*taskq queue grant/s);

# ---- submit, ls, show, result ---------------------------------------------------------------------

my $id = runs('submit', [ 'submit', 'mail', '{"to": "ada", "n": 12345678901234567890.10}', '--key', 'k1', '--kind', 'letter' ],
	0, qr/^\d+\n\z/);
chomp $id;
is(sql("select payload, key, kind from taskq.tasks where id = $id"), '{"n": 12345678901234567890.10, "to": "ada"}|k1|letter',
	'the payload keeps its digits');
runs('the key is taken', [ 'submit', 'mail', '1', '--key', 'k1', '--on-duplicate', 'raise' ], 3, '', qr/TQ003/);
runs('what is no JSON', [ 'submit', 'mail', '{secret' ], 1, '', qr/invalid input syntax for type json.*hint: .*--text/s);
unlike((taskq('submit', 'mail', '{secret'))[2], qr/secret/, 'the payload is in no message');
my $text = runs('--text', [ 'submit', 'mail', "it's \"so\"\n", '--text', '--in', '1 hour', '--json' ], 0, qr/^\[\{"id":"\d+"\}\]/);
is(sql(q(select payload from taskq.tasks where payload = '"it''s \"so\"\n"' and run_at > now())), q("it's \"so\"\n"), 'text becomes a string');
append_to_file("$dir/payload", '{"from": "file"}');
runs('@FILE', [ 'submit', 'mail', "\@$dir/payload", '--priority', '-5' ], 0, qr/^\d+$/);
my ($status, $stdout, $stderr) = taskq_with('[1]', 'submit', 'mail');
is($status, 0, 'standard input: status');
is(sql("select payload from taskq.tasks where id = $stdout"), '[1]', 'standard input is the payload');
($status, $stdout) = taskq_with("{\"a\": \"\\\\\\\"\"}\n\n2\n3\n", 'submit', 'mail', '--lines', '--batch', '2', '--key-prefix', 'l-');
is($status, 0, '--lines: status');
is($stdout =~ tr/\n//, 3, '--lines: three ids');
is(sql("select string_agg(key || '=' || payload, ' ' order by key) from taskq.tasks where key like 'l-%'"),
	'l-1={"a": "\\\\\""} l-3=2 l-4=3', '--lines: payloads and keys');
($status, $stdout) = taskq_with("1\nx\n", 'submit', 'mail', '--lines', '--batch', '1', '--atomic', '--key-prefix', 'no-');
is($status, 1, '--atomic: one mistake');
is(sql("select count(*) from taskq.tasks where key like 'no-%'"), '0', '--atomic: nothing is submitted');
($status, undef, $stderr) = taskq('submit', 'mail');
is("$status $stderr", "2 taskq: there is no payload, and standard input is empty\nhint: Give a payload, such as null for a task that needs none.\n",
	'empty input is no payload');
runs('--dry-run', [ 'submit', 'mail', '7', '--key', 'dry', '--dry-run' ], 0, qr/^\d+$/, qr/Nothing was done/);
is(sql("select count(*) from taskq.tasks where key = 'dry'"), '0', '--dry-run is rolled back');

runs('ls', [ 'ls', 'mail', '--kind', 'letter' ], 0, qr/^$id\tmail\tpending\tletter\tk1\t0\t\d{4}-\d\d-\d\dT[\d:.]+\+00:00\t\n\z/);
runs('ls, table', [ 'ls', 'mail', '--key', 'k1', '-o', 'table' ], 0, qr/^ *ID +QUEUE +STATE .*\n *$id +mail +pending /);
runs('ls, JSON', [ 'ls', '--key', 'k1', '--json=id,payload,attempt,error' ], 0,
	qq([{"id":"$id","payload":{"n": 12345678901234567890.10, "to": "ada"},"attempt":0,"error":null}]\n));
runs('ls, NDJSON', [ 'ls', '--key-prefix', 'l-', '--ndjson=key' ], 0, qq({"key":"l-4"}\n{"key":"l-3"}\n{"key":"l-1"}\n));
runs('ls, ids', [ 'ls', '--payload', '{"to": "ada"}', '-q' ], 0, "$id\n");
runs('ls --limit, --after', [ 'ls', '--key-prefix', 'l-', '--limit', '1', '--after', sql("select id from taskq.tasks where key = 'l-4'"), '--ndjson=key' ],
	0, qq({"key":"l-3"}\n));
runs('ls --scan', [ 'ls', '--key', 'k1', '--scan', '2' ], 0, '', qr/looked at the newest 2 tasks, back to .*; --scan looks further, --after \d+ goes on/);
sql("select taskq.create_queue('other')");
sql("select taskq.submit(q, key => 'two-' || n || q) from (values (1, 'mail'), (2, 'other'), (3, 'mail')) v (n, q)");
runs('ls of two queues', [ 'ls', 'mail', 'other', '--key-prefix', 'two-', '--ndjson=key' ], 0, qq({"key":"two-3mail"}\n{"key":"two-2other"}\n{"key":"two-1mail"}\n));
my ($last) = runs('ls of two queues, --limit', [ 'ls', 'mail', 'other', '--key-prefix', 'two-', '--limit', '2', '--ndjson=key,next' ], 0,
	qr/\A\{"key":"two-3mail",.*\n\{"key":"two-2other",.*\n\z/) =~ /"next":"?(\d+)"?\}\n\z/;
runs('ls of two queues, --after', [ 'ls', 'mail', 'other', '--key-prefix', 'two-', '--after', $last, '--ndjson=key' ], 0, qq({"key":"two-1mail"}\n));
# The search of neither has looked at the oldest one.
runs('ls of two queues, --scan', [ 'ls', 'mail', 'other', '--key-prefix', 'two-', '--scan', '2', '--ndjson=key' ], 0, qq({"key":"two-3mail"}\n{"key":"two-2other"}\n),
	qr/looked at the newest 2 tasks, .*--after \d+ goes on/);
runs('ls of a queue that is not there', [ 'ls', 'mail', 'othre' ], 1, '', qr/queue "othre" does not exist \(TQ001\)\n.*hint: Did you mean "other"\?/s);
sql("select taskq.cancel_key('mail', 'two-' || n || 'mail') from unnest('{1,3}'::int[]) n; select taskq.drop_queue('other', true)");
runs('ls, no match', [ 'ls', '--state', 'dead', '--json' ], 0, "[]\n");
runs('show', [ 'show', $id, '-o', 'table' ], 0, qr/^id +$id\nqueue +mail\nstate +pending\n/);
runs('show in a pipe', [ 'show', $id ], 0, qr/^id\t$id\nqueue\tmail\nstate\tpending\nkind\tletter\n/);
runs('show, unknown', [ 'show', '999999999' ], 3, '', qr/there is no task 999999999/);

sub acquire_and
{
	my ($what) = @_;

	return sql("select $what from taskq.acquire('mail') t");
}

# The first one that is due has the priority -5.
acquire_and(q(taskq.finish(t.id, t.token, '{"sent": 1.50}')));
my $done = sql("select id from taskq.tasks where state = 'finished'");
runs('result', [ 'result', $done ], 0, qq({"sent": 1.50}\n));
runs('result of what waits', [ 'result', $id ], 6, '', qr/^task $id is pending$/);
runs('result, unknown', [ 'result', '999999999' ], 3, '', qr/there is no task 999999999/);
acquire_and(q(taskq.fail(t.id, t.token, 'mailbox full', '{"code": 452}', retryable => false, class => 'full')));
runs('show with an attempt', [ 'show', $id, '-o', 'table' ], 0, qr/\nerror +mailbox full\n.*failed attempts\n.*full/s);
runs('result of what is dead', [ 'result', $id ], 7, '', qr/^task $id is dead: mailbox full$/);
runs('ls --error', [ 'ls', '--error', '^mailbox', '-q' ], 0, "$id\n");
runs('ls --class', [ 'ls', '--class', 'full', '--state', 'dead,expired', '-q' ], 0, "$id\n");

# ---- wait ------------------------------------------------------------------------------------------

runs('wait', [ 'wait', $done ], 0, qr/^$done\tfinished\t/);
runs('wait: not finished', [ 'wait', $done, $id ], 7, qr/dead/);
runs('wait --any', [ 'wait', '--any', $done, sql("select id from taskq.tasks where key = 'l-1'") ], 0, qr/finished/);
runs('wait --timeout', [ 'wait', '--timeout', '10 ms', sql("select id from taskq.tasks where key = 'l-1'") ], 6, qr/pending/);
runs('wait: unknown', [ 'wait', '999999999' ], 3, qr/^\t|^999999999\t/, qr/^there is no task 999999999$/);
runs('submit --wait', [ 'submit', 'mail', '1', '--wait=10 ms' ], 6, '', qr/task \d+ is pending/);

# ---- retry, reschedule, cancel, redrive, purge ------------------------------------------------------

runs('retry', [ 'retry', $id, '999999999', '--in', '1 hour' ], 3, "$id\n", qr/task 999999999 has not ended, or is not known/);
is(sql("select state, run_at > now() + interval '50 min' from taskq.tasks where id = $id"), 'pending|t', 'pending, and later');
runs('retry of what has finished', [ 'retry', $done ], 1, '', qr/has finished \(TQ009\)/);
runs('reschedule', [ 'reschedule', $id, '--now', '--priority', '-10' ], 0, "$id\n");
is(sql("select priority, run_at <= now() from taskq.tasks where id = $id"), '-10|t', 'due, and first');
runs('reschedule of what has ended', [ 'reschedule', $done ], 3, '', qr/is not pending/);
acquire_and(q(taskq.fail(t.id, t.token, 'again', retryable => false)));
runs('redrive unconfirmed', [ 'redrive', 'mail' ], 2, '', qr/not confirmed\nhint: .*--yes/);
runs('redrive, nothing', [ 'redrive', 'mail', '--error', 'never', '--yes' ], 3, "0\n");
runs('redrive, dry', [ 'redrive', 'mail', '--dry-run' ], 0, "1\n", qr/Nothing was done/);
runs('redrive', [ 'redrive', 'mail', '--error', '^again', '--state', 'dead', '--batch', '1', '-y' ], 0, "1\n");
is(sql("select state from taskq.tasks where id = $id"), 'pending', 'redriven');
runs('cancel', [ 'cancel', $id, '999999999', '--reason', 'enough' ], 0, "$id\n", qr/1 of 2 tasks had ended/);
is(sql("select state, error from taskq.tasks where id = $id"), 'cancelled|enough', 'cancelled');
runs('cancel again', [ 'cancel', $id ], 3, '');
runs('cancel by filter', [ 'cancel', '--queue', 'mail', '--key-prefix', 'l-', '--yes' ], 0, qr/^(?:\d+\n){3}\z/);
is(sql("select count(*) from taskq.tasks where key like 'l-%' and state = 'cancelled'"), '3', 'all that match');
runs('cancel without ids', ['cancel'], 2, '', qr/needs ids, or --queue/);
runs('a state that is none', [ 'ls', '--state', 'pnding' ], 2, '', qr/hint: Did you mean "pending"\?/);
runs('one like no other', [ 'ls', '--state', 'xyz' ], 2, '', qr/hint: The states are pending, running, /);
{
	local $ENV{TRACEPARENT} = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
	my $traced = runs('submit in a trace', [ 'submit', 'mail', '1' ], 0, qr/^\d+$/) + 0;

	is(sql("select trace from taskq.tasks where id = $traced"), $ENV{TRACEPARENT}, 'a task is of the trace of the environment');
	$traced = runs('with a trace of its own', [ 'submit', 'mail', '1', '--trace', $ENV{TRACEPARENT} =~ s/0af/0bf/r ], 0, qr/^\d+$/) + 0;
	like(sql("select trace from taskq.tasks where id = $traced"), qr/^00-0bf/, 'unless another is given');
	is((taskq_with("1\n2\n", 'submit', 'mail', '--lines'))[0], 0, 'lines in a trace');
	is(sql("select count(*) from taskq.tasks where trace = '$ENV{TRACEPARENT}'"), '3', 'likewise of each line');
	$ENV{TRACEPARENT} = 'nothing of the kind';
	runs('in what is no trace', [ 'submit', 'mail', '1' ], 0, qr/^\d+$/);
}
runs('purge', [ 'purge', 'mail', '--yes' ], 0, qr/^[1-9]\d*\n\z/);
sql(q{select taskq.submit_many('mail', array_fill('1'::jsonb, '{2500}'))});
runs('purge --dry-run', [ 'purge', 'mail', '--dry-run' ], 0, "2500\n");
my @purge = taskq('-v', 'purge', 'mail', '--yes');
is("$purge[0] $purge[1]", "0 2500\n", 'purge of many');
is(() = $purge[2] =~ /purge_queue/g, 4, 'it works in batches, until one is not full');
runs('purge of nothing', [ 'purge', 'mail', '--yes' ], 0, "0\n");
runs('purge of an unknown queue', [ 'purge', 'mial', '--yes' ], 1, '', qr/"mial" does not exist/);

# What a command shows on a terminal while the database keeps it waiting.
sub shows_while_locked
{
	my ($name, $table, $pattern, @arguments) = @_;
	my $session = $node->background_psql('postgres');
	my $output = '';

	$session->query("begin; lock table $table in access exclusive mode");
	my $run = IPC::Run::start([ 'script', '-qefc', join(' ', 'build/cli/taskq', @arguments), '/dev/null' ], '<', \undef, '>', \$output);
	wait_until($name, sub { $run->pump_nb; $output =~ $pattern });
	pass("$name: progress on a terminal");
	$session->query('rollback');
	$session->quit;
	$run->finish;
	return $output;
}

append_to_file("$dir/progress.yaml", "queues: {mail: {}}\n");
like(shows_while_locked('apply', 'taskq_private.queue', qr/apply \S*progress.yaml   \d s/, 'apply', '-f', "$dir/progress.yaml"),
	qr/\r\e\[K0 changes/, 'the line is taken away');

# ---- HTTP -------------------------------------------------------------------------------------------

my $sent = runs('http', [ 'http', $receiver->url('/ok/cli'), '{"n": 1}', '-H', 'X-Event: paid', '-X', 'PUT', '--wait' ], 0, qr/^\{.*\}/);
my ($request) = $receiver->requests('/ok/cli');
is(join(' ', $request->{method}, $request->{headers}{'x-event'}, $request->{body}), 'PUT paid {"n": 1}', 'it was sent');
my $answered = sql("select max(id) from taskq.tasks where queue = 'http'");
is($sent, sql("select convert_from(body, 'utf8') from taskq.response($answered)"), 'the answer is printed');
is((taskq('result', $answered, '--answer'))[1], sql("select convert_from(body, 'utf8') from taskq.response($answered)"), 'result --answer');
runs('result --headers', [ 'result', $answered, '--headers' ], 0, qr/^\{.*"content-length": "\d+"/);
append_to_file("$dir/bytes", "a\0\xff");
runs('http --raw', [ 'http', $receiver->url('/ok/raw'), "\@$dir/bytes", '--raw', 'application/x-bytes', '--wait=30 s' ], 0, qr/./);
($request) = $receiver->requests('/ok/raw');
is($request->{headers}{'content-type'}, 'application/x-bytes', 'with its content type');
runs('http --form', [ 'http', $receiver->url('/ok/form'), '--form', 'a b=1&2', '--form', "c=\xc3\xa9-_", '--wait=30 s' ], 0, qr/ok/);
($request) = $receiver->requests('/ok/form');
is("$request->{headers}{'content-type'} $request->{body}", 'application/x-www-form-urlencoded a+b=1%262&c=%C3%A9-_', 'a form');
runs('http --form and a body', [ 'http', $receiver->url('/ok/form'), '1', '--form', 'a=1' ], 2, '', qr/--form does not go with a body/);
append_to_file("$dir/headers", "Authorization: Bearer x\nX-More: y\n");
runs('endpoint create', [ 'endpoint', 'create', 'acme', $receiver->url('/ok/acme'), '--header-file', "$dir/headers", '--rate', '50' ], 0, '');
runs('endpoint ls', [ 'endpoint', 'ls', '--json=endpoint,header_names,rate' ], 0, qr/\{"endpoint":"acme","header_names":\["Authorization", "X-More"\],"rate":50\}/i);
runs('http --endpoint', [ 'http', '--endpoint', 'acme', '--path', '/p', '{}', '--wait' ], 0, qr/ok/);
($request) = $receiver->requests('/ok/acme/p');
is($request->{headers}{authorization}, 'Bearer x', 'an endpoint has headers from a file');
runs('endpoint rotate-secret', [ 'endpoint', 'rotate-secret', 'acme' ], 0, qr/^whsec_\S+\n\z/);
runs('endpoint alter', [ 'endpoint', 'alter', 'acme', '--max-running', '5' ], 0, '');
is(sql("select max_running from taskq.endpoints where endpoint = 'acme'"), '5', 'endpoint altered');
runs('endpoint test', [ 'endpoint', 'test', 'acme', '{"a": 1}', '--path', '/t' ], 0, qr/^state\tfinished\nstatus\t200\n/m);
is(($receiver->requests)[-1]{body}, '{"a": 1}', 'the payload is sent');
sql("select taskq.create_endpoint('bad', '" . $receiver->url('/status/503') . "'), taskq.create_endpoint('slow', '" . $receiver->url('/slow/5000') . "')");
runs('endpoint test that fails', [ 'endpoint', 'test', 'bad' ], 7, qr/^state\tdead\nstatus\t503\nclass\thttp\n/m);
runs('endpoint test that waits', [ 'endpoint', 'test', 'slow', '--timeout', '300 ms' ], 6, qr/^state\t(?:running|pending)\n/m,
	qr/the time is up; the task goes on: taskq show \d+/);
runs('endpoint test --dry-run', [ 'endpoint', 'test', 'acme', '--dry-run' ], 0, qr/^\d+\n\z/);
runs('endpoint test of a queue', [ 'endpoint', 'test', 'mail' ], 1, '', qr/TQ005/);
sql("select taskq.drop_queue(q, true) from unnest('{bad,slow}'::text[]) q");
runs('endpoint drop', [ 'endpoint', 'drop', 'acme', '--force', '--yes' ], 0, '');
runs('endpoint drop again', [ 'endpoint', 'drop', 'acme', '--yes' ], 3, '', qr/acme: there is no such endpoint/);

# ---- groups, limits, order, topics ---------------------------------------------------------------------

runs('queue create --ordered', [ 'queue', 'create', 'line', '--ordered', 'true' ], 0, '');
runs('its order', [ 'queue', 'ls', '--json=queue,ordered' ], 0, qr/\{"queue":"line","ordered":true\}/);
my $in_group = runs('submit --group-key', [ 'submit', 'line', '1', '--group-key', 'g 1' ], 0, qr/^\d+\n\z/);
($status, $stdout) = taskq_with("2\n3\n", 'submit', 'line', '--lines', '--group-key', 'g 2', '--at', '2030-01-02 03:04');
is($status, 0, '--lines with a group and a time: status');
runs('ls --group-key', [ 'ls', '--group-key', 'g 2', '--json=payload,group_key,run_at' ], 0,
	qq([{"payload":3,"group_key":"g 2","run_at":"2030-01-02T03:04:00+00:00"},\n {"payload":2,"group_key":"g 2","run_at":"2030-01-02T03:04:00+00:00"}]\n));
($status, $stdout) = taskq_with(qq({"payload": {"a": 1.50}, "key": "o\\u0031", "group_key": "g 3"}\n{"run_at": "2030-01-01"}\n{"payload": null, "key": null}\n),
	'submit', 'line', '--objects', '--group-key', 'g 4');
is($status, 0, '--objects: status');
is(sql("select string_agg(concat_ws(' ', payload, key, group_key, extract(year from run_at)), ', ' order by id) from taskq.tasks where group_key in ('g 3', 'g 4')"),
	sql("select '{\"a\": 1.50} o1 g 3 ' || extract(year from now()) || ', g 4 2030, null g 4 ' || extract(year from now())"), '--objects: what they say');
foreach ([ '[1]', qr/line 1 is not a JSON object/ ], [ '{"payload": 1, "kye": "a"}', qr/line 1: there is no member "kye"/ ], [ '{"key": 1}', qr/line 1: key is not a string/ ])
{
	($status, undef, $stderr) = taskq_with("$_->[0]\n", 'submit', 'line', '--objects');
	is($status, 1, "--objects, $_->[0]: status");
	like($stderr, $_->[1], "--objects, $_->[0]");
}
runs('what does not go with --lines', [ 'submit', 'line', '--lines', '--unique-for', '1 h' ], 2, '', qr/--unique-for does not go with --lines/);
runs('cancel --group-key', [ 'cancel', '--queue', 'line', '--group-key', 'g 1', '--yes' ], 0, $in_group);
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $traced = runs('submit --trace', [ 'submit', 'mail', '1', '--trace', $trace, '--in', '1 h' ], 0, qr/^\d+\n\z/) =~ s/\n//r;
like(runs('show', [ 'show', $traced, '--json=trace' ], 0), qr/"trace":"$trace"/, 'the trace is shown');
like(runs('ls', [ 'ls', 'mail', '--limit', '1', '--json=id,trace' ], 0), qr/"id":"$traced","trace":"$trace"/, 'and listed');
sql("select taskq.cancel($traced)");
runs('a trace that is none', [ 'submit', 'mail', '1', '--trace', uc $trace ], 2, '', qr/invalid trace \(TQ004\)/);
my ($one, $two) = map { s/\n//r } map { runs('submit', [ 'submit', 'mail', '1', '--in', '1 h' ], 0, qr/^\d+$/) } 1, 2;
my $behind = runs('submit --after', [ 'submit', 'mail', '1', '--after', $one, '--after', $two, '--after-failure', 'run' ], 0, qr/^\d+$/) =~ s/\n//r;
like(runs('show', [ 'show', $behind, '--json=waits_for,run_at' ], 0), qr/"waits_for":"2 others: $one, $two","run_at":null/, 'for what it waits is shown');
like(runs('show', [ 'show', $one, '--json=waits_for' ], 0), qr/"waits_for":null/, 'what waits for nothing');
($status, $stdout) = taskq_with("1\n2\n", 'submit', 'mail', '--lines', '--after', $behind);
is($status, 0, '--lines --after: status');
is(sql("select count(*) from taskq.dependencies where task_id = $behind"), '2', 'both wait');
runs('--after of no id', [ 'submit', 'mail', '1', '--after', 'x' ], 2, '', qr/"x" is not the id of a task/);
runs('--after of an unknown task', [ 'submit', 'mail', '1', '--after', '0' ], 2, '', qr/task 0 of after is not known \(TQ004\)/);
runs('--after-failure of another word', [ 'submit', 'mail', '1', '--after', $one, '--after-failure', 'stop' ], 2, '', qr/after_failure must be cancel, run or wait/);
sql("select count(taskq.cancel(id)) from taskq.tasks where id in ($one, $two, $behind)");
wait_query($node, 'postgres', 'select count(*) = 0 from taskq.dependencies');
my $first = runs('submit --unique-for', [ 'submit', 'mail', '1', '--key', 'u', '--unique-for', '1 h', '--in', '1 h' ], 0, qr/^\d+$/);
runs('the same', [ 'submit', 'mail', '2', '--key', 'u', '--unique-for', '1 h' ], 0, $first);
runs('submit --max-wait', [ 'submit', 'mail', '2', '--key', 'w', '--max-wait', '1 h', '--on-duplicate', 'replace', '--in', '1 day' ], 0, qr/^\d+$/);
runs('queue set-limit', [ 'queue', 'set-limit', 'line', '--max-running', '3', '--rate', '10', '--burst', '2' ], 0, '');
runs('queue set-limit without a rate', [ 'queue', 'set-limit', 'line', '--burst', '5' ], 2, '', qr/per and burst need a rate/);
runs('queue set-group-limit', [ 'queue', 'set-group-limit', 'mail', '--max-running', '2' ], 0, '', qr/\A\z/);
runs('queue set-group-limit of one', [ 'queue', 'set-group-limit', 'line', 'g 2', '--max-running', '5', '--weight', '3' ], 0, '',
	qr/^notice: this max_running has no effect while queue "line" is ordered$/);
runs('queue limits', [ 'queue', 'limits' ], 0,
	"line\tqueue\t\t3\t10\t00:00:01\t2\t\nline\tgroup\tg 2\t5\t\t\t\t3\nmail\tevery group\t\t2\t\t\t\t1\n");
runs('queue groups', [ 'queue', 'groups', 'line', '--group-key', 'g 2' ], 0, qr/^g 2\t0\t1\t/);
runs('it says what it replaces', [ 'queue', 'set-group-limit', 'line', 'g 2', '--rate', '10' ], 0, '',
	qr/^before: max_running 5, weight 3$/m);
runs('likewise of each group', [ 'queue', 'set-group-limit', 'mail', '--max-running', '3' ], 0, '', qr/^before: max_running 2$/m);
runs('and of the queue', [ 'queue', 'set-limit', 'line', '--max-running', '3' ], 0, '',
	qr/^before: max_running 3, rate 10 per 00:00:01, burst 2$/m);
runs('a limit is not removed unasked', [ 'queue', 'set-limit', 'line' ], 2, '', qr/remove the limit of queue "line"\? not confirmed/);
runs('it is removed', [ 'queue', 'set-limit', 'line', '--yes' ], 0, '');
runs('queue drop-group-limit', [ 'queue', 'drop-group-limit', 'line', 'g 2' ], 0, '');
runs('queue drop-group-limit again', [ 'queue', 'drop-group-limit', 'line', 'g 2' ], 3, '', qr/line: that group has no limit of its own/);
runs('the other limits', [ 'queue', 'limits', 'line' ], 0, '');
runs('a topic', [ 'queue', 'create', 'news', '--mode', 'topic' ], 0, '');
runs('publish to none', [ 'publish', 'news', '1' ], 0, '', qr/no queue is subscribed to "news"/);
runs('subscribe', [ 'subscribe', 'news', 'mail', '--kinds', 'paid,sent' ], 0, '');
runs('subscriptions', ['subscriptions'], 0, "news\tmail\tpaid,sent\n");
my $published = runs('publish', [ 'publish', 'news', 'to all', '--text', '--kind', 'paid', '--key', 'p1', '--in', '1 h' ], 0, qr/^\d+\n\z/);
is(sql("select queue, payload, kind, key from taskq.tasks where id = $published"), 'mail|"to all"|paid|p1', 'it is a task');
runs('publish of another kind', [ 'publish', 'news', '1', '--kind', 'lost' ], 0, '');
runs('unsubscribe', [ 'unsubscribe', 'news', 'mail' ], 0, '');
runs('unsubscribe again', [ 'unsubscribe', 'news', 'mail' ], 3, '', qr/news: that queue is not subscribed/);
sql("select taskq.drop_queue('news', true), taskq.drop_queue('line', true), taskq.set_group_limit('mail', null), taskq.cancel_key('mail', k) from unnest('{u,w,p1}'::text[]) k");

# ---- policies, schedules -----------------------------------------------------------------------------

runs('policy create', [ 'policy', 'create', 'slow', '--backoff', 'schedule', '--delays', '1 s,1 min', '--max-attempts', '3' ], 0, '');
runs('policy preview', [ 'policy', 'preview', 'slow' ], 0, "1\t00:00:01\n2\t00:01:00\n");
runs('policy preview --attempts', [ 'policy', 'preview', 'slow', '--attempts', '1' ], 0, "1\t00:00:01\n");
runs('policy ls', [ 'policy', 'ls' ], 0, qr/^slow\tschedule\t/m);
runs('policy drop', [ 'policy', 'drop', 'slow', '-y' ], 0, '');
runs('schedule create', [ 'schedule', 'create', 'report', '{"queue": "mail", "payload": 9}', '--cron', '0 6 * * *' ], 0, '');
runs('schedule ls', [ 'schedule', 'ls' ], 0, qr/^report\t0 6 \* \* \*\t\tUTC\tfalse\t/);
runs('schedule preview', [ 'schedule', 'preview', 'report', '--runs', '3' ], 0, qr/^(?:\d{4}-\d\d-\d\dT06:00:00\+00:00\n){3}\z/);
runs('schedule preview of an expression', [ 'schedule', 'preview', '0 9 * * *' ], 1, '', qr/hint: A cron expression is passed by name/);
sql("insert into taskq_private.schedule_run values ('report', '2026-01-02 06:00+00', now(), 'skipped', null, null)");
runs('schedule runs', [ 'schedule', 'runs' ], 0, qr/\Areport\t2026-01-02T06:00:00\+00:00\t[^\n]*\tskipped\t\t\n\z/);
runs('schedule runs of one', [ 'schedule', 'runs', 'report' ], 0, qr/\Areport\t/);
runs('schedule runs, unknown', [ 'schedule', 'runs', 'reprot' ], 3, '', qr/there is no such schedule\nhint: Did you mean "report"\?/);
runs('schedule drop, unknown', [ 'schedule', 'drop', 'reprot' ], 3, '', qr/there is no such schedule\nhint: Did you mean "report"\?/);
runs('schedule preview of options', [ 'schedule', 'preview', '--every', '10 s' ], 0, qr/^(?:\S+\n){10}\z/);
my $run = runs('schedule run', [ 'schedule', 'run', 'report' ], 0, qr/^\d+\n\z/);
runs('schedule pause', [ 'schedule', 'pause', 'report' ], 0, '');
runs('schedule resume', [ 'schedule', 'resume', 'report' ], 0, '');
runs('schedule drop', [ 'schedule', 'drop', 'report', '--yes' ], 0, '');

# ---- apply, export -----------------------------------------------------------------------------------

my $config = "$dir/conf";
mkdir $config;

sub write_config
{
	my ($name, $text) = @_;

	unlink "$config/$name";
	append_to_file("$config/$name", $text);
	return "$config/$name";
}

my $yaml = write_config('1.yaml', <<'END');
# The example of the manual.
policies:
  slow: {backoff: exponential, base: 10 s, max_delay: 1 h, max_attempts: 10}
queues:
  letters:
    lease_for: 90 s
    retry: slow
    grants: {app: [submit, work]}
  hooks: {mode: push, url: https://hooks.example.com/?k=1, executor: external}
endpoints:
  acme:
    url: https://hooks.example.com/acme
    rate: 20
    headers: {Authorization: !env ACME_AUTHORIZATION}
    secret: !file ../secret
schedules:
  report:
    cron: 0 6 * * *
    timezone: Europe/Berlin
    task:
      queue: letters
      payload:
        - [yes, true, ~, null, "null", 'it''s', 10 s]
        - [007, +5, -0.50e+1, .5, 5., 0x1F, 0o17, 12345678901234567890.10, 1_000, 10:30]
        - |
          two
          lines
        - {"\u00e4\t": "\"", 'ü': "x", 5: ! 6}
END
append_to_file("$dir/secret", 'whsec_' . 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=' . "\n");
runs('apply without a file', ['apply'], 2, '', qr/needs a file/);
runs('apply: no such file', [ 'apply', '-f', "$dir/none" ], 1, '', qr/none: No such file or directory/);
runs('apply: no variable', [ 'apply', '-f', $yaml ], 2, '', qr/1\.yaml: line 14, column 30: the environment has no variable ACME_AUTHORIZATION\n/);
$ENV{ACME_AUTHORIZATION} = 'Bearer s3cr3t';
# What prune would drop is shown, too.
my $live = 'only with prune; has 1 live task: only with force, too';
runs('apply --dry-run', [ 'apply', '-f', $yaml, '--dry-run', '-o', 'table' ], 3, <<'END' =~ s/=/$live/r, qr/^5 changes\.\nNothing was done\.\n\z/);
+  policy    slow     backoff: exponential; base: 00:00:10; max_attempts: 10; max_delay: 01:00:00
+  queue     hooks    executor: external; mode: push; url: https://hooks.example.com/?...
+  queue     letters  lease_for: 00:01:30; retry: slow; grant submit, work to app
-  queue     mail     =
+  endpoint  acme     headers; rate: 20; secret; url: https://hooks.example.com/acme
+  schedule  report   cron: 0 6 * * *; task; timezone: Europe/Berlin
END
runs('apply', [ 'apply', '-f', $yaml ], 0, qr/^create\tpolicy\tslow\t.*^create\tschedule\treport\t/ms, qr/^5 changes\.\n\z/);
is(sql("select jsonb_pretty(task -> 'payload') from taskq.schedules where schedule = 'report'") =~ s/\s+/ /gr,
	'[ [ "yes", true, null, null, "null", "it\'s", "10 s" ], [ 7, 5, -5.0, 0.5, 5, 31, 15, 12345678901234567890.10, "1_000", "10:30" ], '
	  . '"two\nlines\n", { "5": "6", "ü": "x", "ä\t": "\"" } ]', 'scalars are those of YAML 1.2');
runs('apply again', [ 'apply', '-f', $yaml, '--json' ], 0, "[]\n", qr/^0 changes\.\n\z/);
runs('apply again, dry', [ 'apply', '-f', $yaml, '--dry-run', '-o', 'table' ], 0, qr/^-  queue +mail  \Q$live\E\n\z/, qr/^0 changes\./);

# What export writes changes nothing.
my $exported = runs('export', ['export'], 0, qr/^endpoints:\n  acme:\n.*^    headers:\n      Authorization: !env ACME_AUTHORIZATION\n/ms);
unlike($exported, qr/s3cr3t|whsec/, 'export has no secrets');
like($exported, qr/secret: !env ACME_SECRET\n/, 'but a name for each');
$ENV{ACME_SECRET} = slurp_file("$dir/secret") =~ s/\n//r;
my $copy = write_config('2.yaml', $exported);
runs('apply of what export wrote', [ 'apply', '-f', $copy, '--prune', '--force', '--dry-run' ], 0, '', qr/^0 changes/);
my $as_json = runs('export --json', [ 'export', '--json' ], 0, qr/^\{\n.*"ACME_AUTHORIZATION"/s);
$copy = write_config('2.json', $as_json);
runs('apply of JSON', [ 'apply', '-f', $copy, '--prune', '--force', '--dry-run' ], 0, '', qr/^0 changes/);
$ENV{ACME_AUTHORIZATION} = 'Bearer other';
foreach my $file ("$config/2.yaml", $copy)
{
	runs('another header', [ 'apply', '-f', $file, '--dry-run' ], 3, "alter\tendpoint\tacme\theaders changed\n");
}
runs('export has no fields', [ 'export', '--json=queues' ], 2, '', qr/no fields/);
unlink "$config/2.yaml", "$config/2.json";

# Several files, a directory, standard input.
write_config('2.yml', "queues: {other: {}}\n");
write_config('3.json', '{"queues": {"\ud83d\ude00": {}}, "schedules": null}');
write_config('4.txt', '{');
runs('apply of a directory', [ 'apply', '-f', $config, '--dry-run' ], 3, "create\tqueue\tother\t\ncreate\tqueue\t\x{f0}\x{9f}\x{98}\x{80}\t\nkeep\tqueue\tmail\t$live\nalter\tendpoint\tacme\theaders changed\n");
runs('apply of two files', [ 'apply', '-f', "$config/2.yml", '--file', $yaml, '--dry-run' ], 3, qr/^create\tqueue\tother\t\n/);
runs('an object in two files', [ 'apply', '-f', $yaml, '-f', $yaml ], 2, '', qr/1\.yaml: policies\.slow is in another file, too\n/);
($status, $stdout, $stderr) = taskq_with("queues: {piped: {}}\n", 'apply', '-f', '-');
is("$status $stdout", "0 create\tqueue\tpiped\t\n", 'standard input');
($status, $stdout, $stderr) = taskq_with('', 'apply', '-f', '-', '--prune', '--yes');
is("$status $stdout", '0 ', 'a file without anything names no section');
mkdir "$dir/empty";
runs('an empty directory', [ 'apply', '-f', "$dir/empty" ], 2, '', qr/has no files/);

# --prune drops, and asks before.
runs('prune, dry run of it', [ 'apply', '-f', "$config/2.yml", '--dry-run', '-o', 'table' ], 3,
	qr/^\+  queue +other *\n-  queue +hooks    only with prune\n(?:.*\n)*-  queue +mail     $live\n/);
runs('prune unconfirmed', [ 'apply', '-f', "$config/2.yml", '--prune', '--force' ], 2, '', qr/drop \d objects that no file names\? not confirmed/);
runs('prune, live tasks', [ 'apply', '-f', "$config/2.yml", '--prune', '--yes' ], 1, '', qr/has live tasks \(TQ009\)\ndetail: The place in the configuration is queues\.mail\./);
is(sql("select count(*) from taskq.queues where queue in ('other', 'piped')"), '1', 'nothing was done');
write_config('5.yaml', "queues: {mail: {}, letters: {}}\n");
runs('prune', [ 'apply', '-f', "$config/5.yaml", '--prune', '--yes' ], 0, "drop\tqueue\thooks\t\ndrop\tqueue\tpiped\t\n");
runs('prune of the rest', [ 'apply', '-f', write_config('6.yaml', "schedules: {}\nendpoints: {}\nqueues: {mail: {}}\npolicies: {}\n"), '--prune', '--yes' ],
	0, "drop\tpolicy\tslow\t\ndrop\tqueue\tletters\t\ndrop\tendpoint\tacme\t\ndrop\tschedule\treport\t\n");

# Mistakes, with their places.
foreach my $case ([ "a: 1\na: 2\n", 'line 2, column 1: the key is there already' ], [ "a: &x 1\nb: *x\n", 'line 1, column 4: anchors and tags are not supported' ],
	[ "b: *x\n", 'line 1, column 4: anchors and tags are not supported' ], [ "a:\n  <<: {b: 1}\n", 'line 2, column 3: merge keys are not supported' ],
	[ "a: !!str 1\n", 'line 1, column 4: the tags are !env and !file' ], [ "a: !x {}\n", 'line 1, column 4: anchors and tags are not supported' ],
	[ "a: 1\n--- 2\n", 'line 2, column 1: more than one document' ], [ "a: [1\n", 'line 2, column 1: ' ], [ "? [a]\n: 1\n", 'line 1, column 3: a key is not a scalar' ],
	[ "a: .inf\n", 'line 1, column 4: JSON has no such number' ], [ "a: 0xffffffffffffffffff\n", 'line 1, column 4: the number is too large' ],
	[ 'a: "\0"', 'line 1, column 4: a character U\+0000' ], [ "a: " . '[' x 101 . ']' x 101, 'line 1, column 103: too many levels' ],
	[ "a: !file none\n", 'line 1, column 4: .*none: No such file or directory' ], [ "- 1\n", 'it is not a mapping' ], [ "queues: 1\n", 'queues is not a mapping' ],
	[ "{\"a\": {},\n \"\\u0061\": {}}", 'line 2, column 3: the key is there already' ])
{
	my ($text, $expected) = @$case;

	runs('mistake: ' . $expected, [ 'apply', '-f', write_config('wrong.yaml', $text) ], 2, '', qr/wrong\.yaml: $expected/);
}
runs('mistake that the server finds', [ 'apply', '-f', write_config('wrong.yaml', "queues: {mail: {lease_fr: 1 s}}\n") ], 2, '',
	qr/^taskq: there is no key "lease_fr" \(TQ004\)\ndetail: The place in the configuration is queues\.mail\.lease_fr\.\nhint: Did you mean "lease_for"\?\n\z/);
delete @ENV{ 'ACME_AUTHORIZATION', 'ACME_SECRET' };

# ---- stats, status, check ------------------------------------------------------------------------------

runs('stats', [ 'stats', 'mail' ], 0, qr/^mail\t1\t1\t0\t/);
runs('stats, table', [ 'stats', '-o', 'table' ], 0, qr/^QUEUE +PENDING +DUE +RUNNING .*\n(?:.*\n)*mail +1 +1 +0 /);
my $watched = '';
IPC::Run::run([ 'sh', '-c', 'build/cli/taskq stats mail --watch=1 --ndjson=queue,per_s | head -n 2' ], '>', \$watched);
is($watched, qq({"queue":"mail","per_s":null}\n{"queue":"mail","per_s":0.0}\n), 'stats --watch: a rate from the second look on');
my ($ok, $all) = taskq('status', '-o', 'table');
like($all, qr/^✓ preloaded +The library is preloaded\.$/m, 'status');
sql("select taskq.pause_queue('mail')");
is(sql("select taskq.pause_queue('default')"), 't', 'a queue is paused');
runs('status --only', [ 'status', '--only', 'preloaded,executor' ], 0, qr/^preloaded\tok\t/m);
runs('status of a queue', [ 'status', 'mail', '--only', 'preloaded' ], 0, qr/^preloaded\tok\t/);
runs('status of a queue that is not there', [ 'status', 'mial' ], 1, '', qr/"mial" does not exist/);
runs('status --only, no such check', [ 'status', '--only', 'nothing' ], 2, '', qr/there is no check "nothing"/);
runs('check: OK', [ 'check', '--queue', 'mail', '--pending', '5:10', '--status', 'executor,preloaded' ], 0, "TASKQ OK - mail: all is well | mail_pending=1;5;10\n");
runs('check: WARNING', [ 'check', '--queue', 'mail', '--pending', '1:10' ], 1, qr/^TASKQ WARNING - mail: pending 1 \(warning at 1\) \| /);
runs('check: CRITICAL', [ 'check', '--queue', 'mail', '--pending', '1' ], 2, qr/^TASKQ CRITICAL - mail: pending 1 \(critical at 1\) \| mail_pending=1;;1\n/);
runs('check --state', [ 'check', '--queue', 'mail', '--dead', '0:1', '--state', "$dir/state" ], 2, qr/^TASKQ CRITICAL - mail: dead 2 /);
runs('check --state again', [ 'check', '--queue', 'mail', '--dead', '0:1', '--state', "$dir/state" ], 1, qr/^TASKQ WARNING - mail: dead 0 /);
runs('check without a figure', ['check'], 3, qr/^TASKQ UNKNOWN - taskq check needs --queue or --status\nTry "taskq check --help"/, qr/\A\z/);
runs('check: UNKNOWN', [ 'check', '--queue', 'mail', '--pending', '1', '-h', '127.0.0.1', '-p', TaskqTest::refused_port() ], 3, qr/^TASKQ UNKNOWN - /);

# ---- demo, bench -----------------------------------------------------------------------------------------

runs('demo', ['demo'], 0, qr/finished \{"sum": 42\}.*the receiver got a request for \/hello with \{"n": 1\}.*taskq_demo \d+ finished, attempt 2\n/s);
runs('bench', [ 'bench', '--seconds', '1', '--clients', '2', '--batch', '2', '--ndjson=scenario' ], 0,
	join('', map { qq({"scenario":"$_"}\n) } 'submit', 'work', 'life', 'wakeup', 'push'), qr/^synchronous_commit = .*; 2 clients, 2 tasks in a statement$/m);
is(sql("select count(*) from taskq.queues where queue ~ '^taskq_(demo|bench)'"), '0', 'they leave no queue behind');
runs('demo --keep', [ 'demo', '--keep' ], 0, undef);
runs('demo of what is kept', ['demo'], 1, undef, qr/queue "taskq_demo" exists already/);
is(sql("select taskq.drop_queue('taskq_demo', true) and taskq.drop_queue('taskq_demo_push', true)"), 't', 'it drops only what it made');

# ---- settings, connection, completion --------------------------------------------------------------------

runs('no connection', [ 'ls', '-d', 'host=127.0.0.1 port=' . TaskqTest::refused_port() ], 4, '', qr/^taskq: cannot connect: /);
runs('no such role', [ 'ls', '-U', 'nobody_here' ], 4, '', qr/role "nobody_here" does not exist\nhint: .*-U/);
runs('no such database', [ 'ls', '-d', $node->connstr('nothing_here') ], 4, '', qr/database "nothing_here" does not exist\nhint: .*PGDATABASE/);
my $lock = $node->background_psql('postgres');
$lock->query_safe('begin; lock table taskq_private.task');
runs('--timeout', [ 'ls', '--timeout', '100 ms' ], 6, '', qr/57014/);
$lock->query_safe('rollback');
$lock->quit;
runs('--verbose', [ 'stats', 'mail', '-v' ], 0, undef, qr/^select .*taskq.queue_stats\(\$1\)/m);
mkdir "$dir/taskq";
append_to_file("$dir/taskq/config", "# mine\noutput = json\nutc = on\n");
runs('a file of settings', [ 'ls', '--state', 'dead', '--key', 'none' ], 0, "[]\n");
runs('an option goes before it', [ 'ls', '--key', 'none', '-o', 'tsv' ], 0, '');
{
	local $ENV{TASKQ_OUTPUT} = 'tsv';
	runs('so does the environment', [ 'ls', '--key', 'none' ], 0, '');
}
append_to_file("$dir/taskq/config", "yes = on\n");
runs('what cannot stand in it', ['ls'], 2, '', qr/config, line 4: \\"yes\\" cannot stand in this file/);
unlink "$dir/taskq/config";
foreach my $conninfo ('host=x password=y', 'host=x password = y', 'postgresql://u:y@x/d')
{
	append_to_file("$dir/taskq/config", "database = $conninfo\n");
	chmod 0644, "$dir/taskq/config";
	runs('a password that others can read', ['ls'], 2, '', qr/has a password and can be read by others/);
	unlink "$dir/taskq/config";
}

runs('completion of commands', [ '_complete', '--', 'que' ], 0, qr/^queue\n/m);
runs('completion of second words', [ '_complete', '--', 'queue', '' ], 0, qr/^ls\ncreate\n/);
runs('completion of options', [ '_complete', '--', 'queue', 'create', '--' ], 0, qr/^--lease-for\n/m);
runs('completion of queues', [ '_complete', '--', 'pause', '' ], 0, qr/^mail\n/m);
foreach my $shell ('bash', 'zsh', 'fish')
{
	runs("completion $shell", [ 'completion', $shell ], 0, qr/taskq _complete --/);
}
my $script = (taskq('completion', 'bash'))[1];
my $completed = '';
IPC::Run::run([ 'bash', '-c', $script . 'COMP_WORDS=(taskq subm); COMP_CWORD=1; _taskq; echo "${COMPREPLY[@]}"' ],
	'>', \$completed, init => sub { $ENV{PATH} = "build/cli:$ENV{PATH}" });
is($completed, "submit\n", 'completion in bash');

# ---- top -----------------------------------------------------------------------------------------------

runs('top without a terminal', ['top'], 0, qr/^QUEUE +PENDING .*^mail +\d/ms);
runs('top without a terminal, JSON', [ 'top', '--json=queue,pending' ], 0, qr/\{"queue":"mail","pending":\d+\}/);

SKIP:
{
	skip 'tmux is not there', 1 unless IPC::Run::run([ 'tmux', '-V' ], '>', \my $version);
	# In a short path; a file for each server, since one that is told to end may still answer.
	my $tmux_dir = PostgreSQL::Test::Utils::tempdir_short();
	my $server = 0;
	my $tmux = sub {
		my ($out, $err) = ('', '');

		IPC::Run::run([ 'tmux', '-S', "$tmux_dir/$server", '-f', '/dev/null', @_ ], '<', \undef, '>', \$out, '2>', \$err,
			init => sub { $ENV{LC_ALL} = 'C.UTF-8'; $ENV{TERM} = 'xterm' });
		return $out;
	};
	my $shows = sub {
		my ($name, $expected) = @_;
		my $screen = '';

		for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
		{
			$screen = $tmux->('capture-pane', '-p');
			last if $screen =~ $expected;
			usleep(100_000);
		}
		like($screen, $expected, "top: $name");
	};
	my $key = sub { $tmux->('send-keys', @_) };

	sql("select taskq.resume_queue('mail'), taskq.submit('mail', '1'), taskq.submit('mail', '2')");
	foreach my $size ([ 40, 10 ], [ 80, 24 ], [ 160, 50 ])
	{
		my ($columns, $lines) = @$size;

		$tmux->('kill-server');
		$server++;
		$tmux->('new-session', '-d', '-x', $columns, '-y', $lines, 'build/cli/taskq top --interval 1; echo status $?; sleep 1000');
		$shows->("$columns x $lines", qr/\Ataskq top: workers +every 1 s\n *QUEUE +PENDING +DUE +RUNNING.*^mail +\d+ .*^Enter open  Tab next  s sort  \/ filter/ms);
		is(scalar(my @all = split /\n/, $tmux->('capture-pane', '-p')), $lines, "top: $lines lines") if $lines > 10;
	}
	$key->('?');
	$shows->('help', qr/^Space +freeze$/m);
	$key->('?');
	$key->('/');
	$key->('mai');
	$shows->('a filter', qr/queues with mai +every.*^mail .*^queues with: mai_$/ms);
	unlike($tmux->('capture-pane', '-p'), qr/^default /m, 'top: and no other queue');
	$key->('Enter');
	$key->('p');
	$shows->('a question', qr/^pause queue mail\? \[y\/N\]$/m);
	$key->('n');
	$key->('p');
	$key->('y');
	$shows->('a paused queue', qr/^mail .* paused/m);
	is(sql("select paused from taskq.queues where queue = 'mail'"), 't', 'top: which is paused');
	$key->('p');
	$shows->('another question', qr/^resume queue mail\? \[y\/N\]$/m);
	$key->('y');
	$shows->('the queue goes on', qr/^mail .* [\d.]+$/m);
	sql("select count(taskq.finish(t.id, t.token)) from taskq.acquire('mail') t");
	$shows->('a rate', qr/^mail .*\x{e2}\x{96}\x{88}/m);
	$key->('Tab');
	$shows->('endpoints', qr/\Ataskq top: endpoints.*^ENDPOINT +CIRCUIT/ms);
	$key->('Tab');
	$shows->('failures', qr/\Ataskq top: failures.*^ID +QUEUE +KIND/ms);
	$key->('Enter');
	$shows->('tasks of a queue', qr/\Ataskq top: tasks of mail.*^ID +STATE +KIND.*^(\d+) +\w+ /ms);
	my ($newest) = $tmux->('capture-pane', '-p') =~ /^(\d+) /m;
	$key->('Enter');
	$shows->('a task', qr/\Ataskq top: task $newest .*^id +$newest\nqueue +mail$/ms);
	$key->('Escape');
	$shows->('back', qr/\Ataskq top: tasks of mail/);
	$key->('Escape');
	$shows->('and back', qr/\Ataskq top: workers/);
	$key->('Space');
	$shows->('frozen', qr/\A.* frozen$/m);
	$key->('Space');
	$key->('+');
	$shows->('the interval', qr/\A.* every 2 s$/m);
	$tmux->('resize-window', '-x', '50', '-y', '12');
	$shows->('after a resize', qr/\Ataskq top: workers, queues.* every 2 s\n *QUEUE.*^mail .*^Enter open.{0,50}\n+\z/ms);

	# The database is slow, and then gone.
	my $lock = $node->background_psql('postgres');
	$lock->query_safe('begin; lock table taskq_private.queue in access exclusive mode');
	$shows->('stale', qr/ stale, \d+ s\n.*^canceling statement due to statement timeout$/ms);
	$lock->query_safe('commit');
	$lock->quit;
	$shows->('fresh again', qr/ every 2 s$/m);
	sql("select pg_terminate_backend(pid) from pg_stat_activity where query ~ 'taskq.(queue_stats|workers)' and pid <> pg_backend_pid()");
	$shows->('no connection', qr/^taskq: the connection was lost\nstatus 4$/m);
	$tmux->('kill-server');
	$tmux->('new-session', '-d', '-x', '80', '-y', '24', 'build/cli/taskq top; echo status $?; sleep 1000');
	$shows->('once more', qr/^mail /m);
	$key->('q');
	$shows->('quit', qr/^status 0$/m);
	$tmux->('kill-server');

	# Commands that last.
	$server++;
	append_to_file("$dir/many", "1\n" x 20000);
	$tmux->('new-session', '-d', '-x', '120', '-y', '24', 'bash');
	$key->("build/cli/taskq submit mail --lines $dir/many --batch 1 --kind bulk >/dev/null", 'Enter');
	$shows->('progress of a file', qr/^submit mail \x{e2}\x{96}\x{95}.*\x{e2}\x{96}\x{8f} \d+ %  \d[\d ]*   [\d ]+\/s   \d+ s left$/m);
	$key->('C-c');
	wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where query ~ 'submit_many' and pid <> pg_backend_pid()");
	my $bulk = sql("select count(*) from taskq.tasks where kind = 'bulk'");
	$key->('build/cli/taskq cancel --queue mail --kind bulk', 'Enter');
	my $at_least = $bulk < 1000 ? $bulk : '1000\+';
	$shows->('how many', qr/^cancel $at_least tasks of "mail" that match\? \[y\/N\]/m);
	$key->('y', 'Enter');
	wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where kind = 'bulk' and state <> 'cancelled'");
	$key->('build/cli/taskq redrive mail --kind bulk --state cancelled --dry-run; build/cli/taskq redrive mail --kind bulk --state cancelled', 'Enter');
	$shows->('how many ended ones', qr/^$bulk\n.*^bring back $at_least ended tasks of "mail" that match\? \[y\/N\]/ms);
	$key->('n', 'Enter');
	$shows->('nothing is done', qr/nothing was done/);
	$tmux->('kill-server');
}

runs('queue drop', [ 'queue', 'drop', 'mail', '--force', '--yes' ], 0, '');
runs('queue drop again', [ 'queue', 'drop', 'mail', '--yes' ], 3, '', qr/mail: there is no such queue/);

# ---- the examples of the manual run, in their order ---------------------------------------------------------

sql("select taskq.resume_queue('default')");
foreach my $name (@names)
{
	my ($of_command) = (taskq(split(/ /, $name), '--help'))[1] =~ /^Examples:\n(.*?)\n\n/ms;
	foreach my $line (split /\n/, $of_command // '')
	{
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'sh', '-c', $line ], '<', \undef, '>', \$out, '2>', \$err,
			init => sub { $ENV{PATH} = "build/cli:$ENV{PATH}" });
		ok(($? >> 8) =~ /^[03]$/, "example:$line") or diag("$out$err");
	}
}

# ---- docs/cli.md: its blocks, in their order ----------------------------------------------------------------

sql("select taskq.drop_queue('mail', true), taskq.unschedule('report'), taskq.drop_retry_policy('slow')");
my $doc = slurp_file('docs/cli.md');
while ($doc =~ /^```sh\n(.*?)^```$/gms)
{
	foreach my $line (split /\n/, $1)
	{
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'sh', '-c', $line ], '<', \undef, '>', \$out, '2>', \$err,
			init => sub { $ENV{PATH} = "build/cli:$ENV{PATH}" });
		is($? >> 8, 0, "docs/cli.md: $line") or diag("$out$err");
	}
}
$node->stop;
done_testing();
