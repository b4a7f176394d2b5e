select taskq.submit('first', :payload, on_finish => '{"queue": "second"}');
select id, token, payload from taskq.acquire('first') \gset
select taskq.finish(:id, :token);
select id, token, payload from taskq.acquire('second') \gset
select taskq.finish(:id, :token);
