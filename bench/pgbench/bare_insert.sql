insert into bare_task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, payload) values (nextval('bare_id'), now(), now(), 1, 0, 25, 0, :payload);
