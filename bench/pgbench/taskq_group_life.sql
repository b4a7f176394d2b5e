select taskq.submit('hot', :payload, group_key => 'group0');
select id, token, payload from taskq.acquire('hot') \gset
select taskq.finish(:id, :token);
