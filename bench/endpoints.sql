-- Claims of push tasks, timed by the server: see bench/scenarios/endpoints.sh.

create procedure report_all() language sql as $$
	select taskq_private.push_report(id, token, 'success', 'http', 200, null, null, false, '1 ms', null, null, null) from taskq_private.lease
$$;

-- Each endpoint sends a task and gets one for later.
create procedure send_all(endpoints int) language plpgsql as $$
begin
	for i in 1 .. endpoints loop
		perform taskq.submit('e' || i), taskq.submit('e' || i, delay => '1 day');
		if i % 100 = 0 or i = endpoints then
			commit;
			perform taskq_private.push_claim(100, null, null);
			call report_all();
			commit;
		end if;
	end loop;
end
$$;

create procedure claim_time(endpoints int, claims int, inout microseconds float8) language plpgsql as $$
declare
	times float8[];
	began timestamptz;
	claimed int;
begin
	for i in -4 .. claims loop
		perform taskq.submit('e' || 1 + floor(random() * endpoints));
		commit;
		began := clock_timestamp();
		select count(*) into claimed from taskq_private.push_claim(2, null, null);
		perform taskq_private.push_next_due(null, null);
		if claimed <> 1 then
			raise '% tasks were claimed', claimed;
		end if;
		if i > 0 then
			times[i] := extract(epoch from clock_timestamp() - began) * 1e6;
		end if;
		call report_all();
		commit;
	end loop;
	select percentile_cont(0.5) within group (order by t) into microseconds from unnest(times) t;
end
$$;
