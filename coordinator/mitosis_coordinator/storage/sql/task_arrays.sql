-- name: insert_array
-- Stores tasks that are not made yet.
INSERT INTO task_arrays (task_suite_id, group_id, first_task_id, task_count, payload_start, payload_step, priority,
    max_retries, retry_backoff_seconds, template, created_by)
VALUES (%(suite_id)s, %(group_id)s, %(first_task_id)s, %(task_count)s, %(payload_start)s, %(payload_step)s,
    %(priority)s, %(max_retries)s, %(retry_backoff_seconds)s, %(template)s, %(created_by)s)

-- name: make_tasks
-- Makes the next tasks of the array that is first in line, when few Ready tasks are left that go before them.
WITH array_ AS MATERIALIZED (
    SELECT * FROM task_arrays
    WHERE task_suite_id = %(suite_id)s
      AND (%(first_task_id)s::uuid IS NULL OR first_task_id = %(first_task_id)s)
    ORDER BY priority DESC, first_task_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), due AS MATERIALIZED (
    SELECT a.*, least(a.task_count, a.next_index + %(chunk)s) AS end_index FROM array_ a
    WHERE (
        SELECT count(*) FROM (
            SELECT FROM active_tasks t
            WHERE t.task_suite_id = %(suite_id)s AND t.state = 'Ready' AND t.retry_at IS NULL
              AND t.priority >= a.priority
            LIMIT %(low_water)s) AS ready) < %(low_water)s
), made AS (
    INSERT INTO active_tasks (id, task_suite_id, group_id, priority, max_retries, retry_backoff_seconds, spec,
        created_by, created_at)
    SELECT (left(d.first_task_id::text, 28) || lpad(to_hex(i), 8, '0'))::uuid, d.task_suite_id, d.group_id, d.priority,
        d.max_retries, d.retry_backoff_seconds,
        -- Serialized messages can be put one after the other: this is field 7, `payload`, with its length.
        d.template || '\x3a'::bytea || set_byte('\x00'::bytea, 0, length(payload)) || convert_to(payload, 'UTF8'),
        d.created_by, d.created_at
    FROM due d CROSS JOIN LATERAL generate_series(d.next_index, d.end_index - 1) AS i
    CROSS JOIN LATERAL (SELECT (d.payload_start + i * d.payload_step)::text AS payload) AS p
    WHERE NOT i = ANY(d.skipped)
    RETURNING 1
), moved AS (
    UPDATE task_arrays a SET next_index = d.end_index FROM due d WHERE a.id = d.id AND d.end_index < d.task_count
), ended AS (
    DELETE FROM task_arrays a USING due d WHERE a.id = d.id AND d.end_index = d.task_count
)
SELECT (SELECT count(*) FROM made) AS made, EXISTS (SELECT FROM due) AS moved_on

-- name: get_unmade_task
-- A task that is not made yet, as users see it.
SELECT a.task_suite_id, a.group_id, g.name AS group_name, a.priority, a.created_by, a.created_at,
    a.template || '\x3a'::bytea || set_byte('\x00'::bytea, 0, length(payload)) || convert_to(payload, 'UTF8') AS spec
FROM task_arrays a JOIN groups g ON g.id = a.group_id
CROSS JOIN LATERAL (SELECT (a.payload_start + %(index)s::bigint * a.payload_step)::text AS payload) AS p
WHERE a.first_task_id = %(first_task_id)s AND %(index)s::bigint >= a.next_index AND %(index)s::bigint < a.task_count
  AND NOT %(index)s::bigint = ANY(a.skipped)

-- name: unmade_task_line
-- How many tasks go before one that is not made yet, up to a bound.
SELECT '{}'::uuid[] AS excluded_ids, now() AS now, %(index)s::bigint - a.next_index + (
    SELECT count(*) FROM (
        SELECT FROM active_tasks t
        WHERE t.task_suite_id = a.task_suite_id AND t.state = 'Ready' AND t.retry_at IS NULL
          AND t.priority >= a.priority
        LIMIT %(limit)s) AS ready) AS before
FROM task_arrays a
WHERE a.first_task_id = %(first_task_id)s AND %(index)s::bigint >= a.next_index AND %(index)s::bigint < a.task_count

-- name: cancel_unmade_task
-- Moves a task that is not made yet into history, as Cancelled.
WITH gone AS (
    UPDATE task_arrays SET skipped = array_append(skipped, %(index)s::integer)
    WHERE first_task_id = %(first_task_id)s AND %(index)s::bigint >= next_index AND %(index)s::bigint < task_count
      AND NOT %(index)s::bigint = ANY(skipped)
    RETURNING *
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, finished_at, error)
    SELECT %(task_id)s, task_suite_id, group_id, 'Cancelled', priority, 0, max_retries, retry_backoff_seconds,
        template || '\x3a'::bytea || set_byte('\x00'::bytea, 0, length(payload)) || convert_to(payload, 'UTF8'),
        created_by, created_at, now(), %(error)s
    FROM gone CROSS JOIN LATERAL (
        SELECT (payload_start + %(index)s::bigint * payload_step)::text AS payload) AS p
)
SELECT task_suite_id, group_id FROM gone

-- name: cancel_unmade_tasks
-- Moves what is not made yet of a suite into history, as Cancelled.
WITH gone AS (
    DELETE FROM task_arrays WHERE task_suite_id = %(suite_id)s RETURNING *
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, finished_at, error)
    SELECT (left(first_task_id::text, 28) || lpad(to_hex(i), 8, '0'))::uuid, task_suite_id, group_id, 'Cancelled',
        priority, 0, max_retries, retry_backoff_seconds,
        template || '\x3a'::bytea || set_byte('\x00'::bytea, 0, length(payload)) || convert_to(payload, 'UTF8'),
        created_by, created_at, now(), %(error)s
    FROM gone CROSS JOIN LATERAL generate_series(next_index, task_count - 1) AS i
    CROSS JOIN LATERAL (SELECT (payload_start + i * payload_step)::text AS payload) AS p
    WHERE NOT i = ANY(skipped)
    RETURNING 1
)
SELECT count(*) FROM archived
