select pgq.insert_event('q', 'task', :payload);
