-- name: insert_tasks
-- Stores a batch of Ready tasks.
INSERT INTO active_tasks (id, task_suite_id, group_id, priority, max_retries, retry_backoff_seconds, spec, created_by)
SELECT new.id, %(suite_id)s, %(group_id)s, coalesce(new.priority, 0), coalesce(new.max_retries, %(default_retries)s),
    coalesce(new.retry_backoff_seconds, %(default_backoff)s), new.spec, %(created_by)s
FROM unnest(%(ids)s::uuid[], %(priorities)s::int4[], %(max_retries)s::int4[], %(backoffs)s::float4[],
    %(specs)s::bytea[]) AS new (id, priority, max_retries, retry_backoff_seconds, spec)

-- name: insert_independent_tasks
-- Stores a batch of Ready tasks of no suite. No tag has a comma, so that a task's tags fit one text.
INSERT INTO active_tasks (id, group_id, priority, max_retries, retry_backoff_seconds, spec, tags, created_by)
SELECT new.id, %(group_id)s, coalesce(new.priority, 0), coalesce(new.max_retries, %(default_retries)s),
    coalesce(new.retry_backoff_seconds, %(default_backoff)s), new.spec,
    coalesce(string_to_array(new.tags, ','), '{}'), %(created_by)s
FROM unnest(%(ids)s::uuid[], %(priorities)s::int4[], %(max_retries)s::int4[], %(backoffs)s::float4[],
    %(specs)s::bytea[], %(tags)s::text[]) AS new (id, priority, max_retries, retry_backoff_seconds, spec, tags)

-- name: claim_tasks
-- Hands Ready tasks of a suite to an assignment that lasts, by priority and age.
WITH holder AS MATERIALIZED (
    -- Locked, so that the assignment cannot end, nor pass to a newer session, before these tasks are seen to be its own.
    SELECT id FROM assignments
    WHERE id = %(assignment_id)s AND manager_id = %(manager_id)s AND state <> 'Ended'
      AND session_epoch = %(session_epoch)s
    FOR SHARE
), picked AS (
    SELECT id FROM active_tasks
    WHERE task_suite_id = %(suite_id)s AND state = 'Ready' AND retry_at IS NULL
      AND NOT (%(manager_id)s = ANY(coalesce(excluded_manager_ids, '{}')))
      AND (SELECT count(*) FROM holder) = 1
    ORDER BY priority DESC, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE active_tasks t SET state = 'Dispatched', attempt = t.attempt + 1, assignment_id = %(assignment_id)s
FROM picked
WHERE t.id = picked.id
RETURNING t.id::text AS task_id, t.attempt, t.spec, t.priority,
    EXISTS (SELECT FROM task_arrays WHERE task_suite_id = %(suite_id)s) AS unmade

-- name: claim_tasks_behind
-- The same, of one priority and behind one task: a condition that begins the scan there, which no OR would.
WITH holder AS MATERIALIZED (
    -- Locked as in `claim_tasks`.
    SELECT id FROM assignments
    WHERE id = %(assignment_id)s AND manager_id = %(manager_id)s AND state <> 'Ended'
      AND session_epoch = %(session_epoch)s
    FOR SHARE
), picked AS (
    SELECT id FROM active_tasks
    WHERE task_suite_id = %(suite_id)s AND state = 'Ready' AND retry_at IS NULL
      AND priority = %(priority)s AND id > %(behind)s
      AND NOT (%(manager_id)s = ANY(coalesce(excluded_manager_ids, '{}')))
      AND (SELECT count(*) FROM holder) = 1
    ORDER BY priority DESC, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE active_tasks t SET state = 'Dispatched', attempt = t.attempt + 1, assignment_id = %(assignment_id)s
FROM picked
WHERE t.id = picked.id
RETURNING t.id::text AS task_id, t.attempt, t.spec, t.priority,
    EXISTS (SELECT FROM task_arrays WHERE task_suite_id = %(suite_id)s) AS unmade

-- name: claim_independent_tasks
-- Hands Ready tasks of no suite to a worker's assignment that lasts: of its groups, the one whose best task is best.
WITH holder AS MATERIALIZED (
    -- Locked as in `claim_tasks`, and before what follows is looked at.
    SELECT a.id, a.worker_id, w.tags FROM assignments a JOIN independent_workers w ON w.id = a.worker_id
    WHERE a.id = %(assignment_id)s AND a.worker_id = %(worker_id)s AND a.state <> 'Ended'
      AND a.session_epoch = %(session_epoch)s
    FOR SHARE OF a
), best AS MATERIALIZED (
    SELECT g.group_id FROM holder JOIN group_worker g ON g.worker_id = holder.worker_id
    CROSS JOIN LATERAL (
        SELECT t.priority, t.id FROM active_tasks t
        WHERE t.group_id = g.group_id AND t.state = 'Ready' AND t.retry_at IS NULL AND t.task_suite_id IS NULL
          AND t.tags <@ holder.tags AND NOT (holder.worker_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
        ORDER BY t.priority DESC, t.id
        LIMIT 1
    ) t
    ORDER BY t.priority DESC, t.id
    LIMIT 1
), picked AS (
    SELECT id FROM active_tasks
    WHERE group_id = (SELECT group_id FROM best) AND state = 'Ready' AND retry_at IS NULL AND task_suite_id IS NULL
      AND tags <@ (SELECT tags FROM holder) AND NOT (%(worker_id)s = ANY(coalesce(excluded_manager_ids, '{}')))
    ORDER BY priority DESC, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE active_tasks t SET state = 'Dispatched', attempt = t.attempt + 1, assignment_id = %(assignment_id)s
    FROM picked
    WHERE t.id = picked.id
    RETURNING t.id::text AS task_id, t.attempt, t.spec, t.priority
)
-- A row without a task says that others were quicker: there was something, and there may be more in another group.
SELECT c.task_id, c.attempt, c.spec, c.priority FROM best LEFT JOIN claimed c ON true

-- name: finish_tasks
-- Moves reported attempts into history and counts them, if the reporter still holds them.
WITH guarded AS MATERIALIZED (
    -- The suite first, as every transaction does, in one order for everybody.
    SELECT a.id FROM assignments a JOIN task_suites s ON s.id = a.task_suite_id
    WHERE a.id = ANY(%(holdings)s) AND a.manager_id = %(holder_id)s
    ORDER BY s.id
    FOR NO KEY UPDATE OF s
), guarded_alone AS MATERIALIZED (
    -- A worker's assignment has no suite, and is locked itself.
    SELECT id FROM assignments
    WHERE id = ANY(%(holdings)s) AND worker_id = %(holder_id)s
    ORDER BY id
    FOR NO KEY UPDATE
), report AS (
    -- A column in which no row says anything comes empty, and reads as NULL here.
    SELECT * FROM unnest(%(ids)s::uuid[], %(attempts)s::int4[], %(assignment_ids)s::int8[], %(states)s::text[],
        %(exit_codes)s::int4[], %(errors)s::text[], %(stdout_tails)s::text[], %(stderr_tails)s::text[],
        %(return_values)s::text[], %(started)s::timestamptz[], %(finished)s::timestamptz[])
        AS r (id, attempt, assignment_id, final_state, exit_code, error, stdout_tail, stderr_tail, return_value,
            run_started_at, run_finished_at)
), gone AS (
    -- Not `=`: an index leads from the assignment to its tasks too, and reading them all for each report is no plan.
    DELETE FROM active_tasks t USING report r
    WHERE t.id = r.id AND t.attempt = r.attempt AND t.assignment_id IS NOT DISTINCT FROM r.assignment_id
      -- One value, known only when every lock above is held, and needed before the first task is touched.
      AND r.assignment_id = ANY ((
          SELECT array_agg(g.id) FROM (SELECT id FROM guarded UNION ALL SELECT id FROM guarded_alone) g)::int8[])
    RETURNING t.id, t.task_suite_id, t.group_id, t.priority, t.attempt, t.assignment_id, t.max_retries,
        t.retry_backoff_seconds, t.spec, t.tags, t.created_by, t.created_at,
        coalesce(r.final_state, 'Completed') AS final_state, r.exit_code, coalesce(r.error, '') AS error,
        coalesce(r.stdout_tail, '') AS stdout_tail, coalesce(r.stderr_tail, '') AS stderr_tail, r.return_value,
        -- A run that was ended from outside is reported by somebody who does not know when it began.
        coalesce(r.run_started_at, t.started_at) AS run_started_at, r.run_finished_at
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, tags, created_by, created_at, started_at, finished_at, exit_code, error,
        stdout_tail, stderr_tail, return_value)
    SELECT id, task_suite_id, group_id, final_state, priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, tags, created_by, created_at, run_started_at, coalesce(run_finished_at, now()),
        exit_code, error, stdout_tail, stderr_tail, return_value
    FROM gone
), failed AS (
    INSERT INTO task_execution_failures (task_id, task_suite_id, attempt, kind, holder_id, error)
    SELECT id, task_suite_id, attempt, 'Task', %(holder_id)s, error FROM gone WHERE final_state = 'Failed'
), counted AS (
    SELECT task_suite_id, count(*) AS finished, count(*) FILTER (WHERE final_state = 'Completed') AS completed,
        count(*) FILTER (WHERE final_state = 'Failed') AS failed,
        count(*) FILTER (WHERE final_state = 'Cancelled') AS cancelled
    FROM gone GROUP BY task_suite_id
), suites AS (
    UPDATE task_suites s SET pending_tasks = s.pending_tasks - c.finished,
        completed_tasks = s.completed_tasks + c.completed, failed_tasks = s.failed_tasks + c.failed,
        cancelled_tasks = s.cancelled_tasks + c.cancelled, last_activity_at = now(), updated_at = now()
    FROM counted c WHERE s.id = c.task_suite_id
    RETURNING s.id, s.pending_tasks
)
SELECT (SELECT count(*) FROM gone) AS accepted,
    -- The ids themselves only when a report was refused, which is rare.
    CASE WHEN (SELECT count(*) FROM gone) < %(count)s THEN (SELECT array_agg(id::text) FROM gone) END AS accepted_ids,
    (SELECT array_agg(id) FROM suites) AS suite_ids,
    (SELECT array_agg(id) FROM suites WHERE pending_tasks = 0) AS quiet_suite_ids

-- name: schedule_retries
-- Makes failed attempts Ready again, after a back-off, where the task asked for retries and has some left.
WITH report AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(attempts)s::int4[], %(assignment_ids)s::int8[], %(errors)s::text[])
        AS r (id, attempt, assignment_id, error)
), retried AS (
    UPDATE active_tasks t SET state = 'Ready', assignment_id = NULL, started_at = NULL,
        failures = t.failures + 1,
        retry_at = now() + make_interval(secs => least(t.retry_backoff_seconds * (2.0 ^ least(t.failures, 20)), 86400))
    FROM report r
    WHERE t.id = r.id AND t.attempt = r.attempt AND t.assignment_id IS NOT DISTINCT FROM r.assignment_id AND t.failures < t.max_retries
    RETURNING t.id, t.task_suite_id, t.attempt, r.assignment_id, r.error
), recorded AS (
    INSERT INTO task_execution_failures (task_id, task_suite_id, attempt, kind, holder_id, error)
    SELECT retried.id, retried.task_suite_id, retried.attempt, 'Task', a.holder_id, retried.error
    FROM retried JOIN assignments a ON a.id = retried.assignment_id
)
SELECT id::text AS task_id, task_suite_id FROM retried

-- name: release_due_retries
-- Ends the back-off of tasks whose time has come.
UPDATE active_tasks SET retry_at = NULL WHERE retry_at <= now() RETURNING task_suite_id, group_id

-- name: next_due_retry
-- Seconds until the next back-off ends.
SELECT extract(epoch FROM min(retry_at) - now())::float8 AS seconds FROM active_tasks WHERE retry_at IS NOT NULL

-- name: lock_held_task
-- One attempt, if the reporter still holds it, for a decision about it.
SELECT t.id, t.task_suite_id, t.group_id, t.attempt, coalesce(cardinality(t.excluded_manager_ids), 0) AS worn_out,
    coalesce(s.max_attempts, 3) AS max_attempts, s.state AS suite_state, a.holder_id,
    EXISTS (
        SELECT 1 FROM task_suite_managers e JOIN node_managers m ON m.id = e.manager_id
        WHERE e.task_suite_id = t.task_suite_id AND e.manager_id <> a.holder_id
          AND NOT (e.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
          AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand) AND m.state NOT IN ('Offline', 'Failed')
          AND NOT m.draining
    ) OR t.task_suite_id IS NULL AND EXISTS (
        SELECT 1 FROM group_worker g JOIN independent_workers w ON w.id = g.worker_id
        WHERE g.group_id = t.group_id AND t.tags <@ w.tags AND w.id <> a.holder_id AND w.state <> 'Offline'
          AND NOT (w.id = ANY(coalesce(t.excluded_manager_ids, '{}')))
    ) AS another_holder
FROM active_tasks t
JOIN assignments a ON a.id = t.assignment_id
LEFT JOIN task_suites s ON s.id = t.task_suite_id
WHERE t.id = %(task_id)s AND t.attempt = %(attempt)s AND t.assignment_id = %(assignment_id)s
FOR UPDATE OF t

-- name: exclude_holder
-- Hands a task that killed its workers to another holder.
UPDATE active_tasks SET state = 'Ready', assignment_id = NULL, started_at = NULL,
    excluded_manager_ids = array_append(coalesce(excluded_manager_ids, '{}'), %(holder_id)s::uuid)
WHERE id = %(task_id)s

-- name: record_failures
-- Writes failures into the history of a task.
INSERT INTO task_execution_failures (task_id, task_suite_id, attempt, kind, holder_id, error)
SELECT %(task_id)s, %(suite_id)s, %(attempt)s, %(kind)s, %(holder_id)s, error
FROM unnest(%(errors)s::text[]) AS given (error)

-- name: record_worker_deaths
-- Writes the deaths of workers that an attempt survived into its history, if the reporter still holds it.
INSERT INTO task_execution_failures (task_id, task_suite_id, attempt, kind, holder_id, error)
SELECT t.id, t.task_suite_id, t.attempt, 'Worker', a.holder_id, given.error
FROM active_tasks t JOIN assignments a ON a.id = t.assignment_id, unnest(%(errors)s::text[]) AS given (error)
WHERE t.id = %(task_id)s AND t.attempt = %(attempt)s AND t.assignment_id = %(assignment_id)s

-- name: start_tasks
-- Records that attempts run, for those that take longer than a second.
UPDATE active_tasks t SET state = 'Running', started_at = r.started_at
FROM unnest(%(ids)s::uuid[], %(attempts)s::int4[], %(started)s::timestamptz[]) AS r (id, attempt, started_at)
WHERE t.id = r.id AND t.attempt = r.attempt AND t.assignment_id IS NOT DISTINCT FROM %(assignment_id)s AND t.state = 'Dispatched'
  AND EXISTS (SELECT 1 FROM assignments a
              WHERE a.id = %(assignment_id)s AND a.holder_id = %(holder_id)s AND a.state <> 'Ended')

-- name: return_tasks
-- Makes attempts that were handed back Ready again, without charge.
UPDATE active_tasks t SET state = 'Ready', assignment_id = NULL, started_at = NULL
FROM unnest(%(ids)s::uuid[], %(attempts)s::int4[]) AS r (id, attempt)
WHERE t.id = r.id AND t.attempt = r.attempt AND t.assignment_id IS NOT DISTINCT FROM %(assignment_id)s
RETURNING t.id

-- name: held_by_assignment
-- What an assignment holds.
SELECT id::text AS task_id, attempt FROM active_tasks WHERE assignment_id = %(assignment_id)s

-- name: release_assignment
-- Makes everything that an assignment still holds Ready again.
UPDATE active_tasks SET state = 'Ready', assignment_id = NULL, started_at = NULL
WHERE assignment_id = %(assignment_id)s

-- name: reclaim_assignment
-- Makes what a lost holder held, but for some tasks, Ready again and writes the loss into each history.
WITH reclaimed AS (
    UPDATE active_tasks SET state = 'Ready', assignment_id = NULL, started_at = NULL
    WHERE assignment_id = %(assignment_id)s AND id <> ALL(%(kept)s::uuid[])
    RETURNING id, task_suite_id, attempt
), recorded AS (
    INSERT INTO task_execution_failures (task_id, task_suite_id, attempt, kind, holder_id, error)
    SELECT id, task_suite_id, attempt, 'Node', %(holder_id)s, %(error)s FROM reclaimed
)
SELECT count(*) AS reclaimed FROM reclaimed

-- name: allow_long_statements
-- Lifts the statement timeout for one transaction that touches every task of a suite.
SELECT set_config('statement_timeout', '600000', true)

-- name: cancel_ready_tasks
-- Cancels the tasks of a suite that nobody holds.
WITH gone AS (
    DELETE FROM active_tasks WHERE task_suite_id = %(suite_id)s AND state = 'Ready' RETURNING *
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, started_at, finished_at, error)
    SELECT id, task_suite_id, group_id, 'Cancelled', priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, started_at, now(), %(error)s
    FROM gone
)
SELECT count(*) AS cancelled FROM gone

-- name: cancel_all_tasks
-- Cancels the tasks of a suite, those that somebody holds included.
WITH gone AS (
    DELETE FROM active_tasks WHERE task_suite_id = %(suite_id)s RETURNING *
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, started_at, finished_at, error)
    SELECT id, task_suite_id, group_id, 'Cancelled', priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, started_at, now(), %(error)s
    FROM gone
)
SELECT count(*) AS cancelled FROM gone

-- name: cancel_task
-- Cancels one task that is not finished.
WITH gone AS (
    DELETE FROM active_tasks WHERE id = %(task_id)s RETURNING *
), archived AS (
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, tags, created_by, created_at, started_at, finished_at, error)
    SELECT id, task_suite_id, group_id, 'Cancelled', priority, attempt, assignment_id, max_retries,
        retry_backoff_seconds, spec, tags, created_by, created_at, started_at, now(), %(error)s
    FROM gone
)
SELECT gone.task_suite_id, gone.attempt, gone.assignment_id, gone.group_id, a.manager_id, a.worker_id
FROM gone LEFT JOIN assignments a ON a.id = gone.assignment_id

-- name: retry_failed_tasks
-- Takes the Failed tasks of a suite out of history, Ready, with all budgets fresh.
WITH gone AS (
    DELETE FROM archived_tasks WHERE task_suite_id = %(suite_id)s AND state = 'Failed' RETURNING *
), active AS (
    INSERT INTO active_tasks (id, task_suite_id, group_id, priority, attempt, max_retries, retry_backoff_seconds, spec,
        created_by, created_at)
    SELECT id, task_suite_id, group_id, priority, attempt, max_retries, retry_backoff_seconds, spec, created_by,
        created_at
    FROM gone
)
SELECT count(*) AS retried FROM gone

-- name: fail_held_task
-- Moves one held task into history as Failed.
WITH gone AS (
    DELETE FROM active_tasks WHERE id = %(task_id)s RETURNING *
)
INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, max_retries,
    retry_backoff_seconds, spec, tags, created_by, created_at, started_at, finished_at, error, stdout_tail, stderr_tail)
SELECT id, task_suite_id, group_id, 'Failed', priority, attempt, assignment_id, max_retries,
    retry_backoff_seconds, spec, tags, created_by, created_at, started_at, now(), %(error)s, %(stdout_tail)s,
    %(stderr_tail)s
FROM gone

-- name: get_task
-- One task, pending or finished.
SELECT t.*, g.name AS group_name, a.manager_id, m.name AS manager_name, a.worker_id,
    w.name AS worker_name FROM (
    SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, NULL::timestamptz AS finished_at, retry_at, NULL::int4 AS exit_code,
        NULL::text AS error, NULL::text AS stdout_tail, NULL::text AS stderr_tail, NULL::text AS return_value
    FROM active_tasks WHERE id = %(task_id)s
    UNION ALL
    SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, finished_at, NULL, exit_code, error, stdout_tail, stderr_tail, return_value
    FROM archived_tasks WHERE id = %(task_id)s
) t
JOIN groups g ON g.id = t.group_id
LEFT JOIN assignments a ON a.id = t.assignment_id
LEFT JOIN node_managers m ON m.id = a.manager_id
LEFT JOIN independent_workers w ON w.id = a.worker_id

-- name: task_failures
-- The failures of one task, oldest first.
SELECT f.kind, f.attempt, m.id AS manager_id, m.name AS manager_name, w.id AS worker_id, w.name AS worker_name, f.error,
    f.failed_at
FROM task_execution_failures f
LEFT JOIN node_managers m ON m.id = f.holder_id
LEFT JOIN independent_workers w ON w.id = f.holder_id
WHERE f.task_id = %(task_id)s
ORDER BY f.id
LIMIT 1000

-- name: list_suite_tasks
-- One page of a suite's tasks, newest first. The parts that cannot match the states asked for are not read.
SELECT t.*, g.name AS group_name, a.manager_id, m.name AS manager_name, a.worker_id,
    w.name AS worker_name FROM (
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, NULL::timestamptz AS finished_at, retry_at, NULL::int4 AS exit_code,
        NULL::text AS error, NULL::text AS stdout_tail, NULL::text AS stderr_tail, NULL::text AS return_value
    FROM active_tasks
    WHERE %(pending)s AND task_suite_id = %(suite_id)s AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, finished_at, NULL, exit_code, error, stdout_tail, stderr_tail, return_value
    FROM archived_tasks
    WHERE %(completed)s AND task_suite_id = %(suite_id)s AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, finished_at, NULL, exit_code, error, stdout_tail, stderr_tail, return_value
    FROM archived_tasks
    WHERE NOT %(completed)s AND state <> 'Completed' AND task_suite_id = %(suite_id)s AND id < %(before)s
      AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
) t
JOIN groups g ON g.id = t.group_id
LEFT JOIN assignments a ON a.id = t.assignment_id
LEFT JOIN node_managers m ON m.id = a.manager_id
LEFT JOIN independent_workers w ON w.id = a.worker_id
ORDER BY t.id DESC
LIMIT %(limit)s

-- name: list_all_tasks
-- One page of everybody's tasks, newest first, along the primary keys.
SELECT t.*, g.name AS group_name, a.manager_id, m.name AS manager_name, a.worker_id,
    w.name AS worker_name FROM (
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, NULL::timestamptz AS finished_at, retry_at, NULL::int4 AS exit_code,
        NULL::text AS error, NULL::text AS stdout_tail, NULL::text AS stderr_tail, NULL::text AS return_value
    FROM active_tasks
    WHERE %(pending)s AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, finished_at, NULL, exit_code, error, stdout_tail, stderr_tail, return_value
    FROM archived_tasks
    WHERE %(final)s AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
) t
JOIN groups g ON g.id = t.group_id
LEFT JOIN assignments a ON a.id = t.assignment_id
LEFT JOIN node_managers m ON m.id = a.manager_id
LEFT JOIN independent_workers w ON w.id = a.worker_id
ORDER BY t.id DESC
LIMIT %(limit)s

-- name: list_group_tasks
-- One page of the tasks of some groups, newest first: a page of each group, merged.
SELECT t.*, g.name AS group_name, a.manager_id, m.name AS manager_name, a.worker_id, w.name AS worker_name
FROM unnest(%(group_ids)s::uuid[]) AS wanted (group_id)
CROSS JOIN LATERAL (
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, NULL::timestamptz AS finished_at, retry_at, NULL::int4 AS exit_code,
        NULL::text AS error, NULL::text AS stdout_tail, NULL::text AS stderr_tail, NULL::text AS return_value
    FROM active_tasks
    WHERE %(pending)s AND group_id = wanted.group_id AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, task_suite_id, group_id, state, attempt, priority, tags, assignment_id, spec, created_by,
        created_at, started_at, finished_at, NULL, exit_code, error, stdout_tail, stderr_tail, return_value
    FROM archived_tasks
    WHERE %(final)s AND group_id = wanted.group_id AND id < %(before)s AND state = ANY(%(states)s)
    ORDER BY id DESC LIMIT %(limit)s)
) t
JOIN groups g ON g.id = t.group_id
LEFT JOIN assignments a ON a.id = t.assignment_id
LEFT JOIN node_managers m ON m.id = a.manager_id
LEFT JOIN independent_workers w ON w.id = a.worker_id
ORDER BY t.id DESC
LIMIT %(limit)s
