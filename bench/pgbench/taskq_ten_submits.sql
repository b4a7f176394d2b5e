select taskq.submit('s1', :payload), taskq.submit('s2', :payload), taskq.submit('s3', :payload), taskq.submit('s4', :payload),
	taskq.submit('s5', :payload), taskq.submit('s6', :payload), taskq.submit('s7', :payload), taskq.submit('s8', :payload),
	taskq.submit('s9', :payload), taskq.submit('s10', :payload);
