select taskq.submit('default', :payload, key => 'c' || :client_id || ' ' || random());
