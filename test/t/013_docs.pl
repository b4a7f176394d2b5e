# 013_docs.pl
#		The documentation: its examples run and show what they say, its
#		signatures, roles and error codes are those of the extension.
#
# The ```sql blocks of a file are one psql script, run in a database of its
# own.  A block fails the test if a statement of it fails; one that is followed
# by the comment <!-- error: CODE --> must fail with that code, once.  A ```text
# block right after is what psql must print; widths do not count, and an
# ellipsis stands for anything.  Example hosts are places of the receiver, so
# no name is looked up and nothing leaves this machine.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $top = dirname(__FILE__) . '/../..';
my $node = taskq_node('main', extension => 0, conf => "max_connections = 50\nwal_level = logical");
my $receiver = TaskqTest::Receiver->start;

# What the servers of the examples answer, in the receiver's words.
my %hosts = (
	'hooks.example.com' => '/ok',
	'flaky.example.com' => '/fail/1',
	'down.example.com' => '/status/500',
	'gone.example.com' => '/status/410');

sub to_receiver
{
	my ($text) = @_;

	$text =~ s{https?://$_\b}{$receiver->url($hosts{$_})}ge foreach keys %hosts;
	return $text;
}

sub from_receiver
{
	my ($text) = @_;

	foreach my $host (keys %hosts)
	{
		my $url = $receiver->url($hosts{$host});
		$text =~ s{\Q$url\E}{https://$host}g;
	}
	return $text;
}

# ---- taking a file apart ---------------------------------------------------------------

# The fenced blocks of a file, in order: language, text, the line it begins at,
# and the text between it and the next one.
sub blocks
{
	my ($file) = @_;
	my $text = slurp_file("$top/$file");
	my @blocks;

	while ($text =~ /^```(\w+)\n(.*?)^```\n(.*?)(?=^```\w|\z)/gms)
	{
		my ($language, $body, $after, $start) = ($1, $2, $3, $-[0]);
		push @blocks,
		  {
			language => $language,
			text => $body,
			after => $after,
			line => 1 + (substr($text, 0, $start) =~ tr/\n//)
		  };
	}
	return @blocks;
}

# The examples: ```sql blocks with the error they expect and what they print.
sub examples
{
	my ($file) = @_;
	my @blocks = blocks($file);
	my @examples;

	foreach my $i (0 .. $#blocks)
	{
		my ($block, $next) = @blocks[ $i, $i + 1 ];
		next unless $block->{language} eq 'sql';
		my $error = $block->{after} =~ /\A\s*<!-- error: (\w{5}) -->/ ? $1 : '';
		my $shown = $next && $next->{language} eq 'text' && $block->{after} =~ /\A\s*(?:<!--.*?-->\s*)?\z/;
		push @examples,
		  { %$block, name => "$file:$block->{line}", error => $error, shown => $shown ? $next->{text} : undef };
	}
	return @examples;
}

# ---- running the examples --------------------------------------------------------------

# The script, with a marker behind each example; notes on which lines it stands.
sub script_of
{
	my (@examples) = @_;
	my $script = "\\set VERBOSITY verbose\n\\pset pager off\n";

	foreach my $e (@examples)
	{
		my $text = to_receiver($e->{text});
		$script .= '\set ON_ERROR_STOP ' . ($e->{error} ? 0 : 1) . "\n";
		$e->{first} = 1 + ($script =~ tr/\n//);
		$script .= $text;
		$e->{last} = $script =~ tr/\n//;
		$script .= "\\echo <<$e->{line}>>\n";
	}
	return $script;
}

# Codes of the errors that psql reported for an example; what is no SQL error as it is.
sub errors_of
{
	my ($e, $stderr) = @_;
	my @errors;

	while ($stderr =~ /^psql:\S+?:(\d+): (.*)$/mg)
	{
		my ($line, $message) = ($1, $2);
		next if $line < $e->{first} || $line > $e->{last};
		push @errors, $message =~ /^(?:ERROR|FATAL):\s+(\w{5}):/ ? $1 : $message;
	}
	return join ' ', @errors;
}

# What counts of psql's output: not the widths of columns.
sub normal
{
	my ($text) = @_;

	return join "\n", map { s/-{2,}/--/gr =~ s/[ ]+/ /gr =~ s/^ | $//gr } grep { /\S/ } split /\n/, $text;
}

sub shows
{
	my ($e, $output) = @_;
	my $got = normal(from_receiver($output));
	my $pattern = join '.*', map { quotemeta } split /\x{e2}\x{80}\x{a6}/, normal($e->{shown}), -1;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($got, qr/\A$pattern\z/, "$e->{name} prints what it shows");
	return;
}

# Runs a file's examples in a database of that name, which is made; two tests an example.
sub run_file
{
	my ($file, $database) = @_;
	my @examples = examples($file);
	my $script = PostgreSQL::Test::Utils::tempdir() . "/$database.sql";
	my ($stdout, $stderr);

	cmp_ok(scalar(@examples), '>', 0, "$file has examples");
	unlike(join('', map { to_receiver($_->{text}) } grep { !$_->{error} } @examples),
		qr{https?://(?!127\.0\.0\.1:)}, "$file: every host is the receiver's") or return;
	append_to_file($script, script_of(@examples));
	IPC::Run::run([ 'psql', '-Xq', '-f', $script, $node->connstr($database) ],
		'<', \undef, '>', \$stdout, '2>', \$stderr);
	foreach my $e (@examples)
	{
		my $reached = $stdout =~ s/\A(.*?)^<<$e->{line}>>\n//ms;
		my $output = $1;
		is(errors_of($e, $stderr), $e->{error}, "$e->{name} " . ($e->{error} ? "fails with $e->{error}" : 'runs'))
		  or diag($stderr);
		unless ($reached)
		{
			fail("$e->{name} is reached");
			last;
		}
		shows($e, $output) if defined $e->{shown};
	}
	return;
}

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
	my $readme = slurp_file("$top/README.md");
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
		like($readme, qr/`[^`\n]*\b$name\b/, "$name: in the README");
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

# Links within the repository lead somewhere.
sub check_links
{
	my ($file) = @_;
	my $text = slurp_file("$top/$file");
	my $dir = dirname("$top/$file");
	my @broken;

	while ($text =~ /\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)
	{
		my ($path, $anchor) = ($1 eq '' ? "$top/$file" : "$dir/$1", $2);
		push @broken, $path and next unless -e $path;
		my %anchors = map { lc =~ s/[^\w\- ]//gr =~ s/ /-/gr => 1 } slurp_file($path) =~ /^#+ (.*)$/mg;
		push @broken, "$path#$anchor" if defined $anchor && !$anchors{$anchor};
	}
	is("@broken", '', "$file: links");
	return;
}

# ---- README.md -----------------------------------------------------------------------

make_database('readme', 0);
run_file('README.md', 'readme');
my ($order) = $receiver->wait_requests(1, '/ok/orders');
is($order->{body}, '{"order": 4711, "state": "paid"}', 'README.md: the push example arrives');
wait_query($node, 'readme', q{select bool_and(state = 'finished') from taskq.tasks});
pass('README.md: every task has finished');
is($node->safe_psql('readme', 'select owner, balance from account'), 'ada|10', 'README.md: the account is credited once');

# ---- docs/sql.md ---------------------------------------------------------------------

make_database('sql', 1);
run_file('docs/sql.md', 'sql');
check_reference();

# ---- docs/patterns.md ------------------------------------------------------------------

make_database('patterns', 1);
run_file('docs/patterns.md', 'patterns');

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
my ($python) = grep { $_->{language} eq 'python' } blocks('docs/patterns.md');
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
run_file('docs/operate.md', 'operate');

# ---- docs/schedules.md -----------------------------------------------------------------

# 050_schedules.pl has its table.
make_database('schedules', 1);
run_file('docs/schedules.md', 'schedules');

# ---- docs/flow.md ----------------------------------------------------------------------

make_database('flow', 1);
run_file('docs/flow.md', 'flow');

# ---- docs/monitoring.md ----------------------------------------------------------------

# 058_metrics.pl has its tables.
make_database('monitoring', 1);
run_file('docs/monitoring.md', 'monitoring');

# ---- docs/serve.md ---------------------------------------------------------------------

# 055_serve.pl has its routes and the configuration of nginx.
make_database('serve', 1);
run_file('docs/serve.md', 'serve');

check_links($_) foreach 'README.md', 'docs/sql.md', 'docs/patterns.md', 'docs/http.md', 'docs/operate.md', 'docs/schedules.md', 'docs/flow.md', 'docs/cli.md', 'docs/perfectqueue.md', 'docs/monitoring.md', 'docs/serve.md';

$node->stop;
log_is_clean($node);
done_testing();
