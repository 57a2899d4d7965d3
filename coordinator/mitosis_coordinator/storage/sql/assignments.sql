-- name: pick_suite
-- The best suite that a manager could work for now, locked: by priority, then age.
SELECT s.id FROM task_suites s
JOIN task_suite_managers e ON e.task_suite_id = s.id AND e.manager_id = %(manager_id)s
JOIN group_node_manager g ON g.manager_id = e.manager_id AND g.group_id = s.group_id AND g.role = 'Worker'
WHERE s.state IN ('Queued', 'Open', 'Executing')
  AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand)
  AND (e.retry_after IS NULL OR e.retry_after <= now())
  -- A scalar with LIMIT is one probe of the index for each suite; EXISTS would become a join with the whole queue.
  AND (SELECT t.id FROM active_tasks t
       WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
         AND NOT (%(manager_id)s = ANY(coalesce(t.excluded_manager_ids, '{}')))
       ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL
  -- No more managers than tasks.
  AND (s.pending_tasks > (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended')
       -- Or every holder is excluded for a task that waits: few rows, because there are no more tasks than managers.
       OR (SELECT t.id FROM active_tasks t
           WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
             AND NOT (%(manager_id)s = ANY(coalesce(t.excluded_manager_ids, '{}')))
             AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended'
                             AND NOT (a.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}'))))
           LIMIT 1) IS NOT NULL)
ORDER BY s.priority DESC, s.id
LIMIT 1
FOR NO KEY UPDATE OF s

-- name: wanted_managers
-- Which of these managers are free, and `pick_suite` would find something for them.
SELECT DISTINCT e.manager_id FROM task_suites s
JOIN task_suite_managers e ON e.task_suite_id = s.id
JOIN node_managers m ON m.id = e.manager_id AND m.state = 'Idle' AND NOT m.draining
JOIN group_node_manager g ON g.manager_id = e.manager_id AND g.group_id = s.group_id AND g.role = 'Worker'
WHERE e.manager_id = ANY(%(manager_ids)s)
  AND s.state IN ('Queued', 'Open', 'Executing')
  AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand)
  AND (e.retry_after IS NULL OR e.retry_after <= now())
  -- A scalar with LIMIT is one probe of the index for each suite; EXISTS would become a join with the whole queue.
  AND (SELECT t.id FROM active_tasks t
       WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
         AND NOT (e.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
       ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL
  AND (s.pending_tasks > (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended')
       -- Or every holder is excluded for a task that waits: few rows, because there are no more tasks than managers.
       OR (SELECT t.id FROM active_tasks t
           WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
             AND NOT (e.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
             AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended'
                             AND NOT (a.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}'))))
           LIMIT 1) IS NOT NULL)

-- name: assignments_to_release
-- For each suite that nobody can work for, the assignment that should end for it, if any and if it is one of these.
SELECT * FROM (
SELECT DISTINCT ON (s.id) a.id, a.task_suite_id, a.manager_id, a.state, a.session_epoch
FROM task_suites s
JOIN task_suite_managers e ON e.task_suite_id = s.id
JOIN group_node_manager g ON g.manager_id = e.manager_id AND g.group_id = s.group_id AND g.role = 'Worker'
JOIN assignments a ON a.manager_id = e.manager_id AND a.state = 'Executing'
JOIN node_managers m ON m.id = a.manager_id AND NOT m.draining
JOIN task_suites held ON held.id = a.task_suite_id
CROSS JOIN LATERAL (SELECT (
    SELECT t.id FROM active_tasks t WHERE t.assignment_id = a.id LIMIT 1
) IS NULL AND (
    SELECT t.id FROM active_tasks t WHERE t.task_suite_id = held.id AND t.state = 'Ready' AND t.retry_at IS NULL
      AND NOT (a.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
    ORDER BY t.priority DESC, t.id LIMIT 1
) IS NULL AS nothing_left) AS holder
WHERE (a.manager_id = ANY(%(manager_ids)s) OR m.last_heartbeat_at > now() - make_interval(secs => %(fresh_seconds)s))
  AND a.task_suite_id <> s.id
  AND s.state IN ('Queued', 'Open', 'Executing')
  AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand)
  AND (e.retry_after IS NULL OR e.retry_after <= now())
  -- A scalar with LIMIT is one probe of the index for each suite; EXISTS would become a join with the whole queue.
  AND (SELECT t.id FROM active_tasks t
       WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
         AND NOT (e.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
       ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL
  -- No holder of the suite can take any of the tasks that wait: there is none, or all are excluded.
  AND NOT EXISTS (
      SELECT 1 FROM assignments h
      WHERE h.task_suite_id = s.id AND h.state <> 'Ended'
        AND (SELECT t.id FROM active_tasks t
             WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
               AND NOT (h.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}')))
             ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL)
  AND (holder.nothing_left OR s.priority > held.priority)
  -- An idle manager of another coordinator is about to take the suite; those of this one were looked at before.
  AND NOT EXISTS (
      SELECT 1 FROM node_managers i
      JOIN task_suite_managers ie ON ie.manager_id = i.id AND ie.task_suite_id = s.id
      JOIN group_node_manager ig ON ig.manager_id = i.id AND ig.group_id = s.group_id AND ig.role = 'Worker'
      WHERE i.state = 'Idle' AND NOT i.draining AND i.last_heartbeat_at > now() - make_interval(secs => %(fresh_seconds)s)
        AND NOT (i.id = ANY(%(connected_ids)s))
        AND (ie.selection = 'UserSpecified' OR NOT s.managers_by_hand)
        AND (ie.retry_after IS NULL OR ie.retry_after <= now())
        AND (SELECT t.id FROM active_tasks t
             WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
               AND NOT (i.id = ANY(coalesce(t.excluded_manager_ids, '{}')))
             ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL)
ORDER BY s.id, holder.nothing_left DESC, held.priority, a.id
) AS chosen WHERE manager_id = ANY(%(manager_ids)s)

-- name: holders_of_tail
-- The managers that execute a suite and what each holds of it; no row while the suite has Ready tasks.
SELECT a.id AS assignment_id, a.manager_id, m.max_workers, count(t.id) AS held,
    count(t.id) FILTER (WHERE t.state = 'Running') AS long_running,
    coalesce(bool_or(t.state = 'Dispatched' AND t.excluded_manager_ids IS NOT NULL), false) AS bound
FROM assignments a JOIN node_managers m ON m.id = a.manager_id
LEFT JOIN active_tasks t ON t.assignment_id = a.id
WHERE a.task_suite_id = %(suite_id)s AND a.state = 'Executing'
  AND (SELECT r.id FROM active_tasks r WHERE r.task_suite_id = %(suite_id)s AND r.state = 'Ready' AND r.retry_at IS NULL
       ORDER BY r.priority DESC, r.id LIMIT 1) IS NULL
GROUP BY a.id, m.id

-- name: idle_managers_for
-- Idle managers to which `pick_suite` would give a suite if it had a Ready task.
SELECT m.id, m.max_workers FROM task_suites s
JOIN task_suite_managers e ON e.task_suite_id = s.id
JOIN node_managers m ON m.id = e.manager_id AND m.state = 'Idle' AND NOT m.draining
JOIN group_node_manager g ON g.manager_id = e.manager_id AND g.group_id = s.group_id AND g.role = 'Worker'
WHERE s.id = %(suite_id)s AND s.state = 'Executing'
  AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand)
  AND (e.retry_after IS NULL OR e.retry_after <= now())
  AND s.pending_tasks > (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended')
ORDER BY m.max_workers DESC, m.id
LIMIT 100

-- name: insert_assignment
-- Gives a suite to a manager; no row when the manager holds one already.
INSERT INTO assignments (task_suite_id, manager_id, session_epoch)
VALUES (%(suite_id)s, %(manager_id)s, %(session_epoch)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: resume_assignment
-- Passes an assignment to a newer session of its manager; waits for claims of the older one.
UPDATE assignments SET session_epoch = %(session_epoch)s WHERE id = %(assignment_id)s

-- name: live_assignments
-- What these managers hold.
SELECT id, task_suite_id, manager_id, state, session_epoch FROM assignments
WHERE manager_id = ANY(%(manager_ids)s) AND state <> 'Ended'

-- name: may_hold
-- Whether a manager may go on with a suite.
SELECT EXISTS (
    SELECT 1 FROM task_suite_managers e
    JOIN task_suites s ON s.id = e.task_suite_id
    JOIN node_managers m ON m.id = e.manager_id AND NOT m.draining
    JOIN group_node_manager g ON g.manager_id = e.manager_id AND g.group_id = s.group_id AND g.role = 'Worker'
    WHERE e.task_suite_id = %(suite_id)s AND e.manager_id = %(manager_id)s
      AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand))

-- name: mark_preparation_failed
-- Notes that the preparation of an assignment failed; no row when that was noted before.
UPDATE assignments SET preparation_failed = true WHERE id = %(assignment_id)s AND NOT preparation_failed RETURNING id

-- name: mark_proven
-- Notes that an assignment works; no row when that was noted before.
UPDATE assignments SET proven = true WHERE id = %(assignment_id)s AND NOT proven RETURNING id

-- name: set_assignment_state
-- Follows a manager through its assignment.
UPDATE assignments SET state = %(state)s
WHERE id = %(assignment_id)s AND manager_id = %(manager_id)s AND state <> 'Ended'
RETURNING task_suite_id

-- name: end_assignment
-- Ends an assignment, once.
UPDATE assignments SET state = 'Ended', ended_at = now(), end_reason = %(reason)s
WHERE id = %(assignment_id)s AND state <> 'Ended'
RETURNING id

-- name: holders
-- The managers that hold a suite, and how many workers each may run.
SELECT a.id AS assignment_id, a.manager_id, a.state, m.max_workers
FROM assignments a JOIN node_managers m ON m.id = a.manager_id
WHERE a.task_suite_id = %(suite_id)s AND a.state <> 'Ended'
ORDER BY a.id

-- name: insert_hook_run
-- Records how a hook ended; no row when it is recorded already.
INSERT INTO hook_runs (assignment_id, task_suite_id, manager_id, hook_type, result, exit_code, error, output_tail,
    started_at, duration_seconds)
SELECT a.id, a.task_suite_id, a.manager_id, %(hook_type)s, %(result)s, %(exit_code)s, %(error)s, %(output_tail)s,
    %(started_at)s, %(duration_seconds)s
FROM assignments a WHERE a.id = %(assignment_id)s AND a.manager_id = %(manager_id)s
ON CONFLICT DO NOTHING
RETURNING task_suite_id

-- name: back_off
-- Keeps a manager away from a suite that it failed to prepare.
UPDATE task_suite_managers SET preparation_failures = preparation_failures + 1,
    retry_after = now() + make_interval(secs => %(seconds)s)
WHERE task_suite_id = %(suite_id)s AND manager_id = %(manager_id)s

-- name: preparation_failures
-- Failed preparations in a row of a suite on a manager.
SELECT preparation_failures FROM task_suite_managers
WHERE task_suite_id = %(suite_id)s AND manager_id = %(manager_id)s

-- name: forget_back_off
-- A manager prepared a suite with success.
UPDATE task_suite_managers SET preparation_failures = 0, retry_after = NULL
WHERE task_suite_id = %(suite_id)s AND manager_id = %(manager_id)s AND preparation_failures > 0

-- name: next_back_off_end
-- Seconds until the next back-off of an active suite ends.
SELECT extract(epoch FROM min(e.retry_after) - now())::float8 AS seconds
FROM task_suite_managers e JOIN task_suites s ON s.id = e.task_suite_id
WHERE e.retry_after > now() AND s.state IN ('Queued', 'Open', 'Executing')

-- name: holding_of_session
-- An assignment, if it lasts and has not passed to a newer session.
SELECT task_suite_id FROM assignments
WHERE id = %(assignment_id)s AND session_epoch = %(session_epoch)s AND state <> 'Ended'
