select pgq.next_batch('q', 'worker') as batch \gset
select array_agg(ev_id) as ids, array_agg(ev_data) as payloads from pgq.get_batch_events(:batch) \gset
select pgq.finish_batch(:batch);
