-- What the gateway sends: the role and the name for this transaction, and the statement.
\startpipeline
select pg_catalog.set_config('role', 'bench_shop', true), pg_catalog.set_config('application_name', 'bench', true);
select taskq.submit(:queue, :payload);
\endpipeline
