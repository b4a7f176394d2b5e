-- header_style: the headers of other systems.  The executor is stopped meanwhile, so that it does
-- not claim the tasks.
set timezone = 'UTC';
\set VERBOSITY terse
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('st_bad', mode => 'push', header_style => 'celery');
select taskq.create_queue('st_bad', mode => 'push', header_style => null);
select taskq.create_queue('st_bad', header_style => 'miyamoto');
select taskq.create_queue('st_bad', mode => 'topic', header_style => 'appengine');
select taskq.create_queue('st_plain', mode => 'push', url => 'https://hook.example/', retry => 'default'),
	taskq.create_queue('st_mi yä', mode => 'push', url => 'https://hook.example/', retry => 'default', header_style => 'miyamoto'),
	taskq.create_queue('st_ae', mode => 'push', url => 'https://hook.example/', retry => 'default', header_style => 'appengine'),
	taskq.create_queue('st_cq', mode => 'push', url => 'https://hook.example/', retry => 'default', header_style => 'cloudtasks');
select taskq.create_endpoint('st_ct', 'https://hook.example/', retry => 'default', header_style => 'cloudtasks');
select queue, header_style from taskq.queues where queue like 'st\_%' or queue = 'http' order by queue;
select taskq.alter_queue('st_ae', mode => 'pull', url => '');
select taskq.alter_queue('st_ae', header_style => 'x');

-- The headers of one attempt after the other.  outcomes: statuses; 1: a connect that failed.
create function sent(id bigint, outcomes int[]) returns table (attempt int, header text) language plpgsql as $$
declare
	c record;
	outcome int;
begin
	attempt := 0;
	foreach outcome in array outcomes loop
		for tries in 1..1000 loop
			select p.* into c from taskq_private.push_claim(1, null, null) p where p.id = sent.id;
			exit when found;
			perform pg_sleep(0.001);
		end loop;
		attempt := attempt + 1;
		return query select sent.attempt, replace(replace(h, sent.id::text, 'ID'), floor(extract(epoch from t.run_at))::bigint::text, 'RUN_AT')
			from unnest(c.headers) h, taskq_private.task t
			where t.id = sent.id and h ~* '^(X-Task:|X-Queue:|X-AppEngine|X-CloudTasks)' order by h;
		perform taskq_private.push_report(c.id, c.token, 'retry', case outcome when 1 then 'connect' else 'http' end,
			nullif(outcome, 1), null, null, false, '1 ms', null, '0', null);
	end loop;
	perform taskq.cancel(sent.id);
end
$$;
select * from sent(taskq.submit('st_plain', '1'), '{500, 500}');
select * from sent(taskq.submit('st_mi yä', '1', key => 'k'), '{500, 500}');
select * from sent(taskq.submit('st_ae', '1'), '{404, 500, 503, 1, 429, 1}');
select * from sent(taskq.submit('st_cq', '1', key => 'order 7/ä'), '{404, 500, 503, 1, 429, 1}');
-- What is of a style can be set by nobody else.
select taskq.submit_http('https://a.example/', queue => 'st_mi yä', headers => '{"x-task": "1"}');
select taskq.submit_http('https://a.example/', queue => 'st_mi yä', headers => '{"X-Queue": "1"}');
select taskq.submit_http('https://a.example/', queue => 'st_ae', headers => '{"X-AppEngine-TaskName": "1"}');
select taskq.submit_http('https://a.example/', queue => 'st_ae', headers => '{"x-appengine-failfast": "1"}');
select taskq.submit_http(endpoint => 'st_ct', headers => '{"X-CloudTasks-Anything": "1"}');
select taskq.submit_template('{"endpoint": "st_ct", "headers": {"X-CloudTasks-QueueName": "1"}}');
select taskq.create_endpoint('st_bad', 'https://hook.example/', headers => '{"X-Task": "1"}', header_style => 'miyamoto');
select taskq.alter_endpoint('st_ct', headers => '{"X-CloudTasks-QueueName": "1"}');
\set VERBOSITY default
select taskq.submit_http('https://a.example/', queue => 'st_mi yä', headers => '{"X-Queue": "1"}');
\set VERBOSITY terse
-- Those of another style can, and what a task had before the style is left out.
select taskq.submit_http('https://a.example/', queue => 'st_plain', headers => '{"X-Task": "forged", "X-Queue": "forged", "X-AppEngine-QueueName": "mine"}') as id \gset
select taskq.alter_queue('st_plain', header_style => 'miyamoto');
select header from sent(:id, '{500}');
select taskq.alter_endpoint('st_ct', headers => '{"X-Task": "1"}');
select taskq.alter_queue('st_ct', header_style => 'miyamoto');
select taskq.alter_queue('st_ct', header_style => 'appengine');

-- As a part of the configuration.
select taskq.export_config() #> '{queues,st_ae,header_style}' as queue, taskq.export_config() #> '{endpoints,st_ct,header_style}' as endpoint;
select * from taskq.apply_config('{"queues": {"st_ae": {"header_style": "taskq"}, "st_new": {"mode": "push", "header_style": "appengine"}},
	"endpoints": {"st_ct": {"header_style": "cloudtasks"}, "st_end": {"url": "https://hook.example/", "header_style": "miyamoto"}}}');
select queue, header_style from taskq.queues where queue like 'st\_%' order by queue;

select taskq.drop_queue(q, true) from unnest('{st_plain, st_mi yä, st_ae, st_cq, st_ct, st_new, st_end}'::text[]) q;
drop function sent;
select taskq.disarm(), taskq.start_executor();
