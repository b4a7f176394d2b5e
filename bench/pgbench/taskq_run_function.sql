-- A task whose worker runs a function that does nothing.
select id, token from taskq.acquire('pull') \gset
begin;
select public.nothing();
select taskq.finish(:id, :token);
commit;
