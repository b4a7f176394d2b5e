-- Retry policies: which delay follows a failed attempt, and when a task is dead.
-- Both are decided in this file alone.

create function taskq_private.interval_seconds(i interval) returns double precision
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select extract(epoch from i)::double precision $$;

-- Policies that were created, and those that exist from the start.  The latter are rows
-- of this view and not of the table, so that a dump does not restore a second copy.
create view taskq_private.all_retry_policies as
	select name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays, false as built_in
	from taskq_private.retry_policy
	union all
	select * from (values
		('default' collate "C", 'exponential', interval '1 s', 2::double precision, interval '1 hour', null::int,
			0.1::double precision, 25, null::interval, null::interval[], true),
		('webhook', 'schedule', interval '5 s', 2, interval '1 day', null, 0.1, 10, null,
			array['5 s', '5 min', '30 min', '2 hours', '5 hours', '10 hours', '14 hours', '20 hours', '24 hours']::interval[], true),
		('none', 'fixed', interval '0', 1, interval '0', null, 0, 1, null, null, true)
	) as shipped;

create function taskq.backoff(policy text, attempt int) returns interval
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	p taskq_private.all_retry_policies%rowtype;
	n double precision := attempt;
	base double precision;
	cap double precision;
	exponent double precision;
	seconds double precision;
begin
	if attempt is null or attempt < 1 then
		raise exception using errcode = 'TQ004', message = 'attempt must be at least 1',
			detail = 'Attempts are counted from 1.', hint = 'Pass the number of the attempt that failed.';
	end if;
	select * into p from taskq_private.all_retry_policies r where r.name = backoff.policy;
	if not found then
		raise exception using errcode = 'TQ004', message = format('retry policy "%s" does not exist', policy),
			detail = 'Shipped policies are default, webhook and none.', hint = 'Create it with taskq.create_retry_policy().';
	end if;
	base := taskq_private.interval_seconds(p.base);
	cap := taskq_private.interval_seconds(p.max_delay);
	if p.backoff = 'schedule' then
		seconds := taskq_private.interval_seconds(p.delays[least(attempt, cardinality(p.delays))]);
		cap := seconds;
	elsif p.backoff = 'fixed' then
		seconds := base;
	elsif p.backoff = 'linear' then
		seconds := base * n;
	else
		exponent := case p.backoff when 'power' then n else least(n - 1, coalesce(p.max_doublings, n - 1)) end;
		-- Compare logarithms first: the power itself could overflow.
		if base <= 0 then
			seconds := 0;
		elsif exponent * ln(p.factor) >= ln(greatest(cap, 1e-6)) - ln(base) then
			seconds := cap;
		else
			seconds := base * power(p.factor, exponent);
			-- Past the last doubling the delay grows linearly: App Engine's rule for task queues.
			if p.backoff = 'exponential' and n - 1 > exponent then
				seconds := seconds * (n - exponent);
			end if;
		end if;
	end if;
	return make_interval(secs => greatest(least(seconds, cap), 0));
end
$$;
comment on function taskq.backoff is
	E'Returns the delay that a retry policy sets after a failed attempt, without jitter.\n'
	'policy: the name of the policy.\n'
	'attempt: the number of the attempt that failed, from 1.\n'
	'Errors: TQ004 for an unknown policy, or an attempt below 1.';

-- When the next attempt is due after attempt number "attempt" has failed.  NULL: never,
-- the task is dead.  born: the time from which its age counts.
create function taskq_private.retry_at(policy text, attempt int, max_attempts int, born timestamptz, retry_in interval)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	p taskq_private.all_retry_policies%rowtype;
	seconds double precision;
	retry_at timestamptz;
begin
	if attempt >= max_attempts then
		return null;
	end if;
	-- If the policy was dropped, the policy default is used.
	select * into p from taskq_private.all_retry_policies r where r.name in (policy, 'default') order by r.name = policy desc limit 1;
	if retry_in is not null then
		seconds := taskq_private.interval_seconds(retry_in);
	else
		seconds := taskq_private.interval_seconds(taskq.backoff(p.name, greatest(attempt, 1))) * (1 + p.jitter * (2 * random() - 1));
	end if;
	retry_at := clock_timestamp() + make_interval(secs => seconds);
	if retry_at - p.max_age > born then
		return null;
	end if;
	return retry_at;
end
$$;

create function taskq.create_retry_policy(name text, backoff text default 'exponential', base interval default '1 s',
	factor double precision default 2, max_delay interval default '1 hour', max_doublings int default null,
	jitter double precision default 0.1, max_attempts int default 25, max_age interval default null,
	delays interval[] default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
begin
	perform taskq_private.check_name(name, 'retry policy');
	wrong := case
		when backoff is null or backoff not in ('fixed', 'linear', 'exponential', 'power', 'schedule')
			then 'backoff must be fixed, linear, exponential, power or schedule'
		when factor is null or not (factor >= 1 and factor <= 100) then 'factor must be between 1 and 100'
		when max_doublings < 0 then 'max_doublings must not be negative'
		when max_doublings is not null and backoff <> 'exponential' then 'max_doublings is only allowed with backoff exponential'
		when jitter is null or not (jitter >= 0 and jitter <= 1) then 'jitter must be between 0 and 1'
		when max_attempts is null or max_attempts < 1 then 'max_attempts must be at least 1'
		when backoff = 'schedule' and (delays is null or array_ndims(delays) is distinct from 1
			or cardinality(delays) not between 1 and 1000) then 'delays must hold 1 to 1000 intervals'
		when backoff <> 'schedule' and delays is not null then 'delays are only allowed with backoff schedule'
		else coalesce(
			taskq_private.interval_fault(base, 'base', 'retry'),
			taskq_private.interval_fault(max_delay, 'max_delay', 'retry'),
			case when max_age is not null then taskq_private.interval_fault(max_age, 'max_age', 'age') end,
			(select min(taskq_private.interval_fault(d, 'each of delays', 'retry')) from unnest(delays) as d))
	end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Retry policy "%s" was not created.', name), hint = 'See the comment of taskq.create_retry_policy().';
	end if;
	if exists (select from taskq_private.all_retry_policies p where p.name = create_retry_policy.name) then
		raise exception using errcode = 'TQ004', message = format('retry policy "%s" exists already', name),
			detail = 'Tasks may be using the policy, so it is not replaced.', hint = 'Choose another name.';
	end if;
	insert into taskq_private.retry_policy
		values (name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays);
	perform taskq_private.queues_changed();
end
$$;
comment on function taskq.create_retry_policy is
	E'Creates a retry policy: which delay follows a failed attempt, and when a task is dead.\n'
	'name: 1 to 57 bytes.\n'
	'backoff: the delay after attempt n. fixed: base. linear: base * n. exponential: base * factor ^ (n - 1). power: base '
	'* factor ^ n. schedule: element n of delays, and from then on its last element.\n'
	'base: 0 to 366 days.\n'
	'factor: 1 to 100.\n'
	'max_delay: the longest delay, 0 to 366 days; it does not apply to a schedule.\n'
	'max_doublings: exponential only, after so many steps the delay grows linearly. Default: no limit.\n'
	'jitter: varies each delay at random by up to this fraction in both directions, 0 to 1.\n'
	'max_attempts: 1 or more; after so many failed attempts a task is dead.\n'
	'max_age: a task is dead if its next attempt would come later than this after submit() or retry(); at most 36600 days. '
	'Default: no limit.\n'
	'delays: schedule only, 1 to 1000 intervals of 0 to 366 days.\n'
	'These policies exist from the start: default (exponential from 1 s to 1 hour, 25 attempts), webhook (5 s, 5 min, 30 '
	'min, then 2, 5, 10, 14, 20 and 24 hours, 10 attempts), none (1 attempt).\n'
	'Errors: TQ004 for a bad argument, and for a name that is taken.';

create view taskq.retry_policies as
	select name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays, built_in
	from taskq_private.all_retry_policies;
comment on view taskq.retry_policies is
	E'One row for each retry policy.\n'
	'built_in: the policy exists from the start. The other columns are the arguments of create_retry_policy().';

create function taskq.drop_retry_policy(name text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	used_by text;
begin
	perform taskq_private.check_name(name, 'retry policy');
	if exists (select from taskq_private.all_retry_policies p where p.name = drop_retry_policy.name and p.built_in) then
		raise exception using errcode = 'TQ009', message = format('retry policy "%s" cannot be dropped', name),
			detail = 'The policy exists from the start.', hint = 'Leave it unused instead.';
	end if;
	select q.name into used_by from taskq_private.all_queues q where q.retry = drop_retry_policy.name limit 1;
	if found then
		raise exception using errcode = 'TQ009', message = format('retry policy "%s" is in use', name),
			detail = format('It is the policy of queue "%s".', used_by), hint = 'Give the queue another policy with taskq.alter_queue().';
	end if;
	delete from taskq_private.retry_policy p where p.name = drop_retry_policy.name;
	return found;
end
$$;
comment on function taskq.drop_retry_policy is
	E'Drops a retry policy. Live tasks that were submitted with it use the policy default from now on.\n'
	'name: the name of the policy.\n'
	'Returns false if there is no such policy.\n'
	'Errors: TQ004 for a bad name; TQ009 if a queue uses the policy, or if it exists from the start.';
