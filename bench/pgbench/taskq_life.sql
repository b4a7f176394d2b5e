select taskq.submit(:queue, :payload);
select id, token, payload from taskq.acquire(:queue) \gset
select taskq.finish(:id, :token);
