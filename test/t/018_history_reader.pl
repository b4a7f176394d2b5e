# 018_history_reader.pl
#		A session reads the history while the executor wants to drop what has expired
#		of it: no other session waits, and it is dropped afterwards.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

# Seconds.  The executor tries once a minute; here a client tries 20 times a second, so
# more time than this shows nothing else.
my $hold = 20;
my $clients = 2;
# Who waits for a lock is logged.
my $node = taskq_node('main', conf => "log_lock_waits = on\ndeadlock_timeout = '20 ms'");
my @expired = (20200101, 20200102, 202001);
my $expired_names = join ', ', map { "'history_$_'" } @expired;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Starts pgbench for as long as the reader holds on.
sub bench
{
	my ($clients, $text) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	my %bench = (out => '', err => '');

	append_to_file($script, $text);
	$bench{run} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-T', $hold, '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>', \$bench{out}, '2>', \$bench{err});
	return \%bench;
}

sub expired_tables
{
	return sql("select count(*) from pg_class where relname in ($expired_names) and relnamespace = 'taskq_private'::regnamespace");
}

# ---- what has expired -------------------------------------------------------------------

# Tables as taskq_private.make_history() made them in their time, with a row each, and a
# row that found no table.
wait_executor($node);
sql('select taskq.arm()');
wait_query($node, 'postgres', "select count(*) > 0 from pg_inherits where inhparent = 'taskq_private.history'::regclass");
foreach my $bucket (@expired, 'rest')
{
	my $year = '2020-01-01 00:00:00+00';
	sql(<<"END") unless $bucket eq 'rest';
set role taskq_owner;
create table taskq_private.history_$bucket (like taskq_private.history including constraints);
create index history_${bucket}_id on taskq_private.history_$bucket (id);
alter table taskq_private.history attach partition taskq_private.history_$bucket for values in ($bucket);
END
	sql("insert into taskq_private.history_$bucket (bucket, id, state, priority, push, attempt, max_attempts, submitted_at, run_at,
			ended_at, queue)
		select " . ($bucket eq 'rest' ? $expired[0] : $bucket) . ", nextval('taskq_private.task_id'), 'finished', 0, false, 1, 25,
			'$year', '$year', '$year', 'default'");
}
is(sql("select count(*) from taskq.tasks where ended_at < '2021-01-01'"), '4', 'tasks that have expired are there');

# ---- a reader, and the executor's maintenance -----------------------------------------------

sql('create table calls (what text, took interval)');
sql('create table seen (waiting int, tables int)');
my $expired_oids = "'{" . sql("select string_agg(oid::text, ',') from pg_class where relname in ($expired_names)") . "}'";
sql('select taskq.stop_executor()');
my $reader = $node->background_psql('postgres');
$reader->set_query_timer_restart;
$reader->query_safe('begin isolation level repeatable read');
$reader->query_safe('declare everything cursor for select id from taskq.tasks');
$reader->query_safe('fetch 1 from everything');
is( sql("select count(*) from pg_locks l join pg_class c on c.oid = l.relation
		where l.mode = 'AccessShareLock' and c.relname in ('history', 'history_rest', $expired_names)"),
	'5', 'a reader holds the history');

my $offset = log_size($node);
my $began = time();
is(sql('select taskq.start_executor()'), 't', 'an executor begins with looking after the history');
# That would be once a minute; here it is all the time.
my $dropper = bench(1, "select taskq_private.drop_history();\n\\sleep 50 ms\n");

# Each call in a transaction of its own, with the time it took; and each client
# with a queue of its own, or one might take away what another is about to acquire.
sql("select taskq.create_queue('work' || n) from generate_series(0, $clients - 1) n");
my $calls = '';
foreach my $round (1, 2)
{
	my $end = $round == 1 ? 'finish' : 'fail';
	my %text = (
		submit => q{select taskq.submit('work' || :client_id, '1') as id \gset},
		acquire => q{select id, token from taskq.acquire('work' || :client_id) \gset},
		finish => q{select taskq.finish(:id, :token, '1') as ended \gset},
		fail => q{select taskq.fail(:id, :token, 'x', retryable => false) as ended \gset},
		result => q{select state, ended_at from taskq.result(:id) \gset});
	foreach my $what ('submit', 'acquire', $end, 'result')
	{
		$calls .= "select extract(epoch from clock_timestamp()) as t \\gset\n$text{$what}\n";
		$calls .= "insert into calls select '$what', clock_timestamp() - to_timestamp(:t);\n";
	}
}
my $work;
{
	# Whoever has to wait longer than that fails, and pgbench with it.
	local $ENV{PGOPTIONS} = '-c lock_timeout=500 -c statement_timeout=500';
	$work = bench($clients, "$calls\\sleep 20 ms\n");
}

# What maintenance does meanwhile.
my $watch = bench(1, <<"END");
insert into seen select (select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'),
	(select count(*) from pg_class where oid = any ($expired_oids));
\\sleep 30 ms
END
$_->{ok} = $_->{run}->finish foreach $work, $dropper, $watch;
my $held = time() - $began;

cmp_ok($held, '>=', $hold, sprintf('%.0f s later', $held));
my ($waits, $least) = split /\|/, sql('select count(*) filter (where waiting > 0), min(tables) from seen');
is($waits, 0, 'maintenance was never seen waiting for the reader');
my ($attempts) = $dropper->{out} =~ /number of transactions actually processed: (\d+)/;
cmp_ok($attempts // 0, '>', $hold, 'it gave up and tried again, ' . ($attempts // 0) . ' times');
ok($dropper->{ok}, 'without an error') or diag($dropper->{err});
is($least, scalar @expired, 'and has dropped nothing under the reader');

ok($work->{ok}, 'whoever worked met no error, and so did not wait for 500 ms') or diag($work->{err});
# An entry about a wait, or an error, ends with the statement.
my @waiting = log_since($node, $offset) =~ /STATEMENT:  ([^\n]*)/g;
is(join(', ', @waiting), '', 'the log has nobody who waited for a lock');
foreach my $what ('submit', 'acquire', 'finish', 'fail', 'result')
{
	my ($count, $slowest) = split /\|/,
	  sql("select count(*), round(1000 * extract(epoch from max(took))) from calls where what = '$what'");
	cmp_ok($count, '>', 2 * $hold, "$what: called $count times");
	cmp_ok($slowest || 0, '<', 1000, "$what: the slowest took $slowest ms");
}

# ---- afterwards -----------------------------------------------------------------------------------

like($reader->query_safe("fetch all from everything"), qr/^\d+\n\d+$/m, 'the reader reads on');
sql('select taskq.stop_executor()');
$reader->query_safe('commit');
$reader->quit;
is(expired_tables(), scalar @expired, 'the reader has gone');
sql('select taskq.start_executor()');
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at < '2021-01-01'");
is(expired_tables(), '0', 'and the executor drops what has expired');
cmp_ok(sql("select count(*) from taskq.tasks where state in ('finished', 'dead')"), '>', 2 * $hold, 'that, and nothing else');
is(sql('select count(*) from taskq_private.task'), '0', 'nothing was left undone');
is_consistent($node, 'in the end');

$node->stop;
log_is_clean($node);
done_testing();
