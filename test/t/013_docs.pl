# 013_docs.pl
#		The documentation: its examples run and show what they say, its
#		signatures, roles and error codes are those of the extension.
#
# TaskqDocs.pm tells how examples are run; 067_guides.pl has the pages for beginners, and
# lint_docs.py what can be judged without a server, such as links.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqDocs;
use TaskqTest;

my $top = dirname(__FILE__) . '/../..';
my $node = taskq_node('main', extension => 0, conf => "max_connections = 50\nmax_worker_processes = 30\nwal_level = logical");
my $receiver = TaskqTest::Receiver->start;

# What the servers of the examples answer, in the receiver's words.
my $docs = TaskqDocs->new(
	$node, $receiver,
	hosts => {
		'hooks.example.com' => '/ok',
		'flaky.example.com' => '/fail/1',
		'down.example.com' => '/status/500',
		'gone.example.com' => '/status/410'
	});

# For pages with commands for the shell.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $shell = TaskqDocs->new(
	$node, $receiver,
	sh => 1,
	hosts => $docs->{hosts},
	words => {
		'-U backup -Fc -f app.dump app' => "-U backup -Fc -f $dir/app.dump operate",
		'dbname=app' => 'dbname=monitoring',
		'/var/lib/prometheus/node-exporter' => $dir });

sub make_database
{
	my ($database, $extension) = @_;

	$node->safe_psql('template1', "create database $database");
	add_taskq($node, $database) if $extension;
	return;
}

# ---- the reference against the catalogs --------------------------------------------------

# The sections of a file: name => text.
sub sections
{
	my ($file) = @_;
	my $text = slurp_file("$top/$file");
	my %sections;

	$sections{$1} = $2 while $text =~ /^### (\w+)\n(.*?)(?=^##|\z)/gms;
	return %sections;
}

# What a query returns, a row as an array.
sub rows
{
	my ($query) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('sql', $query);
}

# The signature that a section begins with is made a function, so that the
# server itself says whether it is the same.
sub check_signature
{
	my ($name, $kind, $section) = @_;
	my ($signature) = $section =~ /\A\s*```text\n(.*?)^```/ms;
	my $same;

	if ($kind eq 'v')
	{
		$node->safe_psql('sql', 'create table doc.' . $signature);
		my $columns = "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)"
		  . ' from pg_attribute where attnum > 0 and attrelid = ';
		$same = [ map { $node->safe_psql('sql', "$columns '$_.$name'::regclass") } qw(doc taskq) ];
	}
	else
	{
		my $what = $signature =~ s/\Aprocedure // ? 'procedure' : 'function';
		$node->safe_psql('sql',
			"set check_function_bodies = off; create $what doc.$signature language plpgsql as 'begin end'");
		my $parts = "select prokind, pg_get_function_arguments(oid), pg_get_function_result(oid)"
		  . " from pg_proc where proname = '$name' and pronamespace = ";
		$same = [ map { $node->safe_psql('sql', "$parts '$_'::regnamespace") } qw(doc taskq) ];
	}
	is($same->[0], $same->[1], "$name: signature");
	return;
}

sub names_in
{
	my ($pattern, $text) = @_;
	my %found = map { $_ => 1 } $text =~ /$pattern/g;

	return join ' ', sort keys %found;
}

sub check_reference
{
	my %sections = sections('docs/sql.md');
	my $calls = slurp_file("$top/docs/calls.md");
	my ($contents) = slurp_file("$top/docs/sql.md") =~ /^(- \[Errors\].*?)^Pass arguments/ms;
	my @public = rows(<<'SQL');
select proname, prokind::text, replace(obj_description(oid, 'pg_proc'), chr(10), ' '), (select string_agg(r, ' ' order by r)
	from unnest(array['taskq_admin', 'taskq_reader', 'taskq_submitter', 'taskq_worker']) r where has_function_privilege(r, p.oid, 'execute'))
from pg_proc p where pronamespace = 'taskq'::regnamespace and proname !~ '^_'
union all
select relname, 'v', '', (select string_agg(r, ' ' order by r)
	from unnest(array['taskq_admin', 'taskq_reader', 'taskq_submitter', 'taskq_worker']) r where has_table_privilege(r, c.oid, 'select'))
from pg_class c where relnamespace = 'taskq'::regnamespace and relkind = 'v'
order by 1
SQL

	is(join(' ', sort keys %sections), join(' ', map { $_->[0] } @public), 'docs/sql.md has what there is');
	$node->safe_psql('sql', 'create schema doc');
	foreach my $object (@public)
	{
		my ($name, $kind, $comment, $roles) = @$object;
		my $section = $sections{$name} // next;
		my ($errors) = $section =~ /^- (Errors: .*?)(?=^- |^$)/ms;
		my ($granted) = $section =~ /^- (Roles: .*?)(?=^- |^$)/ms;

		check_signature($name, $kind, $section);
		like($calls, qr/`[^`\n]*\b$name\b/, "$name: in docs/calls.md");
		like($contents, qr/`$name`/, "$name: in the contents of docs/sql.md");
		if ($kind eq 'v')
		{
			is($roles, 'taskq_admin taskq_reader' . ($name =~ /^schedule/ ? ' taskq_submitter' : ''), "$name: roles");
			next;
		}
		is(names_in(qr/\btaskq_\w+/, $granted // ''), $roles, "$name: roles");
		my @missing = grep { ($errors // '') !~ /$_/ } $comment =~ /\b(TQ\d{3}|25006)\b/g;
		is("@missing", '', "$name: every error code of its comment");
	}
	return;
}

# ---- docs/sql.md ---------------------------------------------------------------------

make_database('sql', 1);
$docs->run_file('docs/sql.md', 'sql');
check_reference();

# ---- docs/patterns.md ------------------------------------------------------------------

make_database('patterns', 1);
$docs->run_file('docs/patterns.md', 'patterns');

# What is said about Idempotency-Key: one in all attempts of a task, and after
# retry(); another for another task, and after on_duplicate => 'replace'.
sub keys_of
{
	my ($count, $path) = @_;

	return map { $_->{headers}{'idempotency-key'} } $receiver->wait_requests($count, $path);
}

my ($first, $second) = keys_of(2, '/fail/1/payments');
is($first, $second, 'Idempotency-Key: the same in the second attempt');

my $dead = $node->safe_psql('patterns', "select taskq.submit_http('" . $receiver->url('/status/410/dead') . "')");
wait_state($node, $dead, 'dead', 'patterns');
$node->safe_psql('patterns', "select taskq.retry($dead)");
my ($before, $after) = keys_of(2, '/status/410/dead');
is($before, $after, 'Idempotency-Key: the same after retry()');
isnt($before, $first, 'Idempotency-Key: another for another task');

sub submit_replaced
{
	my ($path) = @_;

	return $node->safe_psql('patterns', "select taskq.submit_http('" . $receiver->url($path)
		. "', key => 'replaced', retry => 'webhook', on_duplicate => 'replace')");
}

my $replaced = submit_replaced('/status/503/replaced?ra=3600');
wait_query($node, 'patterns', "select state = 'pending' and attempt = 1 from taskq.tasks where id = $replaced");
is(submit_replaced('/ok/replaced'), $replaced, 'a task that will be tried again is replaced');
my ($old) = keys_of(1, '/status/503/replaced');
my ($new) = keys_of(1, '/ok/replaced');
isnt($old, $new, 'Idempotency-Key: another after a replace');

# The worker: does what is there, fails what it cannot do, is told to stop.
my ($python) = grep { $_->{language} eq 'python' } $docs->blocks('docs/patterns.md');
my $worker = PostgreSQL::Test::Utils::tempdir() . '/worker.py';
my ($out, $err) = ('', '');
append_to_file($worker, $python->{text});
$node->safe_psql('patterns', "select taskq.create_queue('py', retry => 'none')");

sub submit
{
	my ($payload) = @_;

	return $node->safe_psql('patterns', "select taskq.submit('py', '$payload')");
}

my @easy = map { submit(qq({"say": "it''s $_"})) } 1 .. 3;
my $bad = submit('{"shout": "x"}');
my $run = IPC::Run::start([ 'python3', $worker, $node->connstr('patterns'), 'py', 3 ], '<', \undef, '>', \$out, '2>', \$err);
wait_state($node, $_, 'finished', 'patterns') foreach @easy;
is($node->safe_psql('patterns', "select result from taskq.result($easy[2])"), q({"said": "it's 3"}), 'worker.py: a result');
wait_state($node, $bad, 'dead', 'patterns');
is($node->safe_psql('patterns', "select error from taskq.result($bad)"), q(KeyError: 'say'), 'worker.py: an error');
my $later = submit('{"say": "later"}');
wait_state($node, $later, 'finished', 'patterns');
pass('worker.py: woken by a submit');
my $slow = submit('{"say": "slow", "seconds": 60}');
wait_state($node, $slow, 'running', 'patterns');
my $until = "select lease_until from taskq.tasks where id = $slow";
my $lease = $node->safe_psql('patterns', $until);
wait_query($node, 'patterns', "select lease_until > '$lease'::timestamptz + interval '1 s' from taskq.tasks where id = $slow");
is($node->safe_psql('patterns', "select attempt from taskq.tasks where id = $slow"), '1', 'worker.py: keeps its lease by heartbeats');
$node->safe_psql('patterns', "select taskq.cancel($slow, 'enough')");
wait_state($node, $slow, 'cancelled', 'patterns');
pass('worker.py: stops what is cancelled');
my $last = submit('{"say": "last", "seconds": 60}');
wait_state($node, $last, 'running', 'patterns');
$run->signal('TERM');
$run->finish;
is($run->result(0), 0, 'worker.py: told to stop, it ends') or diag($err);
is($node->safe_psql('patterns', "select state, attempt from taskq.tasks where id = $last"), 'pending|0',
	'worker.py: and gives its task back');

# ---- docs/operate.md -------------------------------------------------------------------

make_database('operate', 1);
$shell->run_file('docs/operate.md', 'operate');

# ---- docs/schedules.md -----------------------------------------------------------------

# 050_schedules.pl has its table.
make_database('schedules', 1);
$docs->run_file('docs/schedules.md', 'schedules');

# ---- docs/flow.md ----------------------------------------------------------------------

make_database('flow', 1);
$docs->run_file('docs/flow.md', 'flow');

# ---- docs/http.md ----------------------------------------------------------------------

make_database('http', 1);
$docs->run_file('docs/http.md', 'http');

# ---- docs/composition.md ---------------------------------------------------------------

make_database('composition', 1);
$docs->run_file('docs/composition.md', 'composition');

# ---- docs/monitoring.md ----------------------------------------------------------------

# 058_metrics.pl has its tables.
make_database('monitoring', 1);
$shell->run_file('docs/monitoring.md', 'monitoring');

$node->stop;
log_is_clean($node);
done_testing();
