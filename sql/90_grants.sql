-- Who may call what.  Everything belongs to taskq_owner; PUBLIC has nothing.

do $$
declare
	o record;
begin
	for o in
		select d.classid, d.objid, c.relkind, t.typtype
		from pg_catalog.pg_depend d
			join pg_catalog.pg_extension e on e.oid = d.refobjid and e.extname = 'taskq'
			left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.objid
			left join pg_catalog.pg_type t on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and t.oid = d.objid
		where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
	loop
		if o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass then
			execute pg_catalog.format('alter routine %s owner to taskq_owner', o.objid::pg_catalog.regprocedure);
			execute pg_catalog.format('revoke all on routine %s from public', o.objid::pg_catalog.regprocedure);
		elsif o.relkind in ('r', 'p', 'v') then
			execute pg_catalog.format('alter table %s owner to taskq_owner', o.objid::pg_catalog.regclass);
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regclass);
		elsif o.relkind = 'S' then
			execute pg_catalog.format('alter sequence %s owner to taskq_owner', o.objid::pg_catalog.regclass);
		elsif o.typtype = 'e' then
			execute pg_catalog.format('alter type %s owner to taskq_owner', o.objid::pg_catalog.regtype);
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regtype);
		end if;
	end loop;
end
$$;

alter schema taskq owner to taskq_owner;

-- For the xmin holders in status().
grant pg_read_all_stats to taskq_owner;

grant usage on schema taskq to taskq_admin, taskq_submitter, taskq_worker, taskq_reader, taskq_bgw;
grant usage on type taskq.state to taskq_admin, taskq_submitter, taskq_worker, taskq_reader;

grant execute on function
	taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text),
	taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text),
	taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text),
	taskq.cancel(bigint, text),
	taskq.cancel_key(text, text)
to taskq_submitter, taskq_admin;

grant execute on function
	taskq.acquire(text, int, interval, text),
	taskq.heartbeat(bigint, bigint, interval),
	taskq.finish(bigint, bigint, jsonb),
	taskq.fail(bigint, bigint, text, jsonb, interval, boolean),
	taskq.release(bigint, bigint, interval),
	taskq.progress(bigint, bigint, real, text),
	taskq.finish_many(bigint[], bigint[], jsonb[]),
	taskq.heartbeat_many(bigint[], bigint[], interval),
	taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text)
to taskq_worker, taskq_admin;

grant execute on procedure taskq.wait_ready(text, interval, boolean) to taskq_worker, taskq_admin;

grant execute on routine
	taskq.result(bigint),
	taskq.response(bigint),
	taskq.wait(bigint, interval, taskq.state, jsonb)
to taskq_submitter, taskq_reader, taskq_admin;

grant execute on function
	taskq.backoff(text, int),
	taskq.status()
to taskq_submitter, taskq_worker, taskq_reader, taskq_admin;

grant select on taskq.tasks, taskq.attempts, taskq.queues, taskq.workers, taskq.retry_policies to taskq_reader, taskq_admin;

grant execute on function
	taskq.create_queue(text, text, text, interval, text, interval, interval, interval),
	taskq.alter_queue(text, text, text, interval, text, interval, interval, interval),
	taskq.drop_queue(text, boolean),
	taskq.pause_queue(text),
	taskq.resume_queue(text),
	taskq.purge_queue(text),
	taskq.create_retry_policy(text, text, interval, real, interval, int, real, int, interval, interval[]),
	taskq.drop_retry_policy(text),
	taskq.retry(bigint, timestamptz),
	taskq.arm(),
	taskq.disarm(),
	taskq.start_executor(),
	taskq.stop_executor()
to taskq_admin;

grant execute on function
	taskq._armed(),
	taskq._push_claim(int),
	taskq._push_next_due(),
	taskq._push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval),
	taskq._push_extend(bigint[], bigint[]),
	taskq._push_release(bigint[], bigint[]),
	taskq._push_recover(),
	taskq._expire_leases(),
	taskq._make_history(),
	taskq._drop_history(),
	taskq._drop_keys()
to taskq_bgw;

-- The executor of this database starts when the installation commits.
select taskq._poke_launcher();
