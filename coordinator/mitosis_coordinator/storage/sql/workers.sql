-- name: insert_worker
-- Registers a worker.
INSERT INTO independent_workers (id, name, tags, token_id, created_by)
VALUES (%(id)s, %(name)s, %(tags)s, %(token_id)s, %(created_by)s)
ON CONFLICT (name) DO NOTHING
RETURNING id

-- name: insert_groups
-- Lets a worker run the tasks of groups.
INSERT INTO group_worker (worker_id, group_id)
SELECT %(worker_id)s, group_id FROM unnest(%(group_ids)s::uuid[]) AS given (group_id)
ON CONFLICT DO NOTHING

-- name: get_worker
-- One worker with its groups.
SELECT w.*,
    coalesce((SELECT jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name) ORDER BY g.name)
              FROM group_worker gw JOIN groups g ON g.id = gw.group_id WHERE gw.worker_id = w.id), '[]') AS groups
FROM independent_workers w
WHERE w.id = %(worker_id)s

-- name: list_workers
-- One page of workers, by name.
SELECT w.*,
    coalesce((SELECT jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name) ORDER BY g.name)
              FROM group_worker gw JOIN groups g ON g.id = gw.group_id WHERE gw.worker_id = w.id), '[]') AS groups
FROM independent_workers w
WHERE (%(group_ids)s::uuid[] IS NULL
       OR w.id IN (SELECT worker_id FROM group_worker WHERE group_id = ANY(%(group_ids)s)))
  AND (%(state)s::text IS NULL OR w.state = %(state)s)
  AND w.tags @> %(tags)s
  AND (%(after)s::text IS NULL OR w.name > %(after)s)
ORDER BY w.name
LIMIT %(limit)s

-- name: worker_by_token
-- The worker that a token belongs to, if the token is its current one or was until a moment ago.
SELECT name FROM independent_workers
WHERE id = %(worker_id)s
  AND (token_id = %(token_id)s OR (previous_token_id = %(token_id)s AND previous_token_valid_until > now()))

-- name: replace_token
-- Gives a worker a new token; the old one ends a minute later.
UPDATE independent_workers SET previous_token_id = token_id,
    previous_token_valid_until = now() + interval '1 minute', token_id = %(token_id)s
WHERE id = %(worker_id)s

-- name: replace_token_at_once
-- Gives a worker a new token; the old one ends now.
UPDATE independent_workers SET previous_token_id = NULL, previous_token_valid_until = NULL, token_id = %(token_id)s
WHERE id = %(worker_id)s

-- name: lock_worker
-- One worker, for a change; the first lock of everything that concerns it.
SELECT name, session_epoch, session_uuid FROM independent_workers WHERE id = %(worker_id)s FOR NO KEY UPDATE

-- name: groups_of_worker
-- The groups whose tasks a worker may run.
SELECT group_id FROM group_worker WHERE worker_id = %(worker_id)s

-- name: held_assignment
-- The assignment of a worker that lasts.
SELECT id FROM assignments WHERE worker_id = %(worker_id)s AND state <> 'Ended'

-- name: lock_assignments
-- Those of some assignments that are a worker's, locked before their tasks; claims of them are waited for.
SELECT id FROM assignments
WHERE id = ANY(%(assignment_ids)s) AND worker_id = %(holder_id)s
ORDER BY id
FOR NO KEY UPDATE

-- name: blame_task
-- Charges a lost worker to the task that it ran, as far as is known, and counts the workers that this task lost.
WITH suspect AS (
    SELECT t.id, t.attempt FROM active_tasks t
    WHERE t.assignment_id = %(assignment_id)s AND t.id <> ALL(%(kept)s::uuid[])
    -- A worker takes them in this order. What is said to run began more than a second before.
    ORDER BY t.started_at DESC NULLS LAST, t.priority DESC, t.id
    LIMIT 1
    FOR UPDATE OF t
), charged AS (
    INSERT INTO task_execution_failures (task_id, attempt, kind, holder_id, error)
    SELECT id, attempt, 'Worker', %(worker_id)s, %(error)s FROM suspect
)
SELECT s.id AS task_id, s.attempt, 1 + (
    SELECT count(*) FROM task_execution_failures f WHERE f.task_id = s.id AND f.kind = 'Worker') AS workers_lost
FROM suspect s

-- name: attach_worker
-- Begins a session: counts it, and takes over what the worker says of itself.
UPDATE independent_workers SET session_epoch = session_epoch + 1, session_uuid = %(session_uuid)s,
    tags = CASE WHEN cardinality(%(tags)s::text[]) = 0 THEN tags ELSE %(tags)s END,
    version = %(version)s, hostname = %(hostname)s, last_heartbeat_at = now(),
    state = CASE WHEN %(resumes)s AND state <> 'Offline' THEN state ELSE 'Idle' END,
    -- An order to end was for the process that is gone.
    shutdown_graceful = CASE WHEN session_uuid = %(session_uuid)s THEN shutdown_graceful END
WHERE id = %(worker_id)s
RETURNING session_epoch

-- name: insert_assignment
-- Makes a worker a holder of tasks.
INSERT INTO assignments (worker_id, state, session_epoch) VALUES (%(worker_id)s, 'Executing', %(session_epoch)s)
RETURNING id

-- name: set_offline
-- A worker left or was lost.
UPDATE independent_workers SET state = 'Offline' WHERE id = %(worker_id)s

-- name: write_pulses
-- Writes the liveness of many workers at once; those whose session is current, and is told to do nothing.
WITH written AS (
    UPDATE independent_workers w SET last_heartbeat_at = now(), state = p.state, tasks_completed = p.tasks_completed,
        tasks_failed = p.tasks_failed
    FROM unnest(%(ids)s::uuid[], %(epochs)s::int8[], %(states)s::text[], %(completed)s::int8[], %(failed)s::int8[])
        AS p (id, epoch, state, tasks_completed, tasks_failed)
    WHERE w.id = p.id AND w.session_epoch = p.epoch AND w.state <> 'Offline'
    RETURNING w.id, w.shutdown_graceful)
SELECT id FROM written WHERE shutdown_graceful IS NULL

-- name: orders
-- What there is to say to a connected worker.
SELECT session_epoch, state, shutdown_graceful, shutdown_reason FROM independent_workers WHERE id = %(worker_id)s

-- name: order_shutdown
-- Orders the process of a worker to end, wherever it is connected; no row when it is not believed to live.
UPDATE independent_workers SET shutdown_graceful = %(graceful)s, shutdown_reason = %(reason)s
WHERE id = %(worker_id)s AND state <> 'Offline'
RETURNING id

-- name: silent_workers
-- Workers that stayed away longer than the heartbeat timeout.
SELECT id FROM independent_workers
WHERE state <> 'Offline' AND last_heartbeat_at < now() - make_interval(secs => %(timeout_seconds)s)
ORDER BY id
LIMIT 1000

-- name: still_silent
-- Whether a worker is silent still, once it is locked.
SELECT name FROM independent_workers
WHERE id = %(worker_id)s AND state <> 'Offline'
  AND last_heartbeat_at < now() - make_interval(secs => %(timeout_seconds)s)
FOR NO KEY UPDATE
