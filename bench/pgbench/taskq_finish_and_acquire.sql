select id, token, payload from taskq.finish_and_acquire(:queue, array[:id]::bigint[], array[:token]::bigint[]) \gset
