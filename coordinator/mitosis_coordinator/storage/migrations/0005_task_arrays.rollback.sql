-- Without arrays every task is made at once.
INSERT INTO active_tasks (id, task_suite_id, group_id, priority, max_retries, retry_backoff_seconds, spec, created_by,
    created_at)
SELECT (left(first_task_id::text, 28) || lpad(to_hex(i), 8, '0'))::uuid, task_suite_id, group_id, priority, max_retries,
    retry_backoff_seconds,
    template || '\x3a'::bytea || set_byte('\x00'::bytea, 0, length(payload)) || convert_to(payload, 'UTF8'),
    created_by, created_at
FROM task_arrays CROSS JOIN LATERAL generate_series(next_index, task_count - 1) AS i
CROSS JOIN LATERAL (SELECT (payload_start + i * payload_step)::text AS payload) AS p
WHERE NOT i = ANY(skipped);
DROP TABLE task_arrays;
