update raw set state = 'running', lease = clock_timestamp() + '60 s' where id = (select id from raw where queue = 'q' and state = 'ready' and run_at <= clock_timestamp() order by priority, run_at, id limit 1 for update skip locked) returning id, payload \gset
delete from raw where id = :id;
