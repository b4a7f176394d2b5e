select taskq.submit_http(:url, :payload);
