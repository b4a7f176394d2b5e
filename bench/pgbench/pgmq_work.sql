select msg_id as id, message as payload from pgmq.read('q', 60, 1) \gset
select pgmq.delete('q', :id::bigint);
