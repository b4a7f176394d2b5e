update raw_flow set state = 'running', lease = clock_timestamp() + '60 s' where id = (select id from raw_flow where queue = 'q' and state = 'ready' and run_at <= clock_timestamp() and (select count(*) from raw_flow where queue = 'q' and state = 'running') < 100 order by priority, run_at, id limit 1 for update skip locked) returning id, payload \gset
delete from raw_flow where id = :id;
