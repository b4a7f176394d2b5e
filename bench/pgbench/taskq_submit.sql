select taskq.submit(:queue, :payload);
