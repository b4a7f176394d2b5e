# 064_calls_security.pl
#		Calls: a function is called as the role that submitted it, and as no other.  What hostile
#		functions, roles and templates try; what one call leaves to the next; dropped roles and
#		restored dumps; arguments in logs.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => <<'END');
autovacuum = off
max_worker_processes = 12
taskq.call_workers = 1
log_statement = 'all'
log_min_duration_statement = 0
session_preload_libraries = 'auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_verbose = on
track_functions = 'all'
END

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub as
{
	my ($role, $script) = @_;

	return $node->safe_psql('postgres', "set role $role; $script");
}

# The last line of what a role's statements return.
sub last_of
{
	return (split /\n/, as(@_))[-1] // '';
}

# The SQLSTATE and the message of the error that a role's statement raises.
sub refused
{
	my ($role, $statement) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"set role $role; do \$do\$ declare m text; begin begin execute \$ex\$$statement\$ex\$; exception when others then"
		  . " get stacked diagnostics m = message_text; raise exception using errcode = 'P0001', message = sqlstate || ' ' || m; end; end \$do\$");

	return $err =~ /ERROR:\s+(.*)/ ? $1 : "no error $err";
}

sub outcome
{
	my ($id) = @_;

	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select state, result from taskq.result($id)");
}

sub error_of
{
	my ($id) = @_;

	return sql("select class, error from taskq.attempts where task_id = $id order by attempt desc limit 1");
}

# Calls a function as app; returns its outcome.
sub call
{
	my ($function, $args) = @_;

	return outcome(last_of('app', "select taskq.submit_call('app.$function', " . ($args // q{'[]'}) . ", retry => 'none')"));
}

sql(q{
	create role power;
	create role app login;
	create role other login;
	create role boss login;
	grant power, taskq_worker to app;
	grant taskq_admin to boss;
	create schema app authorization app;
	create schema power authorization power;
	create table power.secret (what text);
	alter table power.secret owner to power;
	grant usage on schema app to other, boss, power;
	select taskq.grant_queue('call', r, '{submit, view, control}') from unnest('{app, other}'::text[]) r;
	select taskq.create_queue('pull', keep_finished => '1 day'), taskq.grant_queue('pull', 'app', '{submit, view, work}')});
as('app', q{
	set search_path = app;
	create function who() returns jsonb language sql as $$select jsonb_build_array(current_user, session_user, current_setting('role'))$$;
	grant execute on function who() to public;
	create function heard(outcome jsonb) returns text language sql as $$select current_user || ' heard of ' || (outcome ->> 'queue')$$;
	create table seen (who text, how text);
	grant insert on seen to public;
	create function run(statement text) returns text language plpgsql as $$begin execute statement; return 'ran'; end$$;
	create function ask(query text) returns text language plpgsql as $$declare answer text; begin execute query into answer; return answer; end$$});

# ---- one role ----------------------------------------------------------------------------------------

my $me = 'finished|["app", "app", "none"]';
is(call('who()'), $me, 'the role is that of the session');
foreach my $attack (
	[ 'SET ROLE' => 'set role power' ],
	[ 'SET ROLE in a setting' => q{select set_config('role', 'power', false)} ],
	[ 'RESET ROLE' => 'reset role' ],
	[ 'RESET SESSION AUTHORIZATION' => 'reset session authorization' ],
	[ 'RESET ALL' => 'reset all' ],
	[ 'SET SESSION AUTHORIZATION to itself' => 'set session authorization app' ])
{
	my ($what, $statement) = @$attack;
	(my $quoted = $statement) =~ s/'/''/g;

	is(call('run(text)', "jsonb_build_array('$quoted'::text)"), 'finished|"ran"', "$what runs");
	is(call('who()'), $me, 'and is not there in the next call');
}
foreach my $target ('postgres', 'taskq_owner', 'taskq_bgw', 'other')
{
	foreach my $command ('set role', 'set session authorization')
	{
		my $id = last_of('app', "select taskq.submit_call('app.run(text)', '[\"$command $target\"]', retry => 'none')");

		is(outcome($id), 'dead|', "$command $target is refused");
		like(error_of($id), qr/^exception\|permission denied to set/, 'as in any session of the role');
	}
}

# Code that others run: a trigger at the commit, an index, an event trigger, a check.
as('app', q{
	set search_path = app;
	create function tell() returns trigger language plpgsql as $$begin insert into app.seen values (current_user || session_user, tg_name); return null; end$$;
	create function tell_of(what text) returns text language plpgsql immutable as $$begin
		perform app.tell_now(what); return what; end$$;
	create function tell_now(what text) returns void language sql as $$insert into app.seen values (current_user || session_user, what)$$;
	create table told (what text);
	create constraint trigger at_commit after insert on told deferrable initially deferred for each row execute function tell();
	create index on told (tell_of(what));
	create function insert_told() returns int language sql as $$insert into app.told values ('index'); select 1$$});
sql(q{
	create function public.on_ddl() returns event_trigger language plpgsql as $$begin
		insert into app.seen values (current_user || session_user, 'event'); end$$;
	create event trigger on_ddl on ddl_command_end execute function public.on_ddl()});
as('app', 'delete from app.seen');
is(call('insert_told()'), 'finished|1', 'a call whose code others run');
is(call('run(text)', q{'["create table app.made ()"]'}), 'finished|"ran"', 'and one with DDL');
is(sql('select string_agg(distinct how, $$ $$ order by how), string_agg(distinct who, $$ $$) from app.seen'), 'at_commit event index|appapp',
	'deferred trigger, index function and event trigger have the same role');
sql('drop event trigger on_ddl');

# The end of the task is written with a pinned search_path, whatever the function leaves.
as('app', q{
	set search_path = app;
	create function hostile_equal(int, int) returns boolean language plpgsql as $$begin insert into app.seen values (current_user || '', 'operator'); return true; end$$;
	create operator = (leftarg = int, rightarg = int, function = hostile_equal);
	create function nextval(regclass) returns bigint language plpgsql as $$begin insert into app.seen values (current_user || '', 'function'); return 1; end$$;
	delete from seen});
is(call('run(text)', q{'["set search_path = app, pg_catalog"]'}), 'finished|"ran"', 'a hostile search_path');
is(call('run(text)', q{'["set transaction_read_only = on"]'}), 'finished|"ran"', 'a function that makes its transaction read-only');
is(sql('select count(*) from app.seen'), '0', 'captures nothing of taskq');
as('app', 'drop operator app.= (int, int)');

# ---- nothing is left for the next call ---------------------------------------------------------------------

my $pid = call('ask(text)', q{'["select pg_backend_pid()::text"]'});
foreach my $trace (
	[ 'a temporary table', 'create temp table left_behind as select 1 as n', q{select coalesce(to_regclass('pg_temp.left_behind')::text, 'none')}, 'none' ],
	[ 'a temporary function', 'create function pg_temp.left() returns int language sql as $$select 1$$', q{select coalesce(to_regproc('pg_temp.left')::text, 'none')}, 'none' ],
	[ 'a session lock', 'select pg_advisory_lock(4711)', q{select count(*)::text from pg_locks where locktype = 'advisory' and objid = 4711}, '0' ],
	[ 'a prepared statement', 'prepare left_behind as select 1', q{select count(*)::text from pg_prepared_statements where name = 'left_behind'}, '0' ],
	[ 'a cursor', 'declare left_behind cursor with hold for select 1', q{select count(*)::text from pg_cursors}, '0' ],
	[ 'a setting', q{set work_mem = '7MB'}, q{select current_setting('work_mem')}, '4MB' ],
	[ 'a custom setting', q{set my.setting = 'mine'}, q{select coalesce(nullif(current_setting('my.setting', true), ''), 'none')}, 'none' ],
	[ 'a sequence', q{select nextval('app.left_behind')}, q{select lastval()::text}, undef ])
{
	my ($what, $leave, $look, $answer) = @$trace;
	(my $left = $leave) =~ s/'/''/g;
	(my $looked = $look) =~ s/'/''/g;

	as('app', 'create sequence app.left_behind') if $what eq 'a sequence';
	is(call('run(text)', "jsonb_build_array('$left'::text)"), 'finished|"ran"', "$what stays behind");
	is(call('ask(text)', "jsonb_build_array('$looked'::text)"), defined $answer ? qq(finished|"$answer") : 'dead|', 'and is not there in the next call');
}
is(call('ask(text)', q{'["select pg_backend_pid()::text"]'}), $pid, 'all of it in one process');
my $listener = last_of('app', q{select taskq.submit_call('app.run(text)', '["listen something"]', retry => 'none')});
is(outcome($listener), 'dead|', 'LISTEN is refused');

# ---- settings of the role ---------------------------------------------------------------------------------------

sql(q{alter role other set statement_timeout = '100ms'; alter role other set default_transaction_read_only = on;
	alter role other set default_transaction_isolation = 'serializable'; alter role other set role = 'power'; grant power to other;
	grant all on schema app to other; grant all on app.seen to other});
as('other', q{create function app.of_other() returns text language plpgsql as $$begin
		insert into app.seen values (current_user, 'settings'); return current_user || ' ' || current_setting('transaction_isolation'); end$$;
	create function app.slow() returns void language sql as 'select pg_sleep(3600)'});
is(outcome(last_of('other', q{select taskq.submit_call('app.of_other()')})), 'finished|"other serializable"',
	'the isolation level of the role; but its calls can write, and SET role in its settings changes nothing');
my $slow = last_of('other', q{select taskq.submit_call('app.slow()', retry => 'none')});
is(outcome($slow), 'dead|', 'the statement_timeout of the role');
is(error_of($slow), 'timeout|canceling statement due to statement timeout', 'ends a call');
sql('alter role other reset all');

# ---- who submits ---------------------------------------------------------------------------------------------------

is(refused('postgres', q{select taskq.submit_call('app.who()')}), 'TQ009 no function can be called as role "postgres": it is a superuser', 'not as a superuser');
as('app', q{create function app.definer() returns bigint language sql security definer as $$select taskq.submit_call('app.who()')$$;
	grant execute on function app.definer() to other, power});
is(outcome(last_of('other', 'select app.definer()')), $me, 'a security definer function submits as its owner');
sql(q{grant usage on schema app to taskq_owner; create function public.owners() returns bigint language sql security definer as $$select taskq.submit_call('app.who()')$$;
	alter function public.owners() owner to taskq_owner; grant execute on function public.owners() to app});
is(refused('app', 'select public.owners()'), 'TQ009 no function can be called as role "taskq_owner": it is a role of taskq itself', 'nor as one of taskq');
sql('drop function public.owners()');
as('app', 'create function app.private() returns int language sql as $$select 1$$; revoke all on function app.private() from public');
is(refused('other', q{select taskq.submit_call('app.private()')}), '42501 permission denied for function private', 'the right to execute, at the submit');
as('app', 'grant execute on function app.private() to other');
my $revoked = last_of('other', q{select taskq.submit_call('app.private()', delay => '1 s', retry => 'none')});
as('app', 'revoke execute on function app.private() from other');
is(outcome($revoked), 'dead|', 'and at the call');
is(error_of($revoked), 'exception|permission denied for function private', 'says so');

# Names are names.
as('app', q{create function app."a""; drop table app.seen; --"("x'""); drop" int) returns int language sql as 'select $1';
	create function app."or 1=1"(a int) returns int language sql as 'select $1'});
is(outcome(last_of('app', q{select taskq.submit_call('app."a""; drop table app.seen; --"(int)', '[]', jsonb_build_object(E'x\'"); drop', 5))})), 'finished|5',
	'names that look like SQL');
is(refused('app', q{select taskq.submit_call('app."or 1=1"(int)', '[]', '{"a\" := 1); drop table app.seen; --": 1}')}),
	'TQ004 there is no parameter "a" := 1); drop table app.seen; --"', 'also as names of arguments');
is(refused('app', q{select taskq.submit_template('{"call": "app.who(); drop table app.seen"}')}) =~ /^TQ004|^42601|^22P02/ ? 1 : 0, 1, 'and in templates');
is(sql('select count(*) >= 0 from app.seen'), 't', 'nothing was dropped');

# ---- follow-ups and schedules -----------------------------------------------------------------------------------------

sub finish_pull
{
	my ($role) = @_;

	return last_of($role, q{select taskq.finish(id, token) from taskq.acquire('pull')});
}

# The task whose call came after that one.
sub call_after
{
	my ($id) = @_;

	return wait_until('the call', sub { sql("select min(id) from taskq.tasks where id > $id and queue = 'call' and ended_at is not null") });
}

sql(q{select taskq.grant_queue('pull', 'other', '{submit, work}')});
my $task = last_of('app', q{select taskq.submit('pull', '1', on_finish => '{"call": "app.heard(jsonb)"}')});
finish_pull('other');
is(outcome(call_after($task)), 'finished|"app heard of pull"', 'a follow-up is called as the role that gave it, with the outcome');
$task = last_of('app', q{select taskq.submit('pull', '1', on_finish => '{"queue": "pull", "on_finish": [{"call": "app.heard(jsonb)"}]}')});
is(join(' ', map { finish_pull('other') } 1 .. 2), 't t', 'a task and the one that follows it end');
is(outcome(call_after($task)), 'finished|"app heard of pull"', 'also that of a follow-up');
$task = last_of('app', q{set search_path = app; select taskq.submit('pull', '1')});
last_of('app', qq{set search_path = app; select taskq.add_follow_up($task, on_finish => '{"call": "heard(jsonb)", "kwargs": {}, "key": "k"}')});
finish_pull('other');
is(outcome(call_after($task)), 'finished|"app heard of pull"', 'a later one; its name was looked up when it was given');
is(refused('boss', q{select taskq.submit_call('app.who()', queue => 'pull')}), 'TQ005 queue "pull" is a pull queue', 'only to call queues');
as('boss', q{select taskq.alter_queue('pull', on_finish => '{"call": "app.who()", "args": []}')});
$task = last_of('app', q{select taskq.submit('pull', '1')});
finish_pull('app');
is(outcome(call_after($task)), 'finished|["boss", "boss", "none"]', 'that of a queue is called as the administrator who gave it');
is(sql(q{select on_finish from taskq.queues where queue = 'pull'}), '[{"args": [], "call": "app.who()"}]', 'which the view shows as it was given');
is(refused('postgres', q{select taskq.alter_queue('pull', on_finish => '{"call": "app.who()", "args": []}')}) =~ /^TQ009.*superuser/ ? 1 : 0, 1, 'not as a superuser');
as('boss', q{select taskq.alter_queue('pull', on_finish => '[]')});

my $number = sql(q{select number from taskq_private.caller where role = 'boss'});
my $forged = qq("call": "app.who()", "args": [], "role": "boss", "caller": $number);
foreach my $forgery (
	[ 'submit_template()' => "select taskq.submit_template('{$forged}')" ],
	[ 'a follow-up' => "select taskq.submit('pull', '1', on_finish => '{$forged}')" ],
	[ 'a follow-up of a follow-up' => qq(select taskq.submit('pull', '1', on_finish => '[{"queue": "pull", "on_dead": {$forged}}]')) ],
	[ 'add_follow_up()' => "select taskq.add_follow_up(1, on_finish => '{$forged}')" ],
	[ 'a schedule' => "select taskq.schedule('s', '{$forged}', every => '1 day')" ])
{
	like(refused('app', $forgery->[1]), qr/^TQ004 invalid template/, "no role can sign for another one: $forgery->[0]");
}
like(refused('app', q{update taskq_private.task set call = null}), qr/^42501/, 'no role has rights on the tables');
like(refused('app', q{select * from taskq_private.call_claim(1)}), qr/^42501/, 'nor on the functions of the executor');

as('app', q{select taskq.schedule('mine', '{"call": "app.who()"}', every => '1 day', starts => '2020-01-01')});
my $scheduled = last_of('app', q{select taskq.run_schedule('mine')});
is(outcome($scheduled), $me, 'a schedule calls as the role that owns it');
is(refused('app', q{select taskq.schedule('bad', '{"call": "app.heard(jsonb)"}', every => '1 day')}), 'TQ004 argument "outcome" is missing', 'and is judged when it is declared');

# The signature does not count.
my $long = 'x' x 8070;
$task = last_of('app', qq{select taskq.submit('pull', '1', on_finish => '{"call": "app.heard(jsonb)", "key": "long", "kwargs": {}, "trace": "", "kind": "k", "args": [{"queue": "$long"}]}')});
finish_pull('app');
like(outcome(call_after($task)), qr/^finished\|"app heard of x+"$/, 'a follow-up as long as a template may be');

# A follow-up that does not fit is the giver's error; one whose queue has gone is a dead task.
is(refused('app', q{select taskq.submit('pull', on_finish => '{"call": "app.gone(jsonb)"}')}), 'TQ004 function "app.gone(jsonb)" does not exist', 'an unknown function');
is(refused('app', q{select taskq.submit('pull', on_finish => '{"call": "app.\"or 1=1\"(int)"}')}) =~ /^TQ004/ ? 1 : 0, 1, 'one that does not take the outcome');
as('boss', q{select taskq.create_queue('calls', mode => 'call'), taskq.grant_queue('calls', 'app', '{submit, view}')});
$task = last_of('app', q{select taskq.submit('pull', '1', on_finish => '{"call": "app.heard(jsonb)", "queue": "calls"}')});
as('boss', q{select taskq.drop_queue('calls')});
finish_pull('app');
my $dead = wait_until('the dead follow-up', sub { sql(qq{select id from taskq.tasks where id > $task and state = 'dead' and queue = 'calls'}) });
is(sql("select error from taskq.tasks where id = $dead"), 'queue "calls" does not exist', 'a follow-up whose queue has gone is dead');
as('boss', q{select taskq.create_queue('calls', mode => 'call'), taskq.redrive('calls')});
is(outcome($dead), 'finished|"app heard of pull"', 'and is called after redrive(), with the outcome, as the same role');

# ---- roles that change ---------------------------------------------------------------------------------------------------

# Code that waits until the change is made.
sub call_later
{
	return last_of('other', q{select taskq.submit_call('app.who()', delay => '1 hour', retry => 'none')});
}

sub call_now
{
	my ($id) = @_;

	sql("select taskq.reschedule($id)");
	return outcome($id);
}

foreach my $change (
	[ 'a superuser', 'alter role other superuser', 'alter role other nosuperuser', 'no function can be called as role "other": it is a superuser' ],
	[ 'one without CONNECT', 'revoke connect on database postgres from public', 'grant connect on database postgres to public',
		'no function can be called as role "other": it may not connect to this database' ],
	sql('show server_version_num') < 170000
	? [ 'one that may not log in', 'alter role other nologin', 'alter role other login', 'no function can be called as role "other": it may not log in' ]
	: ())
{
	my ($what, $command, $back, $error) = @$change;
	my $id = call_later();

	sql($command);
	is(call_now($id), 'dead|', "a role that has become $what");
	is(error_of($id), "call_refused|$error", 'does not call');
	like(refused('other', q{select taskq.submit_call('app.who()')}), qr/^TQ009 \Q$error\E/, 'and does not submit');
	sql($back);
}
my $renamed = call_later();
sql('alter role other rename to another');
is(call_now($renamed), 'dead|', 'a role that has another name');
sql('alter role another rename to other');
my $orphan = call_later();
my $pending = last_of('other', q{select taskq.submit('pull', '1', on_finish => '{"call": "app.heard(jsonb)"}')});
sql(q{drop owned by other; drop role other; create role other login; grant usage on schema app to other;
	select taskq.grant_queue('call', 'other', '{submit, view, control}')});
is(call_now($orphan), 'dead|', 'a role that was dropped and created again');
is(error_of($orphan), 'call_refused|role "other", which submitted the call, does not exist any more', 'has not its calls');
finish_pull('app');
my $late = call_after($pending);
is(error_of($late), 'call_refused|role "other", which submitted the call, does not exist any more', 'nor its follow-ups');
is(outcome(last_of('other', q{select taskq.submit_call('app.who()')})), 'finished|["other", "other", "none"]', 'but its own');
sql("select taskq.retry($orphan)");
is(outcome($orphan), 'dead|', 'and retry() brings back no right');

# ---- a restored dump --------------------------------------------------------------------------------------------------------

my $waiting = last_of('app', q{select taskq.submit_call('app.who()', delay => '5 s')});
my $orphan_of_dump = call_later();
as('app', q{select taskq.submit('pull', '1', on_finish => '{"call": "app.heard(jsonb)"}', key => 'dumped')});
sql(q{drop owned by other; drop role other; create role other login});
my $dump = "$node->{_basedir}/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
my $copy = taskq_node('copy', extension => 0, conf => 'max_worker_processes = 12');
$copy->safe_psql('postgres', q{create extension taskq; drop extension taskq; create role filler; create role power; create role app login; create role other login;
	create role boss login; create database restored});
$copy->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $copy->connstr('restored') ], 'is restored in another cluster');
isnt($copy->safe_psql('restored', q{select 'app'::regrole::oid}), sql(q{select 'app'::regrole::oid}), 'where the roles have other numbers');
$copy->safe_psql('restored', "select taskq.reschedule($waiting)");
is($copy->safe_psql('restored', "select state from taskq.tasks where id = $waiting"), 'pending', 'it makes no calls');
$copy->safe_psql('restored', "select taskq.arm(); select taskq.reschedule($orphan_of_dump)");
wait_query($copy, 'restored', "select ended_at is not null from taskq.tasks where id = $waiting");
is($copy->safe_psql('restored', "select state, result from taskq.result($waiting)"), $me, 'until arm() was called');
wait_query($copy, 'restored', "select state from taskq.tasks where id = $orphan_of_dump", 'dead');
is($copy->safe_psql('restored', "select error from taskq.attempts where task_id = $orphan_of_dump"),
	'role "other", which submitted the call, does not exist any more', 'a role that was dropped before the dump gets nothing back');
$copy->safe_psql('restored', q{set role app; select taskq.finish(id, token) from taskq.acquire('pull')});
wait_query($copy, 'restored', q{select count(*) > 0 from taskq.tasks where result = '"app heard of pull"' and id > } . $waiting);
pass('follow-ups are called there, too');

# ---- arguments ----------------------------------------------------------------------------------------------------------------

# The submit itself is a statement of the test, which the server logs; what comes after it is looked at.
as('app', q{create function app.keep(what text, more jsonb) returns text language plpgsql as $$begin perform pg_sleep(0.2); raise exception 'no %', length(what); end$$;
	create table app.secrets as select md5(random()::text) as what});
my $secret = last_of('app', q{select taskq.submit_call('app.keep(text, jsonb)', jsonb_build_array(what, '{}'), jsonb_build_object(), retry => 'none') from app.secrets});
my $argument = sql('select what from app.secrets');
my $seen = wait_until('the call', sub { sql("select string_agg(a::text, '') from pg_stat_activity a where backend_type like 'taskq%'") });
is(outcome($secret), 'dead|', 'a call with a secret argument');
unlike($seen . sql('select string_agg(f::text, $$ $$) from pg_stat_user_functions f'), qr/$argument/, 'no view of statistics shows it');
is(join("\n", grep { /$argument/ } split /\n/, log_since($node, 0)), "", "nor does the log have it");
unlike(log_since($node, 0), qr/ERROR:.*no 32/, 'nor the errors of functions');

is_consistent($node, 'at the end');
log_is_clean($node);
log_is_clean($copy);
done_testing();
