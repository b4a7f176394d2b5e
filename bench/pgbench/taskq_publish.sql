select count(*) from taskq.publish('topic', :payload);
