select count(*) from taskq.submit_many(:queue, array_fill(:payload::jsonb, array[1000]));
