select array_agg(id) as ids, array_agg(token) as tokens, array_agg(payload) as payloads from taskq.acquire(:queue, 100) \gset
select count(*) from taskq.finish_many(:ids, :tokens);
