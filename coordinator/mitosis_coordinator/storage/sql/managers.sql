-- name: insert_manager
-- Registers a manager.
INSERT INTO node_managers (id, name, tags, max_workers, token_id, created_by)
VALUES (%(id)s, %(name)s, %(tags)s, %(max_workers)s, %(token_id)s, %(created_by)s)
ON CONFLICT (name) DO NOTHING
RETURNING id

-- name: insert_memberships
-- Puts a manager into groups.
INSERT INTO group_node_manager (manager_id, group_id, role)
SELECT %(manager_id)s, group_id, role FROM unnest(%(group_ids)s::uuid[], %(roles)s::text[]) AS given (group_id, role)
ON CONFLICT DO NOTHING

-- name: get_manager
-- One manager with its groups and what it holds.
SELECT m.*, a.task_suite_id AS assigned_suite_id,
    coalesce((SELECT jsonb_agg(jsonb_build_object('group_id', g.id, 'group_name', g.name, 'role', gm.role)
                               ORDER BY g.name, gm.role)
              FROM group_node_manager gm JOIN groups g ON g.id = gm.group_id WHERE gm.manager_id = m.id), '[]')
        AS memberships
FROM node_managers m
LEFT JOIN assignments a ON a.manager_id = m.id AND a.state <> 'Ended'
WHERE m.id = %(manager_id)s

-- name: list_managers
-- One page of managers, by name.
SELECT m.*, a.task_suite_id AS assigned_suite_id,
    coalesce((SELECT jsonb_agg(jsonb_build_object('group_id', g.id, 'group_name', g.name, 'role', gm.role)
                               ORDER BY g.name, gm.role)
              FROM group_node_manager gm JOIN groups g ON g.id = gm.group_id WHERE gm.manager_id = m.id), '[]')
        AS memberships
FROM node_managers m
LEFT JOIN assignments a ON a.manager_id = m.id AND a.state <> 'Ended'
WHERE (%(group_ids)s::uuid[] IS NULL
       OR m.id IN (SELECT manager_id FROM group_node_manager WHERE group_id = ANY(%(group_ids)s)))
  AND (%(state)s::text IS NULL OR m.state = %(state)s)
  AND m.tags @> %(tags)s
  AND (%(after)s::text IS NULL OR m.name > %(after)s)
ORDER BY m.name
LIMIT %(limit)s

-- name: manager_by_token
-- The manager that a token belongs to, if the token is its current one or was until a moment ago.
SELECT id, name FROM node_managers
WHERE id = %(manager_id)s
  AND (token_id = %(token_id)s OR (previous_token_id = %(token_id)s AND previous_token_valid_until > now()))

-- name: replace_token
-- Gives a manager a new token; the old one ends a minute later.
UPDATE node_managers SET previous_token_id = token_id, previous_token_valid_until = now() + interval '1 minute',
    token_id = %(token_id)s
WHERE id = %(manager_id)s

-- name: replace_token_at_once
-- Gives a manager a new token; the old one ends now.
UPDATE node_managers SET previous_token_id = NULL, previous_token_valid_until = NULL, token_id = %(token_id)s
WHERE id = %(manager_id)s

-- name: held_assignment
-- What a manager holds.
SELECT id, task_suite_id, manager_id, state, session_epoch FROM assignments
WHERE manager_id = %(manager_id)s AND state <> 'Ended'

-- name: lock_manager
-- One manager, for a change.
SELECT id, name, state, session_epoch, session_uuid, failed_preparations, tags, max_workers, draining
FROM node_managers
WHERE id = %(manager_id)s
FOR NO KEY UPDATE

-- name: attach_manager
-- Begins a session: counts it, and takes over what the manager says of itself.
UPDATE node_managers m SET session_epoch = m.session_epoch + 1, session_uuid = %(session_uuid)s,
    tags = CASE WHEN cardinality(%(tags)s::text[]) = 0 THEN m.tags ELSE %(tags)s END,
    max_workers = %(max_workers)s, version = %(version)s, hostname = %(hostname)s, state = %(state)s,
    last_heartbeat_at = now(), reason = CASE WHEN %(restarted)s THEN '' ELSE m.reason END,
    failed_preparations = CASE WHEN %(restarted)s THEN '{}' ELSE m.failed_preparations END,
    -- An order to end was for the process that is gone.
    shutdown_graceful = CASE WHEN NOT %(restarted)s THEN m.shutdown_graceful END
FROM (SELECT id, state FROM node_managers WHERE id = %(manager_id)s FOR NO KEY UPDATE) AS before
WHERE m.id = before.id
RETURNING m.session_epoch, before.state

-- name: set_manager_state
-- Moves a manager along its lifecycle; nothing happens when its state does not allow it.
UPDATE node_managers m SET state = %(state)s, reason = %(reason)s, last_heartbeat_at = now()
FROM (SELECT id, state FROM node_managers WHERE id = %(manager_id)s FOR NO KEY UPDATE) AS before
WHERE m.id = before.id AND before.state = ANY(%(allowed)s)
RETURNING before.state

-- name: set_draining
-- Takes a manager out of service, or puts it back.
UPDATE node_managers SET draining = %(draining)s WHERE id = %(manager_id)s

-- name: note_failed_preparations
-- Records the different suites in a row that a manager failed to prepare.
UPDATE node_managers SET failed_preparations = %(suite_ids)s WHERE id = %(manager_id)s

-- name: write_heartbeats
-- Writes the liveness of many managers at once; those whose session is current, and is told to do nothing.
WITH written AS (
    UPDATE node_managers m SET last_heartbeat_at = now(), metrics = h.metrics
    FROM unnest(%(ids)s::uuid[], %(epochs)s::int8[], %(metrics)s::jsonb[]) AS h (id, epoch, metrics)
    WHERE m.id = h.id AND m.session_epoch = h.epoch
    RETURNING m.id, m.state, m.shutdown_graceful)
SELECT id FROM written WHERE state <> 'Offline' AND shutdown_graceful IS NULL

-- name: orders
-- What there is to say to a connected manager.
SELECT session_epoch, state, shutdown_graceful, shutdown_reason FROM node_managers WHERE id = %(manager_id)s

-- name: order_shutdown
-- Orders the process of a manager to end, wherever it is connected; no row when it is not believed to live.
UPDATE node_managers SET shutdown_graceful = %(graceful)s, shutdown_reason = %(reason)s
WHERE id = %(manager_id)s AND state <> 'Offline'
RETURNING id

-- name: touch_manager
-- Writes the liveness of one manager that has no stream.
UPDATE node_managers SET last_heartbeat_at = now(), metrics = %(metrics)s WHERE id = %(manager_id)s

-- name: silent_managers
-- Managers that stayed away longer than the heartbeat timeout.
SELECT id FROM node_managers
WHERE state <> 'Offline' AND last_heartbeat_at < now() - make_interval(secs => %(timeout_seconds)s)
ORDER BY id
LIMIT 1000

-- name: still_silent
-- Whether a manager is silent still, once its suite is locked.
SELECT name FROM node_managers
WHERE id = %(manager_id)s AND state <> 'Offline'
  AND last_heartbeat_at < now() - make_interval(secs => %(timeout_seconds)s)
FOR NO KEY UPDATE
