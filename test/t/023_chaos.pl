# 023_chaos.pl
#		Everything at once, round after round, and in each round a process of the server
#		is killed: nothing is lost, nothing is done twice, no token comes again, each event is read
#		once, each call takes effect once and has its values.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

# TASKQ_CHAOS_SECONDS is for `make soak`: so long instead, with hardly any memory for dispatch, while an
# administrator rebuilds tables and indexes and changes queues, and at the end with amcheck.
#
# Rounds, not seconds: what is tested does not depend on how busy the machine is.
# So many clients that most of them wait for a core or for each other; to start more
# takes longer than what they do until the server is killed.
my $ROUNDS = $ENV{TASKQ_CHAOS_ROUNDS} // 15;
my $CLIENTS = 32;
my $SOAK = $ENV{TASKQ_CHAOS_SECONDS} // 0;

# What is killed when, and what the clients do: to a degree, for there is also the clock.
my $seed = $ENV{TASKQ_CHAOS_SEED} // int(rand(1 << 31));
srand($seed);
note("TASKQ_CHAOS_SEED=$seed");

# fsync = off: the system stays up.  What the server had not written by then is lost all the same.
# No parallel maintenance: an assertion of PostgreSQL fails if the postmaster dies meanwhile.
my $node = taskq_node('main', conf => <<'END');
max_connections = 120
max_prepared_transactions = 200
max_parallel_maintenance_workers = 0
fsync = off
log_statement = none
log_line_prefix = '%m [%p] %e '
END
$node->adjust_conf('postgresql.conf', 'taskq.dispatch_memory', "'64kB'") if $SOAK;
$node->restart if $SOAK;
my @killed;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- what the clients do ------------------------------------------------------------------

# made: each submit; claims: claims that are durable; given: what was given up
# again; done: the work, done in the transaction that finishes the task.
# seen: the events that were read, with the cursor in the same transaction; emits: values; called and
# call_done: calls that were submitted, and what their function has done.
sql(<<'END');
create table made (id bigint);
create table claims (id bigint, token bigint, at timestamptz, until timestamptz);
create table given (token bigint);
create table done (id bigint);
create table place (cursor text);
create table seen (id bigint, event text);
create table emits (id bigint, n int);
create table called (id bigint);
create table call_done (id bigint);
create role chaos_caller login;
grant insert on called, call_done to chaos_caller;
select taskq.create_queue('chaos', keep_key => '10 ms', lease_for => '300 ms', events => '{value, finished}');
select taskq.grant_queue('call', 'chaos_caller', '{submit}');
select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms');
insert into place select cursor from taskq.events_after();
create function make_call() returns setof int language sql as $$
	insert into public.call_done values (taskq.current_task());
	select n / (case when n = 2 and random() < 0.2 then 0 else 1 end) from generate_series(1, 3) as n
$$;
create function read_events() returns void language plpgsql as $$
declare
	place_ text;
begin
	select cursor into place_ from place for update skip locked;
	if found then
		with e as materialized (select row_number() over () as o, * from taskq.events_after(place_, 300)),
			kept as (insert into seen select task_id, event from e where event is not null)
			update place set cursor = (select e.cursor from e order by o desc limit 1);
	end if;
end
$$;
END

# A statement that acquires, notes the claims, and goes on with "a".
sub acquiring
{
	my ($max, $then) = @_;
	return "with a as materialized (select * from taskq.acquire('chaos', $max)),"
	  . " c as (insert into claims select id, token, clock_timestamp(), lease_until from a) $then";
}

# Sets :ids to those of the newest tasks of the queue.
sub newest
{
	my ($count) = @_;
	return "select quote_literal(coalesce(array_agg(id), '{}')) as ids from (select id from taskq_private.task"
	  . " where queue_id = (select id from taskq_private.queue where name = 'chaos') order by id desc limit $count) x \\gset\n";
}

my $work = acquiring(':n', 'insert into done select id from a where taskq.finish(id, token)') . ";\n";
my $submit = "insert into made select taskq.submit('chaos', to_jsonb(:n), priority => :n % 3, max_attempts => 20);\n";
my $submit_many = "insert into made select taskq.submit_many('chaos', (select array_agg(to_jsonb(i)) from generate_series(1, :n) i));\n";
my $small = "\\set n random(1, 20)\n";
my $large = "\\set n random(900, 1300)\n";
my $gid = "\\set gid random(1, 999999999)\n";
my %mix = (
	submit => [ 20, $small . $submit ],
	submit_later => [ 4, "insert into made select taskq.submit('chaos', delay => '100 ms', max_attempts => 2);\n" ],
	submit_some => [ 4, $small . $submit_many ],
	submit_many => [ 1, $large . $submit_many ],
	submit_many_partly => [ 1, "${large}begin;\n${submit_many}savepoint s;\n${submit_many}rollback to s;\n${submit}commit;\n" ],
	work => [ 30, $small . $work ],
	work_many => [ 4, $large . $work ],
	work_many_rollback => [ 1, "${large}begin;\n${work}rollback;\n" ],
	work_savepoints => [ 5, "${small}begin;\n${submit}savepoint s;\n${work}${submit}rollback to s;\n${work}savepoint t;\n${work}release t;\ncommit;\n" ],
	work_rollback => [ 4, "${small}begin;\n${work}${submit}rollback;\n" ],
	fail => [ 8, acquiring(1, "insert into given select token from a where taskq.fail(id, token, 'x', retry_in => '5 ms') is not null") . ";\n" ],
	fail_for_good => [ 2, acquiring(1, "insert into given select token from a where taskq.fail(id, token, 'x', retryable => false) is not null") . ";\n" ],
	release => [ 5, acquiring(3, "insert into given select token from a where taskq.release(id, token, '1 ms')") . ";\n" ],
	die => [ 2, acquiring(2, 'select count(*) from a') . ";\n" ],
	die_unnoted => [ 2, "select count(*) from taskq.acquire('chaos', 2);\n" ],
	finish_later => [ 10, acquiring(1, 'select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token from a') . " \\gset\n"
		  . "\\set s random(1, 20)\n\\if :s = 1\nselect pg_sleep(0.4);\n\\endif\n"
		  . "insert into done select :id where taskq.finish(:id, :token);\n" ],
	emit => [ 10, acquiring(1, 'select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token from a') . " \\gset\n"
		  . "insert into emits select :id, n from (select taskq.emit(:id, :token, '1') as n) e where n is not null;\n"
		  . "begin;\ninsert into emits select :id, n from (select taskq.emit(:id, :token, '2') as n) e where n is not null;\n"
		  . "insert into done select :id where taskq.finish(:id, :token);\ncommit;\n" ],
	read_events => [ 3, "select read_events();\n" ],
	call => [ 10, "set role chaos_caller;\ninsert into called select taskq.submit_call('public.make_call()', retry => 'soon', max_attempts => 1000);\n"
		  . "reset role;\n" ],
	finish_unnoted => [ 5, "insert into done select id from taskq.acquire('chaos') where taskq.finish(id, token);\n" ],
	prepare_commit => [ 3, "$small${gid}begin;\n${submit}${work}prepare transaction ':gid';\ncommit prepared ':gid';\n" ],
	prepare_rollback => [ 2, "$small${gid}begin;\n${submit}${work}prepare transaction ':gid';\nrollback prepared ':gid';\n" ],
	prepare_leave => [ 1, "$small${gid}\\set m :gid + 1000000000\nselect count(*) > 50 as full from pg_prepared_xacts \\gset\n"
		  . "\\if not :full\nbegin;\n${submit}${work}prepare transaction ':m';\n\\endif\n" ],
	# Only one of them, so that no two meet.
	prepare_end => [ 4, "\\if :client_id = 0\n"
		  . "select coalesce(min(gid::bigint), 0) as m from pg_prepared_xacts where gid::bigint > 1000000000 \\gset\n"
		  . "\\if :m > 0 and :m % 2 = 0\ncommit prepared ':m';\n\\elif :m > 0\nrollback prepared ':m';\n\\endif\n\\endif\n" ],
	cancel_key => [ 2, "\\set k random(1, 20)\nselect taskq.cancel_key('chaos', 'k' || :k);\n" ],
	retry => [ 2, <<'END' ],
do $$ begin perform taskq.retry(id) from (select id from taskq_private.all_history where queue = 'chaos' and state in ('dead', 'cancelled')
	order by ended_at desc limit 3) x; exception when sqlstate 'TQ003' or sqlstate 'TQ009' then null; end $$;
END
	redrive => [ 1, "select taskq.redrive('chaos', '{dead, cancelled}', max_tasks => 10, spread => '20 ms');\n" ],
	# The ids are read in a transaction of their own: who reads the table, and then writes it, can meet
	# an administrator who has locked it in between.
	reschedule => [ 3, newest(3) . "select count(taskq.reschedule(id, now() + interval '5 ms', 0)) from unnest(:ids::bigint[]) id;\n" ],
	# An id may not be known any more.
	submit_after => [ 3, newest(5) . <<'END' ],
do $$ begin insert into made select taskq.submit('chaos', after => :ids, after_failure => 'run', max_attempts => 20);
exception when sqlstate 'TQ004' then null; end $$;
END
	# A statement that is cancelled in the middle of it.
	cancelled => [ 6, <<'END' ],
\set n random(1, 500)
\set t random(20, 60)
set statement_timeout = :t;
do $$ begin
	for i in 1 .. 50 loop
		begin
			with a as materialized (select * from taskq.acquire('chaos', :n)) insert into done select id from a where taskq.finish(id, token);
			insert into made select taskq.submit('chaos');
			perform pg_sleep(0.01);
		exception when query_canceled then exit;
		end;
	end loop;
end $$;
set statement_timeout = 0;
END
	wait => [ 1, "call taskq.wait_ready('chaos', '50 ms');\n" ],
	wait_any => [ 1, "call taskq.wait_ready_any('{default, chaos}', '50 ms');\n" ],
	wait_all => [ 1, newest(20) . "call taskq.wait_all(:ids, '50 ms');\nselect count(state) from taskq.results(:ids);\n" ],
	stats => [ 1, "select * from taskq.queue_stats('chaos');\n" ],
);
$mix{"key_$_"} = [ 2, <<"END" ] foreach 'keep', 'replace', 'raise';
\\set k random(1, 20)
do \$\$ begin insert into made select taskq.submit('chaos', key => 'k' || :k, on_duplicate => '$_', max_attempts => 3);
exception when sqlstate 'TQ003' then null; end \$\$;
END

my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
foreach my $name (sort keys %mix)
{
	append_to_file("$dir/$name.sql", $mix{$name}[1]);
	push @files, '-f', "$dir/$name.sql\@$mix{$name}[0]";
}

# ---- what an administrator does, in a soak ------------------------------------------------------

# Each of them may be cancelled half-way.
my @ddl = (
	'vacuum full taskq_private.task', 'vacuum full taskq_private.lease', 'vacuum full taskq_private.key',
	'cluster taskq_private.task using task_pkey', 'reindex table taskq_private.task', 'reindex table taskq_private.lease',
	'reindex table concurrently taskq_private.task', 'reindex table concurrently taskq_private.lease', 'vacuum taskq_private.task',
	'analyze taskq_private.task', 'create index if not exists added on taskq_private.task (max_attempts)',
	'drop index if exists taskq_private.added', 'drop index concurrently if exists taskq_private.added',
	q{create index if not exists sized on taskq_private.task (length(payload::text)) where attempt > 0}, 'drop index if exists taskq_private.sized',
	q{create index if not exists held on taskq_private.lease ((extract(epoch from lease_until - started_at))) where worker is not null},
	'drop index if exists taskq_private.held',
	'create index if not exists ended on taskq_private.history (state, (attempts -> 0)) where attempt > 1', 'drop index if exists taskq_private.ended',
	q{alter table taskq_private.task add if not exists note text default 'note'}, 'alter table taskq_private.task drop if exists note',
	"select taskq.pause_queue('chaos')", "select taskq.resume_queue('chaos')", "select taskq.alter_queue('chaos', lease_for => '300 ms')",
	"select taskq.create_queue('passing')", "select count(taskq.submit('passing')) from generate_series(1, 50)",
	"select taskq.drop_queue('passing', force => true)", "select taskq.submit('other' || n) from generate_series(1, 20) n",
	"select count(*) from generate_series(1, 20) n, taskq.acquire('other' || n, 100) a where taskq.finish(a.id, a.token)",
	"select taskq.stop_executor()", "select taskq.start_executor()", "select taskq_private.sweep()", "select count(*) from taskq.status()",
	'checkpoint', 'discard all', "select pg_advisory_lock(1), taskq.queue_stats('chaos'), pg_advisory_unlock(1)");

# A script of statements in an order of their own.
sub administration
{
	my $file = "$dir/administration.sql";

	open(my $out, '>', $file) or die "could not write $file: $!";
	foreach (1 .. 200)
	{
		my $limit = rand() < 0.5 ? 1 + int(rand(30)) : 2000;
		print $out "set statement_timeout = $limit; \n$ddl[ rand @ddl ];\n";
	}
	close($out);
	return $file;
}

# What a rebuild that was cancelled has left.
sub drop_invalid
{
	foreach my $index (split /\n/, sql('select indexrelid::regclass from pg_index where not indisvalid'))
	{
		sql("drop index if exists $index");
	}
	return;
}

# One test for the worst: in a soak each due task is offered within a second.
sub all_are_offered
{
	sql("select taskq.resume_queue('chaos')");
	my $drain = $work =~ s/:n/1000/r;
	my $due = q{select count(*) from taskq_private.task t where run_at < clock_timestamp() - interval '1 s'
		and queue_id = (select id from taskq_private.queue where name = 'chaos') and not exists (select from taskq_private.lease l where l.id = t.id)};
	my $until = time() + 60;
	my $left = -1;

	while (time() < $until && $left != 0)
	{
		my $before = sql('select count(*) from claims');
		sql($drain);
		last if sql('select count(*) from claims') == $before && ($left = sql($due)) > 0;
		$left = sql($due);
	}
	is($left, 0, 'each due task is offered') if $left != 0;
	return;
}

# ---- rounds -----------------------------------------------------------------------------------

# The answer, if there is a server that gives one.
sub psql
{
	my ($query) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', $query, stdout => \$out, stderr => \$err, on_error_die => 0);
	return $out;
}

sub wait_server
{
	wait_until('the server', sub { return psql('select 1') eq '1' });
	return;
}

# Prepared transactions that nobody will end any more.
sub end_prepared
{
	foreach my $left (split /\n/, sql('select gid from pg_prepared_xacts'))
	{
		sql((rand() < 0.5 ? 'commit' : 'rollback') . " prepared '$left'");
	}
	return;
}

# Kills a process of one kind or another; the server starts again by itself.
sub kill_one
{
	my $kind = rand() < 0.7 ? 'client backend' : '%';
	my $pid = psql("select pid from pg_stat_activity where backend_type like '$kind' and pid <> pg_backend_pid()"
		  . ' order by random() limit 1');
	return 0 unless $pid =~ /^\d+$/;
	return 0 unless kill_backend($node, $pid);
	push @killed, $pid;
	return 1;
}

my ($kills, $restarts) = (0, 0);
my $until = time() + $SOAK;
my $round = 0;
sql("select count(taskq.create_queue('other' || n)) from generate_series(1, 20) n; create extension amcheck") if $SOAK;
while ($SOAK ? time() < $until : $round < $ROUNDS)
{
	$round++;
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $CLIENTS, '-j', 2, '-T', 60, '--random-seed', $seed + $round, @files,
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', "$dir/output", '2>&1');
	my $administrator = $SOAK && IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', administration() ],
		'>', "$dir/administrator", '2>&1');
	wait_until('the clients', sub { return psql("select count(*) > 0 from pg_stat_activity where pid <> pg_backend_pid() and query like '%taskq.%'") eq 't' });
	usleep(300_000 + rand(1_200_000));
	if (rand() < 0.15)
	{
		kill_server($node);
		$node->start;
		$restarts++;
	}
	elsif (kill_one())
	{
		$kills++;
	}
	else
	{
		$load->signal('TERM');
	}
	$load->finish;
	wait_server();
	if ($administrator)
	{
		$administrator->kill_kill;
		wait_until('the end of his statements', sub { return psql("select count(*) from pg_stat_activity where application_name = 'psql' and state = 'active' and pid <> pg_backend_pid()") eq '0' });
	}
	end_prepared();
	next unless $SOAK;
	drop_invalid();
	all_are_offered();
	is_consistent($node, "round $round") if $round % 10 == 0;
	last unless Test::More->builder->is_passing;
}
note("$round rounds, $kills processes and $restarts servers killed");
cmp_ok($kills + $restarts, '>', 2, 'processes were killed again and again');

# ---- what is left ------------------------------------------------------------------------------

wait_until('the queue to drain',
	sub
	{
		my $drain = $work =~ s/:n/1000/r;
		sql($drain);
		return sql(q{select count(*) from taskq.tasks where queue = 'chaos' and ended_at is null}) eq '0';
	}, 60);
# In a soak somebody may have stopped it.
sql('select taskq.start_executor()');
wait_query($node, 'postgres', q{select count(*) = 0 from taskq.tasks where queue = 'call' and ended_at is null});
my $read = -1;
while ($read != (my $seen = sql('select count(*) from seen')))
{
	$read = $seen;
	sql('select read_events()');
}
note(sql("select format('%s events seen, %s values, %s calls', (select count(*) from seen), (select count(*) from emits), (select count(*) from called))"));
note(sql("select format('%s tasks made, %s claims, %s done', (select count(distinct id) from made), (select count(*) from claims), (select count(*) from done))"));
note(sql("select string_agg(state || ' ' || n, ', ') from (select state::text, count(*) as n from taskq_private.all_history group by 1 order by 1) x"));

sql('create index on claims (id); create index on given (token); analyze');
is( sql("select count(*) from (select distinct id from made) m full join (select * from taskq_private.all_history where queue = 'chaos') h using (id)"
		  . ' where m.id is null or h.id is null'),
	'0', 'whose submit was committed has ended, and nothing else');
is(sql('select count(*) - count(distinct id) from taskq_private.all_history'), '0', 'each once');
is( sql("select count(*) from (select * from taskq_private.all_history where queue = 'chaos') h full join (select id, count(*) as times from done group by id) d using (id)"
		  . " where coalesce(times, 0) <> coalesce(state = 'finished', false)::int"),
	'0', 'what is finished was done once, what is not was not done');
is(sql('select count(*) - count(distinct token) from claims'), '0', 'no token was given twice');
is( sql('select count(*) from claims a join claims b on b.id = a.id and b.token <> a.token and b.at > a.at and b.at < a.until'
		  . ' where not exists (select from given g where g.token = a.token)'),
	'0', 'nobody was given a task that somebody else held');
is(sql(q{select count(*) from (select id, count(*) as times from done group by id) d full join (select id, count(*) as times from seen where event = 'finished' group by id) s
	using (id) where d.times is distinct from s.times}), '0', 'the reader of events has seen each end once');
is(sql('select count(*) - count(distinct (id, n)) from emits'), '0', 'no number of a value was given twice');
is(sql(q{select count(*) from (select id, count(*) as times from emits group by id) e full join (select id, count(*) as times from seen where event = 'value' group by id) s
	using (id) where e.times is distinct from s.times}), '0', 'and each value was seen once');
is(sql(q{select count(*) from emits e where not exists (select from taskq.emitted(e.id) v where v.n = e.n)}), '0', 'and is there');
is(sql(q{select count(*) from called c full join (select id, count(*) as times from call_done group by id) d using (id) where c.id is null or times is distinct from 1}),
	'0', 'each call took effect once');
is(sql(q{select count(*) from called c where (select array_agg(array[v.n, v.value::int] order by v.n) from taskq.emitted(c.id) v) is distinct from '{{1,1},{2,2},{3,3}}'}),
	'0', 'and has its values');
is(sql(q{select count(*) from taskq.tasks where queue = 'chaos' and ended_at is null}), '0', 'nothing is pending');
is(sql("select pending from taskq.queue_stats('chaos')"), '0', 'and the count of it says so');
is_consistent($node, 'at the end');
if ($SOAK)
{
	sql("select taskq.drop_queue('other' || n, force => true) from generate_series(1, 20) n");
	is(sql(q{select count(bt_index_parent_check(i.indexrelid, heapallindexed => true)) > 10 from pg_index i join pg_class c on c.oid = i.indexrelid
		join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relkind = 'i' and c.relnamespace = 'taskq_private'::regnamespace}), 't', 'amcheck: indexes');
	is(sql(q{select count(*) from pg_class c, verify_heapam(c.oid) where c.relkind = 'r' and c.relnamespace = 'taskq_private'::regnamespace}), '0', 'amcheck: tables');
}

$node->stop;
log_is_clean($node, @killed);
# A warning of PostgreSQL's own, of what a cancelled rebuild has left.
unlike(log_since($node), qr/\] (?!XX002 WARNING)(?:XX\w{3}|40P01) |stuck spinlock/, 'no internal error and no deadlock in the log');
done_testing();
