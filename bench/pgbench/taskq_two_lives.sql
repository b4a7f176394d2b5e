select taskq.submit('third', :payload);
select id, token, payload from taskq.acquire('third') \gset
select taskq.finish(:id, :token);
select taskq.submit('fourth', :payload);
select id, token, payload from taskq.acquire('fourth') \gset
select taskq.finish(:id, :token);
