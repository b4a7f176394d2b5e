select id, token, case group_key when 'b0' then 10 else 200 end as ms from taskq.acquire(:queue) \gset
\sleep :ms ms
select taskq.finish(:id, :token);
