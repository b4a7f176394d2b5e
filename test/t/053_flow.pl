# 053_flow.pl
#		Groups, limits and order under load: never more run than may, none starts too early,
#		no task is passed in an ordered group, and no permit is lost.
#
# What is checked never depends on how fast the machine is.  Work intervals end with the lease, and
# windows of starts are counted so that a delay makes them longer.
#
# TASKQ_FLOW_SECONDS is for `make test-all` and `make soak`: how long each of the four ledgers is written, 40 s and
# 300 s instead of 2 s.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $seconds = $ENV{TASKQ_FLOW_SECONDS} // 2;
my $conf = <<'END';
max_connections = 60
max_prepared_transactions = 40
fsync = off
taskq.poll_interval = 'POLL'
END
my $node = taskq_node('main', sessions => 'new', conf => $conf =~ s/POLL/60 s/r);
my $plain = taskq_node('plain', preload => 0, sessions => 'new', conf => $conf =~ s/POLL/500 ms/r);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $scripts = 0;

sub sql
{
	my ($statement, $on) = @_;

	# For mutations.sh, which asks only whether the test fails.
	BAIL_OUT('at the first failure') if $ENV{TASKQ_FIRST_FAILURE} && !Test::More->builder->is_passing;
	return ($on // $node)->safe_psql('postgres', $statement);
}

# So many sessions run the script again and again, for that long or so many times.
sub start_bench
{
	my ($on, $clients, $how_long, $text) = @_;
	my $file = "$dir/" . $scripts++;

	append_to_file("$file.sql", $text);
	return IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', 2, @$how_long, '-f', "$file.sql", '-h', $on->host, '-p', $on->port, 'postgres' ],
		'<', \undef, '>', "$file.out", '2>', "$file.err");
}

sub bench
{
	my ($on, $clients, $how_long, $text) = @_;
	my $file = "$dir/$scripts";

	start_bench($on, $clients, $how_long, $text)->finish;
	return slurp_file("$file.err");
}

# In the middle of whatever its sessions do.
sub stop_bench
{
	my ($run) = @_;

	kill 'TERM', $run->{KIDS}[0]{PID};
	eval { $run->finish };
	return;
}

sub count_left
{
	my ($on, $queue) = @_;

	return sql("select count(*) from taskq_private.task where queue_id = (select id from taskq_private.queue where name = '$queue')", $on);
}

# Takes and finishes all that the queue has, also what comes back when leases run out.
sub drain
{
	my ($on, $queue) = @_;

	wait_until("the last task of $queue", sub {
		bench($on, 2, [ '-t', 20 ], "select count(taskq.finish(id, token)) from taskq.acquire('$queue', 30);\n");
		return count_left($on, $queue) eq '0';
	});
	return;
}

# ---- races -----------------------------------------------------------------------------------------

# Each of these goes wrong only if a session acts between two steps of another one: see groups.pml.  No
# sweep mends it.
sql(<<'END');
create table race (name text primary key, stopped boolean default false);
insert into race values ('offers'), ('counts'), ('order');
create function goes_on(what text) returns boolean language sql as 'select not stopped from race where name = what';
create procedure stop(what text) language sql as 'update race set stopped = true where name = what';
create function id_of(what text) returns int language sql stable as 'select id from taskq_private.queue where name = what';

select taskq.create_queue('offers'), taskq.create_queue('counts'), taskq.create_queue('order', ordered => true);
select taskq.set_limit('counts', max_running => 1);

-- Two tasks soon after each other: the second one comes while the first one is claimed.
create procedure submit_pairs(pairs int) language plpgsql as $$
declare
	deadline timestamptz;
begin
	for i in 1 .. pairs loop
		perform taskq.submit('offers', group_key => 'g');
		commit;
		perform taskq.submit('offers', group_key => 'g');
		commit;
		deadline := clock_timestamp() + '20 s';
		while exists (select from taskq_private.task where queue_id = id_of('offers')) and goes_on('offers') loop
			if clock_timestamp() > deadline then
				call stop('offers');
				commit;
				raise exception 'a task is not offered';
			end if;
			commit;
		end loop;
	end loop;
	call stop('offers');
end $$;
create procedure take_pairs() language plpgsql as $$
begin
	while goes_on('offers') loop
		perform taskq.finish(id, token) from taskq.acquire('offers', 10);
		commit;
	end loop;
end $$;

-- The leases are counted again and again.
create procedure count_anew(times int) language plpgsql as $$
begin
	for i in 1 .. times loop
		exit when not goes_on('counts');
		update taskq_private.lease set worker = worker where false;
		commit;
		perform pg_sleep(0.002);
	end loop;
	call stop('counts');
end $$;
create procedure take_one() language plpgsql as $$
declare
	t record;
begin
	while goes_on('counts') loop
		select id, token into t from taskq.acquire('counts');
		commit;
		continue when t.id is null;
		if (select count(*) > 1 from taskq_private.lease where queue_id = id_of('counts')) then
			call stop('counts');
			commit;
			raise exception 'two tasks run';
		end if;
		perform taskq.finish(t.id, t.token);
		commit;
	end loop;
end $$;

-- The first tasks of all groups are claimed together, and the claim is rolled back.
create procedure try_heads(times int) language plpgsql as $$
declare
	t record;
begin
	perform taskq.submit('order', group_key => 'other');
	commit;
	for i in 1 .. times loop
		exit when not goes_on('order');
		perform taskq.acquire('order', 200);
		rollback;
		select id, token, payload into t from taskq.acquire('order');
		commit;
		continue when t.id is null;
		if t.payload = '2' then
			call stop('order');
			commit;
			raise exception 'a task was passed';
		end if;
		perform taskq.fail(t.id, t.token, 'again', retry_in => '0');
		commit;
	end loop;
	call stop('order');
end $$;
END

sub is_race_won
{
	my ($what, $clients, $other, $each) = @_;

	my $run = start_bench($node, 1, [ '-t', 1 ], $other);
	my $errors = bench($node, $clients, [ '-t', 1 ], $each);
	$run->finish;
	$errors .= slurp_file("$dir/" . ($scripts - 2) . '.err');
	is(join('', $errors =~ /ERROR: .*/g), '', $what);
	return;
}

my $rounds = 250 * $seconds;
is_race_won('a task that is offered while its group is read', 2, "call submit_pairs($rounds);", 'call take_pairs();');
sql("select count(*) from taskq.submit_many('counts', array_fill('1'::jsonb, array[100000]))");
is_race_won('leases are counted while one is given', 3, "call count_anew($rounds);", 'call take_one();');
sql("select taskq.submit('order', to_jsonb(i), group_key => 'g' || g, max_attempts => 1000000) from generate_series(1, 2) i, generate_series(1, 100) g");
is_race_won('claims of many heads are rolled back', 3, 'select;', "call try_heads($rounds);");
sql("select taskq.drop_queue(q, true) from unnest('{offers,counts,order}'::text[]) q");
reconfigure($node, 'taskq.poll_interval' => '500 ms');

# ---- ledger --------------------------------------------------------------------------------------

# Each claim and each end in one of the ways in which it may go; the log has the time in which the
# work was under way for certain.
my $claim = "select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token, quote_literal(coalesce(max(group_key), '')) as g,"
  . " quote_literal(coalesce(max(lease_until), '-infinity')) as until from taskq.acquire('QUEUE', 1) \\gset";
my $ledger = <<"END";
\\set r random(1, 100)
\\set id 0
\\if :r <= 50
$claim
\\elif :r <= 58
begin;
select count(*) from taskq.acquire('QUEUE', 2);
rollback;
\\elif :r <= 70
begin;
savepoint a;
select count(*) from taskq.acquire('QUEUE', 1);
rollback to a;
$claim
commit;
\\elif :r <= 82
begin;
savepoint a;
$claim
release a;
commit;
\\else
begin;
$claim
prepare transaction 'QUEUE:client_id';
commit prepared 'QUEUE:client_id';
\\endif
\\if :id > 0
insert into log values ('QUEUE', :id, :token, :g, clock_timestamp(), :until);
\\set ms random(0, 30)
\\sleep :ms ms
update log set ended = least(ended, clock_timestamp()) where id = :id and token = :token;
\\set f random(1, 100)
\\if :f <= 40
select taskq.finish(:id, :token);
\\elif :f <= 50
select taskq.fail(:id, :token, 'x', retry_in => '0');
\\elif :f <= 56
select taskq.fail(:id, :token, 'x', retry_in => '20 ms');
\\elif :f <= 64
select taskq.release(:id, :token);
\\elif :f <= 72
begin;
select taskq.finish(:id, :token);
rollback;
select taskq.finish(:id, :token);
\\elif :f <= 80
begin;
savepoint a;
select taskq.fail(:id, :token, 'y', retry_in => '0');
rollback to a;
select taskq.finish(:id, :token);
commit;
\\elif :f <= 88
begin;
select taskq.finish(:id, :token);
prepare transaction 'QUEUE:client_id';
commit prepared 'QUEUE:client_id';
\\elif :f <= 96
begin;
select taskq.finish(:id, :token);
savepoint a;
select count(*) from taskq.acquire('QUEUE', 1);
rollback to a;
\\sleep :ms ms
commit;
\\else
select 'the lease is lost';
\\endif
\\endif
END

# At each begin, how many are at work; of an ordered queue a group has limit 1, else group kN has 1 + N up
# to k3, and the others have 2.
sub overruns
{
	my ($on, $queue, $ordered) = @_;
	my $limit = $ordered ? '1' : "case when substr(g, 2)::int < 4 then 1 + substr(g, 2)::int else 2 end";

	return sql(<<"END", $on);
with e as (select g, began as t, 1 as d from log where queue = '$queue' union all select g, ended, -1 from log where queue = '$queue' and ended > began),
	one as (select g, sum(d) over (partition by g order by t, d) as n from e where g <> ''),
	whole as (select sum(d) over (order by t, d) as n from e)
select (select count(*) from one where n > $limit), (select count(*) from whole where n > 12)
END
}

sub is_ledger_right
{
	my ($on, $name, $queue, $clients, $tasks, $ordered) = @_;
	my $what = "$name, " . ($ordered ? 'an ordered queue' : 'limits of queue and groups');

	sql(<<"END", $on);
create table if not exists log (queue text, id bigint, token bigint primary key, g text, began timestamptz, ended timestamptz);
select taskq.create_retry_policy('often $queue', max_attempts => 1000000, base => '100 ms', max_delay => '300 ms');
select taskq.create_queue('$queue', retry => 'often $queue', lease_for => '1 s', ordered => @{[ $ordered ? 'true' : 'false' ]});
select taskq.set_limit('$queue', max_running => 12), taskq.set_group_limit('$queue', null, max_running => 2);
select taskq.set_group_limit('$queue', 'k' || i, max_running => 1 + i) from generate_series(0, 3) i;
select count(taskq.submit('$queue', to_jsonb(i), group_key => case when i % 11 > 0 then 'k' || i % 6 end)) from generate_series(1, $tasks) i;
END
	(my $text = $ledger) =~ s/QUEUE/$queue/g;
	my @runs = map { start_bench($on, $clients / 2, [ '-T', 600 ], $text =~ s/:client_id/$_ :client_id/gr) } 'a', 'b';
	# The time begins with the first attempts, however long a busy machine takes to connect.
	my $attempts = "select count(*) from log where queue = '$queue'";
	wait_until("attempts, $what", sub { return sql($attempts, $on) >= $clients });
	# Sessions are ended in the middle; what they have prepared stays for a while.
	foreach my $victim (1 .. 4)
	{
		select undef, undef, undef, $seconds / 8;
		sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgbench' and query <> '' order by random() limit 1", $on);
	}
	select undef, undef, undef, $seconds / 2;
	wait_until("more attempts, $what", sub { return sql($attempts, $on) >= 4 * $clients });
	stop_bench($_) foreach @runs;
	wait_query($on, 'postgres', "select count(*) = 0 from pg_stat_activity where application_name = 'pgbench'");
	sql("rollback prepared '$_'", $on) foreach split /\n/, sql("select gid from pg_prepared_xacts", $on);
	pass("$what: " . sql($attempts, $on) . ' attempts');
	is(overruns($on, $queue, $ordered), '0|0', "$what: never more than the limit at a time");
	is(sql("select count(*) from (select id < lag(id) over (partition by g order by began) as before from log where queue = '$queue' and g <> '') x where before", $on),
		'0', "$what: the starts of each group are ascending")
	  if $ordered;
	drain($on, $queue);
	pass("$what: the last task has ended");
	is(sql(<<"END", $on), '0', "$what: the ends of each group are ascending") if $ordered;
select count(*) from (select ended_at < lag(ended_at) over (partition by group_key order by id) as before
	from taskq_private.all_history where queue = '$queue' and group_key is not null) x where before
END
	is_no_permit_lost($on, $what, $queue, $ordered);
	return;
}

# As many can be claimed as there is room for.
sub is_no_permit_lost
{
	my ($on, $what, $queue, $ordered) = @_;

	sql("select count(taskq.submit('$queue', group_key => 'k' || i % 6)) from generate_series(1, 60) i", $on);
	my $of_group = join ' ', map { sql("select count(*) from taskq.acquire('$queue', 100, '1 h', group_key => 'k$_')", $on) } 3, 4, 0;
	is($of_group, $ordered ? '1 1 1' : '4 2 1', "$what: no permit of a group is lost");
	is(sql("select count(*) from taskq.acquire('$queue', 100, '1 h')", $on), $ordered ? '3' : '5', "$what: no permit of the queue is lost");
	sql("select taskq.drop_queue('$queue', true)", $on);
	return;
}

is_ledger_right($node, 'ledger', 'ledger', 16, 400 * $seconds, 0);
is_ledger_right($node, 'ledger', 'ordered', 16, 400 * $seconds, 1);
is_ledger_right($plain, 'without preload', 'ledger', 6, 100 * $seconds, 0);
is_ledger_right($plain, 'without preload', 'ordered', 6, 100 * $seconds, 1);

# ---- a failing head ----------------------------------------------------------------------------------

foreach my $on ($node, $plain)
{
	my $what = $on->name . ': a task that fails';
	sql(<<'END', $on);
select taskq.create_queue('head', ordered => true, retry => 'none');
select count(taskq.submit('head', to_jsonb(i), group_key => g, max_attempts => 3)) from unnest('{a,b,c}'::text[]) g, generate_series(1, 2) i;
select taskq.fail(id, token, 'x', retry_in => '1 hour') from taskq.acquire('head', 1, group_key => 'a');
END
	is(sql("select string_agg(group_key || payload, ' ' order by group_key) from taskq.acquire('head', 10)", $on), 'b1 c1', "$what holds its group");
	sql("select count(taskq.finish(id, token)) from taskq_private.lease", $on);
	is(sql("select string_agg(group_key || payload, ' ' order by group_key) from taskq.acquire('head', 10)", $on), 'b2 c2', 'and only its group');
	sql("select taskq.cancel(id) from taskq.tasks where queue = 'head' and state = 'pending' and payload = '1'", $on);
	is(sql("select string_agg(group_key || payload, ' ') from taskq.acquire('head', 10)", $on), 'a2', 'until it is cancelled');
	sql("select taskq.drop_queue('head', true)", $on);
}

# The new version of its row stands on another page, so the index has two entries for the task.
foreach my $on ($node, $plain)
{
	my $what = $on->name . ': a task that fails and moves';
	my $page = "select (ctid::text::point)[0]::int from taskq_private.task where group_id is not null"
	  . " and queue_id = (select id from taskq_private.queue where name = 'moves') order by id limit 1";

	sql(<<'END', $on);
select taskq.create_queue('moves', ordered => true), taskq.create_queue('full pages');
select count(taskq.submit(q, (select jsonb_build_object('n', i, 'x', string_agg(md5(i || ' ' || j), '')) from generate_series(1, 50) j), group_key => 'g'))
from unnest('{full pages,moves}'::text[]) q, generate_series(1, 200) i;
END
	my $before = sql($page, $on);
	sql("select taskq.fail(id, token, 'x', retry_in => '300 ms') from taskq.acquire('moves')", $on);
	isnt(sql($page, $on), $before, "$what: to another page");
	my $n;
	# Some claims come before it is due.
	wait_until("$what is due", sub { ($n = sql("select payload->>'n' from taskq.acquire('moves')", $on)) ne '' });
	is($n, '1', "$what is the first that starts again");
	sql("select taskq.drop_queue(q, true) from unnest('{full pages,moves}'::text[]) q", $on);
}

# ---- rates ---------------------------------------------------------------------------------------------

# Starts of which begin and end of the call are known.  In any window lie for certain those that have begun
# and ended in it: of them, the first burst are free, and each further one costs an interval.
my $start = "with a as (select group_key from taskq.acquire('QUEUE', 2)) insert into starts select 'QUEUE', coalesce(group_key, ''), statement_timestamp(), clock_timestamp() from a;\n\\sleep 5 ms\n";
my $windows = <<'END';
select count(*) from (select b.began, e.ended,
		(select count(*) from starts s where s.queue = 'QUEUE' and s.g = b.g and s.began >= b.began and s.ended <= e.ended) as n
	from starts b join starts e on e.queue = b.queue and e.g = b.g and e.ended >= b.began where b.queue = 'QUEUE') w
	where n > BURST + extract(epoch from ended - began) / INTERVAL + 0.01
END

sub too_many
{
	my ($on, $queue, $burst, $interval) = @_;

	return sql($windows =~ s/QUEUE/$queue/gr =~ s/BURST/$burst/r =~ s/INTERVAL/$interval/r, $on);
}

foreach my $on ($node, $plain)
{
	my $what = $on->name . ': rate';
	sql(<<'END', $on);
create table starts (queue text, g text, began timestamptz, ended timestamptz);
select taskq.create_queue('rate'), taskq.create_queue('rate of groups');
select taskq.set_limit('rate', rate => 20, burst => 5), taskq.set_group_limit('rate of groups', null, rate => 20, burst => 3);
select count(taskq.submit('rate', group_key => case when i % 2 = 0 then 'g' || i end)) from generate_series(1, 40) i;
select count(taskq.submit('rate of groups', group_key => 'g' || i % 3)) from generate_series(1, 60) i;
END
	my @runs = map { my $queue = $_; start_bench($on, 4, [ '-T', 60 ], $start =~ s/QUEUE/$queue/gr) } 'rate', 'rate of groups';
	wait_query($on, 'postgres', "select count(*) >= 20 from starts where queue = 'rate'");
	$on->stop('immediate');
	$on->start;
	$_->finish foreach @runs;
	# A claim that was under way may have been lost.
	@runs = map { my $queue = $_; start_bench($on, 4, [ '-T', 60 ], $start =~ s/QUEUE/$queue/gr) } 'rate', 'rate of groups';
	wait_query($on, 'postgres', "select count(*) = 0 from taskq.tasks where queue ~ '^rate' and state = 'pending'");
	stop_bench($_) foreach @runs;
	is(too_many($on, 'rate', 5, 1 / 20), '0', "$what of a queue: no window has too many starts, with a restart in the middle");
	is(too_many($on, 'rate of groups', 3, 1 / 20), '0', "$what of groups: the same");
	sql("select taskq.drop_queue('rate', true), taskq.drop_queue('rate of groups', true); truncate starts", $on);

	# Slow ones keep their marks.
	sql(<<'END', $on);
select taskq.create_queue('slow'), taskq.create_queue('slow groups');
select taskq.set_limit('slow', rate => 3, per => '1 hour', burst => 3), taskq.set_group_limit('slow groups', null, rate => 3, per => '1 hour', burst => 3);
select count(taskq.submit(q, group_key => case q when 'slow groups' then 'g' || i % 2 end)) from unnest('{slow, slow groups}'::text[]) q, generate_series(1, 20) i;
END
	my $take = "select string_agg(q || ' ' || (select count(*) from taskq.acquire(q, 10)), ', ' order by q) from unnest('{slow, slow groups}'::text[]) q";
	is(sql($take, $on), 'slow 3, slow groups 6', "$what of three an hour: three start at once");
	is(sql($take, $on), 'slow 0, slow groups 0', 'and no more');
	sql('checkpoint', $on) if $on == $plain;
	$on->stop('immediate');
	$on->start;
	is(sql($take, $on), 'slow 0, slow groups 0', 'nor after a restart');
}

# ---- limits that change while groups are full -------------------------------------------------------

foreach my $on ($node, $plain)
{
	my $what = $on->name . ': 600 full groups';
	my $take = "select count(*) from taskq.acquire('many', 2000)";
	sql("select taskq.create_queue('many'), taskq.set_group_limit('many', null, max_running => 1)", $on);
	sql("select count(taskq.submit('many', group_key => 'g' || i % 600)) from generate_series(1, 3000) i", $on);
	is(sql($take, $on) . ' ' . sql($take, $on), '600 0', "$what with limit 1");
	sql("select taskq.set_group_limit('many', null, max_running => 2)", $on);
	is(sql($take, $on), '600', "$what: the limit is raised");
	sql("select taskq.set_group_limit('many', null, max_running => 1)", $on);
	is(sql($take, $on), '0', 'lowered');
	sql("select taskq.set_group_limit('many', 'g' || i, max_running => 4) from generate_series(1, 10) i", $on);
	is(sql($take, $on), '20', 'ten have their own');
	sql("select taskq.drop_group_limit('many', 'g' || i) from generate_series(1, 10) i", $on);
	is(sql($take, $on), '0', 'and lose it');
	sql("select taskq.set_limit('many', max_running => 1300), taskq.set_group_limit('many', null)", $on);
	is(sql($take, $on), '80', 'the limit of groups is dropped, and the queue has one');
	sql("select taskq.set_limit('many')", $on);
	is(sql($take, $on), '1700', 'which is dropped, too');
	sql("select taskq.drop_queue('many', true)", $on);
}

# ---- whose turn it is ---------------------------------------------------------------------------------

sql(<<'END');
select taskq.create_queue('fair');
select taskq.set_group_limit('fair', 'heavy', weight => 3);
select count(taskq.submit('fair', group_key => 'heavy')) from generate_series(1, 100) i;
select count(taskq.submit('fair', group_key => 'light')) from generate_series(1, 100) i;
END
my $shares = "select group_key, count(*) from taskq.acquire('fair', COUNT) group by 1 order by 1";
is(sql($shares =~ s/COUNT/8/r), "heavy|6\nlight|2", 'a group of weight 3 has three times as many at work');
is(sql($shares =~ s/COUNT/32/r), "heavy|24\nlight|8", 'also of more');
sql(<<'END');
select count(taskq.finish(id, token)) from taskq_private.lease where queue_id = (select id from taskq_private.queue where name = 'fair');
select taskq.drop_group_limit('fair', 'heavy');
select count(taskq.submit('fair')) from generate_series(1, 100) i;
END
is(sql($shares =~ s/COUNT/30/r), "heavy|10\nlight|10\n|10", 'tasks without a group have a share as a group has');
sql("select taskq.submit('fair', group_key => 'late')");
is(sql($shares =~ s/COUNT/1/r), 'late|1', 'a group that has nothing at work comes first');
sql("select taskq.drop_queue('fair', true)");

# ---- those who wait ----------------------------------------------------------------------------------

# Without a wake-up each of them lasts until the time-out.
reconfigure($node, 'taskq.poll_interval' => '60 s');
wait_query($node, 'postgres', "select setting = '60000' from pg_settings where name = 'taskq.poll_interval'");
my $listener = $node->background_psql('postgres');
$listener->query_safe('listen taskq_woken');

sub is_woken
{
	my ($what, $end) = @_;

	$listener->query_safe('select 1');
	my $waiter = IPC::Run::start([ 'psql', '-XqAt', '-c', "call taskq.wait_ready('woken', '55 s')", $node->connstr('postgres') ],
		'<', \undef, '>', \my $out, '2>&1');
	wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where query ~ '^call taskq.wait_ready' and wait_event_type = 'Extension'");
	sql($end) if $end ne '';
	my $took = seconds(sub {
		$waiter->finish;
		wait_until("a notification: $what", sub { return $listener->query_safe('select 1') =~ /"taskq_woken" received/ });
	});
	is($out, "t\n", "$what wakes a waiter");
	cmp_ok($took, '<', 45, 'and sends a notification');
	return;
}

sql("select taskq.create_queue('woken'), taskq.set_group_limit('woken', null, max_running => 1)");
sql("select count(taskq.submit('woken', group_key => 'a')) from generate_series(1, 10)");
sql("select count(*) from taskq.acquire('woken')");
my $finish = "select taskq.finish(id, token) from taskq_private.lease where queue_id = (select id from taskq_private.queue where name = 'woken')";
is_woken('a finish in a full group', $finish);
sql("select count(*) from taskq.acquire('woken'); select taskq.set_limit('woken', max_running => 1), taskq.set_group_limit('woken', null)");
is_woken('a finish in a full queue', $finish);
sql("select count(*) from taskq.acquire('woken')");
is_woken('a limit that is raised', "select taskq.set_limit('woken', max_running => 2)");
sql("$finish; select taskq.set_limit('woken'), taskq.set_group_limit('woken', null, rate => 0.5)");
wait_until('a start', sub { return sql("select count(*) from taskq.acquire('woken')") eq '1' });
sql("select count(*) from taskq.acquire('woken')");
is_woken('the time at which the rate of a group opens', '');
sql("select taskq.set_group_limit('woken', null), taskq.set_limit('woken', rate => 0.5)");
wait_until('a start', sub { return sql("select count(*) from taskq.acquire('woken')") eq '1' });
sql("select count(*) from taskq.acquire('woken')");
is_woken('the time at which the rate of the queue opens', '');
$listener->quit;
sql("select taskq.drop_queue('woken', true)");
reconfigure($node, 'taskq.poll_interval' => '500 ms');

# ---- push tasks --------------------------------------------------------------------------------------

my $receiver = TaskqTest::Receiver->start;
sql("select taskq.create_endpoint('to groups', '" . $receiver->url('/slow/30') . "', max_running => 4), taskq.set_group_limit('to groups', null, max_running => 1)");
sql("select count(taskq.submit('to groups', to_jsonb(i), group_key => 'g' || i % 3)) from generate_series(1, 24) i");
wait_query($node, 'postgres', "select count(*) = 24 from taskq.tasks where queue = 'to groups' and state = 'finished'");
is(scalar($receiver->requests), 24, 'push tasks with a group limit are sent');
is(sql(<<'END'), '0', 'one at a time in each group');
select count(*) from taskq.tasks a join taskq.tasks b using (queue, group_key) where queue = 'to groups' and a.id <> b.id
	and a.started_at < b.started_at and b.started_at < a.ended_at
END
sql("select taskq.drop_queue('to groups', true)");

# ---- a dump ---------------------------------------------------------------------------------------------

is($node->safe_psql('postgres', "select count(*) > 0 from taskq_private.start_mark"), 't', 'there are marks');
sql("select taskq.create_queue('dumped', ordered => true); select count(taskq.submit('dumped', to_jsonb(i), group_key => 'g' || i % 3)) from generate_series(1, 9) i");
sql("select taskq.set_limit('dumped', max_running => 7), taskq.set_group_limit('dumped', null, max_running => 3), taskq.set_group_limit('dumped', 'g1', max_running => 0)");
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('template1', 'create database copy');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), "$dir/dump" ], 'pg_restore');
$node->safe_psql('copy', 'select taskq.arm()');
my $limits = 'select l::text from taskq.limits l order by queue, scope, group_key';
is($node->safe_psql('copy', $limits), sql($limits), 'the copy has the same limits');
is($node->safe_psql('copy', "select string_agg(group_key || ' ' || payload, ', ' order by group_key) from taskq.acquire('dumped', 20)"), 'g0 3, g2 2', 'and heeds them');
is($node->safe_psql('copy', "select count(*) from taskq.acquire('slow', 10)"), '0', 'also its rates');
is($node->safe_psql('copy', "select count(*) from taskq.acquire('slow groups', 10)"), '0', 'those of groups as well');
$node->safe_psql('template1', 'drop database copy (force)');

# ---- kill -9 -------------------------------------------------------------------------------------------

# Each claim that was answered counts afterwards, although acquire_sync is off and little waits for the disk.
$node->append_conf('postgresql.conf', "taskq.acquire_sync = off\nwal_writer_delay = '10 s'\ntaskq.group_memory = '64 kB'");
$node->restart;
sql(<<'END');
select taskq.create_queue('killed', lease_for => '1 h'), taskq.create_queue('killed in order', lease_for => '1 h', ordered => true);
select taskq.set_limit('killed', max_running => 60), taskq.set_group_limit('killed', null, max_running => 2);
select count(taskq.submit(q, group_key => 'g' || i % 40)) from unnest('{killed, killed in order}'::text[]) q, generate_series(1, 400) i;
END

# What the workers were answered.
sub claimed_tokens
{
	return map { -e "$dir/worker$_.tokens" ? slurp_file("$dir/worker$_.tokens") =~ /^(\d+)\n/mg : () } 1 .. 4;
}

my @workers = map {
	my $queue = $_ % 2 ? 'killed' : 'killed in order';
	append_to_file("$dir/worker$_.sql", "select token from taskq.acquire('$queue');\n" x 200);
	IPC::Run::start([ 'psql', '-XqAt', '-f', "$dir/worker$_.sql", '-o', "$dir/worker$_.tokens", $node->connstr('postgres') ], '<', \undef, '2>', \my $stderr)
} 1 .. 4;
wait_until('claims', sub { return claimed_tokens() >= 20 });
kill_server($node);
foreach my $run (@workers)
{
	eval { $run->finish };
}
$node->start;
my @tokens = claimed_tokens();
is(sql('select count(*) from taskq_private.lease where token in (' . join(', ', @tokens) . ')'), scalar(@tokens),
	'kill -9: the lease of each claim that was answered is there');
my @claims = map { start_bench($node, 3, [ '-t', 20 ], "select count(*) from taskq.acquire('$_', 5);\n") } 'killed', 'killed in order';
$_->finish foreach @claims;
is(sql(<<'END'), "killed|60|2\nkilled in order|40|1", 'and no more start than may beside them');
select q.name, count(*), max(n) from (select queue_id, count(*) over (partition by queue_id, group_id) as n from taskq_private.lease) l
	join taskq_private.queue q on q.id = l.queue_id where q.name ~ '^killed' group by 1 order by 1
END
sql("select taskq.drop_queue('killed', true), taskq.drop_queue('killed in order', true)");

# ---- little memory ------------------------------------------------------------------------------------

# Some 400 groups have room.
my @crowd = map { "crowd $_" } 1 .. 3;
foreach my $queue (@crowd)
{
	sql("select taskq.create_queue('$queue'), taskq.set_group_limit('$queue', null, max_running => 1)");
	sql("select count(taskq.submit('$queue', group_key => 'g' || i % 1000)) from generate_series(1, 1500) i");
}
my $one_each = "select count(*), count(distinct group_key) from taskq.acquire('crowd 1', 2000)";
my ($n, $groups) = split /\|/, sql($one_each);
is($n, $groups, 'more groups than there is room for: no group has two at work');
cmp_ok($n, '>', 10, "of $n groups tasks are at work");
is(sql("select n from (select count(*) as n from taskq_private.lease l join taskq_private.queue q on q.id = l.queue_id where q.name = 'crowd 1' group by group_id) x where n > 1"),
	'', 'nor has one after another look');
sql("select count(taskq.finish(id, token)) from taskq_private.lease where queue_id = (select id from taskq_private.queue where name = 'crowd 1')");
@claims = map { start_bench($node, 2, [ '-t', 60 ], "select count(taskq.finish(id, token)) from taskq.acquire('$_', 30);\n") } @crowd;
$_->finish foreach @claims;
drain($node, $_) foreach @crowd;
pass('all end, of several queues');

# A queue that was dropped while its groups wait and run leaves its room to others.
sub takes_one_each
{
	my ($queue, $what) = @_;
	my $taken = 0;

	sql("select taskq.create_queue('$queue'), taskq.set_group_limit('$queue', null, max_running => 1)");
	sql("select count(taskq.submit('$queue', group_key => 'g' || i % 300)) from generate_series(1, 600) i");
	# A claim passes groups for which another session frees room at the moment.
	wait_until($what, sub { return ($taken += sql("select count(*) from taskq.acquire('$queue', 600)")) >= 300 });
	is($taken, 300, $what);
	return;
}

takes_one_each('gone', 'as many groups as there is room for');
sql("select taskq.drop_queue('gone', true)");
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.dropped_queue');
takes_one_each('next', 'and as many of the next queue when that one is dropped');

is_consistent($node, 'at the end');
log_is_clean($_) foreach $node, $plain;
done_testing();
