select id, token, payload from taskq.acquire(:queue) \gset
begin;
select taskq.finish(:id, :token);
update batch set left_over = left_over - 1 where id = 1;
commit;
