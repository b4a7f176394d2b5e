select 1 as id, 1 as token, '' as payload \gset
select pg_logical_emit_message(true, '', '');
