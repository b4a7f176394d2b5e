# 020_upgrade.pl
#		An extension brought up to date is the same as a new one, and keeps what it had.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

# The install script of the former version, where the server looks for it, until
# the test ends.
my $script = sql("select setting from pg_config where name = 'SHAREDIR'") . '/extension/taskq--0.1.0.sql';
copy(dirname(__FILE__) . '/../upgrade/taskq--0.1.0.sql', $script) or die "could not make $script: $!";
END { unlink $script if defined $script; }

# Everything that belongs to the extension in a database: what it is, what it
# consists of, whose it is, who may do what, what is said about it.
my $inventory = <<'SQL';
with member as (
	select d.classid, d.objid from pg_depend d join pg_extension e on e.oid = d.refobjid and e.extname = 'taskq'
	where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'),
object as (
	select m.classid, m.objid, coalesce(p.proowner, c.relowner, n.nspowner, t.typowner)::regrole as owner,
		array(select x::text from unnest(coalesce(p.proacl, c.relacl, n.nspacl, t.typacl)) x order by x::text) as acl
	from member m
		left join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
		left join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
		left join pg_namespace n on m.classid = 'pg_namespace'::regclass and n.oid = m.objid
		left join pg_type t on m.classid = 'pg_type'::regclass and t.oid = m.objid),
relation as (select objid as oid from member where classid = 'pg_class'::regclass),
described as (
	select format('%s owner=%s acl=%s comment=%s', pg_describe_object(classid, objid, 0), owner, acl,
		obj_description(objid, (select relname from pg_class where oid = classid))) as line from object
	union all select pg_get_functiondef(objid) from member where classid = 'pg_proc'::regclass
	union all select format('%s %s %s %s', oid::regclass, relkind, reloptions, pg_get_viewdef(oid)) from pg_class join relation using (oid)
	union all select format('%s column %s %s %s %s %s %s %s', attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull,
		attstorage, attcollation, atthasmissing) from pg_attribute join relation on oid = attrelid where attnum > 0
	union all select format('%s default %s', adrelid::regclass, pg_get_expr(adbin, adrelid)) from pg_attrdef d join relation r on r.oid = adrelid
	union all select format('%s constraint %s %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid))
		from pg_constraint k join relation r on r.oid = conrelid
	union all select pg_get_indexdef(indexrelid) from pg_index join relation on oid = indrelid
	union all select format('sequence %s %s %s %s', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement)
		from pg_sequence join relation on oid = seqrelid
	union all select format('enum %s %s', enumtypid::regtype, enumlabel) from pg_enum
	union all select format('dumped %s', config::regclass) from pg_extension, unnest(extconfig) config where extname = 'taskq'
	union all select format('version %s', extversion) from pg_extension where extname = 'taskq')
select line from described order by line collate "C"
SQL

# ---- a database of the former version, with something in every table ---------------------

sql('create database old');
sql("create extension taskq version '0.1.0'", 'old');
my ($status, undef, $err) = $node->psql('old', "select taskq.submit('default', '{}')");
like($err, qr/extension taskq is of version 0\.1\.0, its library of \d/, 'calls say that the library is newer');
like($err, qr/ALTER EXTENSION taskq UPDATE/, 'and what to do');
isnt(sql($inventory, 'old'), sql($inventory), 'the former version is another');

# As the former library would have written it.
my $url = $receiver->url('/ok/old');
sql(<<"END", 'old');
set timezone = 'UTC';
insert into taskq.queue values (1, 'default', 'pull', null, '5 min', 'default', '2 days', '30 days', '1 hour', true, now()),
	(100, 'mail', 'pull', null, '60 s', 'once', '1 day', '30 days', '1 hour', false, now());
insert into taskq.retry_policy values ('once', 'fixed', '1 s', 1, '1 s', null, 0, 1, null, null);
select nextval('taskq.queue_id'), setval('taskq.task_id', 20), nextval('taskq.token_block');
insert into taskq.task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, key, payload)
	values (1, now(), now(), 100, 0, 1, 0, 'k', '"pending"'), (2, now(), now(), 100, 0, 1, 0, null, '"running"');
insert into taskq.task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, method, url)
	values (4, now(), now(), 2, 0, 3, 0, 'POST', '$url');
insert into taskq.ready select run_at, id, queue_id, priority from taskq.task where id <> 2;
insert into taskq.key values (100, 'k', 1, null);
insert into taskq.lease (id, token, started_at, lease_until, lease_us, queue_id, attempt, cancel_requested)
	values (2, 77, now(), now() + interval '1 hour', 3600000000, 100, 1, false);
insert into taskq.history_rest (bucket, id, state, priority, push, attempt, max_attempts, submitted_at, run_at, ended_at, queue, payload, error)
	values (20990101, 3, 'dead', 0, false, 1, 1, now(), now(), now(), 'mail', '"dead"', 'oh');
select taskq.arm();
END

# ---- brought up to date -------------------------------------------------------------------

sql('alter extension taskq update', 'old');
is(sql($inventory, 'old'), sql($inventory), 'an updated extension is the same as a new one');
is(sql("select queue, paused, durable_finish, lease_for from taskq.queues where queue in ('default', 'mail') order by 1", 'old'),
	"default|t|t|00:05:00\nmail|f|t|00:01:00", 'queues are as they were');
is(sql('select id, state, payload from taskq.tasks where id < 4 order by id', 'old'),
	"1|pending|\"pending\"\n2|running|\"running\"\n3|dead|\"dead\"", 'tasks, too');
is(sql("select taskq.finish(2, 77)", 'old'), 't', 'a lease of before is good');
is(sql("select taskq.submit('mail', key => 'k')", 'old'), '1', 'a key is still taken');
is(sql("select id, payload from taskq.acquire('mail')", 'old'), '1|"pending"', 'what was pending is acquired');
is(sql('select taskq.retry(3)', 'old'), 't', 'what was dead is brought back');
sql('select taskq.start_executor()', 'old');
wait_state($node, 4, 'finished', 'old');
is(scalar($receiver->wait_requests(1, '/ok/old')), 1, 'what was to be sent is sent');

# What sessions and the executor knew of the former version they forget.
sql('create database live');
sql("create extension taskq version '0.1.0'", 'live');
my $session = $node->background_psql('live', on_error_stop => 0);
$session->query("select taskq.submit('default')");
sql('alter extension taskq update', 'live');
like($session->query("select taskq.submit('default') > 0"), qr/^t$/m, 'a session goes on after the update');
$session->quit;
my $sent = sql("select taskq.submit_http('" . $receiver->url('/ok/live') . "')", 'live');
sql('select taskq.start_executor()', 'live');
wait_state($node, $sent, 'finished', 'live');
pass('and so does the executor');

$node->stop;
log_is_clean($node);
done_testing();
