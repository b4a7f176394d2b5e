# 032_refused.pl
#		Results that the database refuses: they block no others, and nothing is lost.
#		The same for the executor and for taskq-worker.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;
my $worker = TaskqTest::Worker->start($node, 'postgres', '--name', 'outside');
my @queues = ('inside', 'outside');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# The function that takes results refuses those in this table, or what the receiver has sent with them.
sql(<<'END');
select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms', jitter => 0, max_attempts => 3);
select taskq.create_queue('inside', mode => 'push', retry => 'soon', lease_for => '2 s');
select taskq.create_queue('outside', mode => 'push', retry => 'soon', lease_for => '2 s', executor => 'external');
create table refused (id bigint, bare boolean);
grant select on refused to public;
do $$
declare
	schema text := (select pronamespace::regnamespace from pg_proc where proname = 'push_report_many');
begin
	execute format('alter function %s.push_report_many rename to push_report_many_c', schema);
	execute format($f$
		create function %1$s.push_report_many(ids bigint[], tokens bigint[], verdicts text[], classes text[], statuses int[],
			headers bytea[], bodies bytea[], truncated boolean[], elapsed interval[], errors text[], retry_after interval[],
			times jsonb[]) returns boolean[]
		language plpgsql as $x$
		begin
			if exists (select from unnest($1, $6, $7) as r (id, headers, body) join public.refused f on f.id = r.id
				where f.bare or r.headers is not null or r.body is not null) then
				raise exception 'this cannot be stored' using errcode = 'character_not_in_repertoire';
			end if;
			return %1$s.push_report_many_c($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
		end
		$x$ $f$, schema);
end
$$;
END

# Submits a task whose result will be refused, and five whose results come at the same time.
sub refuse
{
	my ($queue, $bare) = @_;
	my $url = $receiver->url("/slow/200?$queue-$bare");
	my ($id, @others) = split / /, sql(<<"END");
with t as materialized (select n, taskq.submit_http('$url', queue => '$queue') as id from generate_series(0, 5) as n),
	r as (insert into refused select id, $bare from t where n = 0)
select string_agg(id::text, ' ' order by n) from t
END
	wait_state($node, $_, 'finished') foreach @others;
	return $id;
}

foreach my $queue (@queues)
{
	my $id = refuse($queue, 'false');
	wait_state($node, $id, 'finished');
	is(sql("select status, headers, encode(body, 'hex'), truncated from taskq.response($id)"), '200|||t', "$queue: what cannot be stored is left out");
	is(scalar(my @sent = $receiver->requests("/slow/200?$queue-false")), 6, 'and no request is made twice');

	$id = refuse($queue, 'true');
	wait_query($node, 'postgres', "select class = 'lease_lost' from taskq.attempts where task_id = $id limit 1");
	sql("delete from refused where id = $id");
	wait_state($node, $id, 'finished');
	pass("$queue: a result that cannot be stored at all is given up, and the task runs again");
}
my $given_up = qr/cannot store the result of task \d+, which runs again when its lease expires/;
like(log_since($node), qr/LOG:  executor: $given_up/, 'the executor says so');
like($worker->log, $given_up, 'the worker, too');
like($worker->log, qr/the database refuses: this cannot be stored \(SQLSTATE 22021\)/, 'and why');

$node->stop;
done_testing();
