-- name: insert_suite
-- Stores a new suite in state Queued.
INSERT INTO task_suites (id, group_id, name, description, labels, tags, priority, worker_schedule, env_preparation,
    env_cleanup, task_defaults, runs_by_default, default_max_retries, default_retry_backoff_seconds, auto_close_timeout_seconds, max_preparation_failures, max_attempts,
    created_by)
VALUES (%(id)s, %(group_id)s, %(name)s, %(description)s, %(labels)s, %(tags)s, %(priority)s, %(worker_schedule)s,
    %(env_preparation)s, %(env_cleanup)s, %(task_defaults)s, %(runs_by_default)s, %(default_max_retries)s,
    %(default_retry_backoff_seconds)s, %(auto_close_timeout_seconds)s,
    %(max_preparation_failures)s, %(max_attempts)s, %(created_by)s)

-- name: lock_matching
-- Keeps a suite and a manager from coming into being, or changing tags, without seeing each other.
SELECT pg_advisory_xact_lock(%(key)s)

-- name: lock_matching_shared
-- As `lock_matching`, for suites, which do not exclude each other.
SELECT pg_advisory_xact_lock_shared(%(key)s)

-- name: match_suite
-- Makes every manager eligible whose tags include the suite's and that may work for its group.
INSERT INTO task_suite_managers (task_suite_id, manager_id, selection)
SELECT s.id, m.id, 'TagMatched'
FROM task_suites s
JOIN group_node_manager g ON g.group_id = s.group_id AND g.role = 'Worker'
JOIN node_managers m ON m.id = g.manager_id AND m.tags @> s.tags
WHERE s.id = %(suite_id)s
ON CONFLICT DO NOTHING

-- name: unmatch_suite
-- Removes eligibility by tags, before matching again.
DELETE FROM task_suite_managers WHERE task_suite_id = %(suite_id)s AND selection = 'TagMatched'

-- name: match_manager
-- Makes one manager eligible for every active suite that its tags and groups allow.
INSERT INTO task_suite_managers (task_suite_id, manager_id, selection)
SELECT s.id, m.id, 'TagMatched'
FROM node_managers m
JOIN group_node_manager g ON g.manager_id = m.id AND g.role = 'Worker'
JOIN task_suites s ON s.group_id = g.group_id AND s.tags <@ m.tags
WHERE m.id = %(manager_id)s AND s.state IN ('Queued', 'Open', 'Executing')
ON CONFLICT DO NOTHING

-- name: unmatch_manager
-- Removes eligibility by tags of one manager, before matching it again.
DELETE FROM task_suite_managers WHERE manager_id = %(manager_id)s AND selection = 'TagMatched'

-- name: managers_fit_for_suite
-- Which of these managers exist, and which may work for the suite's group.
SELECT m.id, bool_or(g.group_id IS NOT NULL) AS works_for_group
FROM node_managers m
LEFT JOIN group_node_manager g ON g.manager_id = m.id AND g.role = 'Worker' AND g.group_id = %(group_id)s
WHERE m.id = ANY(%(manager_ids)s)
GROUP BY m.id

-- name: add_managers_by_hand
-- Makes managers eligible by hand.
INSERT INTO task_suite_managers (task_suite_id, manager_id, selection)
SELECT %(suite_id)s, manager_id, 'UserSpecified' FROM unnest(%(manager_ids)s::uuid[]) AS given (manager_id)
ON CONFLICT (task_suite_id, manager_id) DO UPDATE SET selection = 'UserSpecified'

-- name: remove_managers
-- Makes managers ineligible.
DELETE FROM task_suite_managers WHERE task_suite_id = %(suite_id)s AND manager_id = ANY(%(manager_ids)s)

-- name: note_managers_by_hand
-- Records whether any eligible manager was added by hand.
UPDATE task_suites SET updated_at = now(), managers_by_hand = EXISTS (
    SELECT 1 FROM task_suite_managers WHERE task_suite_id = %(suite_id)s AND selection = 'UserSpecified')
WHERE id = %(suite_id)s

-- name: eligible_managers
-- Who may run the suite, by name, and who holds it.
SELECT m.id AS manager_id, m.name AS manager_name, e.selection, a.id IS NOT NULL AS assigned
FROM task_suite_managers e
JOIN task_suites s ON s.id = e.task_suite_id
JOIN node_managers m ON m.id = e.manager_id
LEFT JOIN assignments a ON a.manager_id = m.id AND a.task_suite_id = s.id AND a.state <> 'Ended'
WHERE e.task_suite_id = %(suite_id)s AND (e.selection = 'UserSpecified' OR NOT s.managers_by_hand)
ORDER BY m.name

-- name: get_suite
-- One suite.
SELECT s.*, g.name AS group_name,
    (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended') AS assigned_managers
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE s.id = %(suite_id)s

-- name: submission_target
-- What a submission has to know of its suite: a small part of it, because many small requests ask.
SELECT s.id, s.group_id, g.name AS group_name, s.state, s.total_tasks, s.runs_by_default, s.default_max_retries,
    s.default_retry_backoff_seconds
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE s.id = %(suite_id)s

-- name: lock_submission_target
-- The same, locked as by `lock_suite`.
SELECT s.id, s.group_id, g.name AS group_name, s.state, s.total_tasks, s.runs_by_default, s.default_max_retries,
    s.default_retry_backoff_seconds
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE s.id = %(suite_id)s
FOR NO KEY UPDATE OF s

-- name: lock_suite
-- One suite, for a change. Suites are locked before tasks, and tasks before managers.
SELECT s.*, g.name AS group_name,
    (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended') AS assigned_managers
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE s.id = %(suite_id)s
FOR NO KEY UPDATE OF s

-- name: lock_suites_of_assignments
-- Locks the suites of a manager's assignments, in one order for everybody, before their tasks are touched.
SELECT a.id AS assignment_id, s.state
FROM assignments a JOIN task_suites s ON s.id = a.task_suite_id
WHERE a.id = ANY(%(assignment_ids)s) AND a.manager_id = %(holder_id)s
ORDER BY s.id
FOR NO KEY UPDATE OF s

-- name: list_suites
-- One page of suites, newest first.
SELECT s.*, g.name AS group_name,
    (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended') AS assigned_managers
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE (%(group_ids)s::uuid[] IS NULL OR s.group_id = ANY(%(group_ids)s))
  AND (%(state)s::text IS NULL OR s.state = %(state)s)
  AND s.labels @> %(labels)s AND s.tags @> %(tags)s
  AND (%(name)s::text IS NULL OR strpos(lower(s.name), lower(%(name)s)) > 0)
  AND (%(before)s::uuid IS NULL OR s.id < %(before)s)
ORDER BY s.id DESC
LIMIT %(limit)s

-- name: update_suite
-- Replaces what a user may change of a suite that is locked.
UPDATE task_suites SET name = %(name)s, description = %(description)s, labels = %(labels)s, tags = %(tags)s,
    priority = %(priority)s, worker_schedule = %(worker_schedule)s, env_preparation = %(env_preparation)s,
    env_cleanup = %(env_cleanup)s, task_defaults = %(task_defaults)s, runs_by_default = %(runs_by_default)s,
    default_max_retries = %(default_max_retries)s, default_retry_backoff_seconds = %(default_retry_backoff_seconds)s,
    auto_close_timeout_seconds = %(auto_close_timeout_seconds)s,
    max_preparation_failures = %(max_preparation_failures)s, max_attempts = %(max_attempts)s, updated_at = now()
WHERE id = %(suite_id)s

-- name: set_suite_state
-- Moves a suite along its lifecycle; nothing happens when its state does not allow it.
UPDATE task_suites s SET state = %(state)s, updated_at = now(), reason = %(reason)s,
    finished_at = CASE WHEN %(state)s IN ('Complete', 'Cancelled', 'Failed') THEN now() END
FROM (SELECT id, state FROM task_suites WHERE id = %(suite_id)s FOR NO KEY UPDATE) AS before
WHERE s.id = before.id AND before.state = ANY(%(allowed)s)
RETURNING before.state

-- name: close_suite
-- Says that no more tasks are coming.
UPDATE task_suites SET closed = true, updated_at = now() WHERE id = %(suite_id)s

-- name: complete_suite
-- Completes a suite that is finished: nothing pending, and closed or inactive for its auto-close time.
UPDATE task_suites s SET state = 'Complete', updated_at = now(), finished_at = now(), reason = ''
FROM (SELECT id, state FROM task_suites WHERE id = %(suite_id)s FOR NO KEY UPDATE) AS before
WHERE s.id = before.id AND before.state = ANY(%(allowed)s) AND s.pending_tasks = 0
  AND (s.closed OR (s.last_activity_at + make_interval(secs => s.auto_close_timeout_seconds) <= now()
                    AND (s.auto_close_timeout_seconds > 0 OR s.total_tasks > 0)))
RETURNING before.state, (SELECT name FROM groups WHERE groups.id = s.group_id) AS group_name,
    (SELECT min(started_at) FROM assignments a WHERE a.task_suite_id = s.id) AS started_at, s.finished_at

-- name: due_suites
-- Suites that `complete_suite` would complete now.
SELECT id FROM task_suites
WHERE state IN ('Queued', 'Open', 'Executing') AND pending_tasks = 0
  AND (closed OR (last_activity_at + make_interval(secs => auto_close_timeout_seconds) <= now()
                  AND (auto_close_timeout_seconds > 0 OR total_tasks > 0)))
LIMIT 1000

-- name: next_due_suite
-- Seconds until the next quiet suite has been inactive for its auto-close time.
SELECT extract(epoch FROM min(last_activity_at + make_interval(secs => auto_close_timeout_seconds)) - now())::float8
    AS seconds
FROM task_suites
WHERE state IN ('Queued', 'Open', 'Executing') AND pending_tasks = 0
  AND (auto_close_timeout_seconds > 0 OR total_tasks > 0)

-- name: count_submitted
-- Counts new tasks in, and reopens a Complete suite; no row when its state or its size forbids it.
UPDATE task_suites s SET total_tasks = s.total_tasks + %(count)s, pending_tasks = s.pending_tasks + %(count)s,
    closed = false, last_activity_at = now(), updated_at = now(),
    state = CASE WHEN s.state = 'Complete' THEN 'Queued' ELSE s.state END,
    finished_at = CASE WHEN s.state = 'Complete' THEN NULL ELSE s.finished_at END
FROM (SELECT id, state FROM task_suites WHERE id = %(suite_id)s FOR NO KEY UPDATE) AS before
WHERE s.id = before.id AND before.state = ANY(%(allowed)s) AND s.total_tasks + %(count)s <= %(max_tasks)s
RETURNING before.state

-- name: count_cancelled
-- Counts cancelled tasks out.
UPDATE task_suites SET pending_tasks = pending_tasks - %(count)s, cancelled_tasks = cancelled_tasks + %(count)s,
    last_activity_at = now(), updated_at = now()
WHERE id = %(suite_id)s

-- name: count_failed
-- Counts failed tasks out.
UPDATE task_suites SET pending_tasks = pending_tasks - %(count)s, failed_tasks = failed_tasks + %(count)s,
    last_activity_at = now(), updated_at = now()
WHERE id = %(suite_id)s

-- name: count_retried
-- Counts failed tasks in again, and queues a Complete or Failed suite.
UPDATE task_suites SET pending_tasks = pending_tasks + %(count)s, failed_tasks = failed_tasks - %(count)s,
    last_activity_at = now(), updated_at = now(), preparation_failures = 0,
    state = %(state)s, reason = '', finished_at = NULL
WHERE id = %(suite_id)s

-- name: count_preparation_failure
-- Counts one more failed preparation in a row of a suite that is locked.
UPDATE task_suites SET preparation_failures = preparation_failures + 1, updated_at = now()
WHERE id = %(suite_id)s
RETURNING preparation_failures, max_preparation_failures

-- name: reset_preparation_failures
-- A preparation succeeded.
UPDATE task_suites SET preparation_failures = 0 WHERE id = %(suite_id)s AND preparation_failures > 0

-- name: forget_back_offs
-- Lets every manager try to prepare a suite again at once.
UPDATE task_suite_managers SET preparation_failures = 0, retry_after = NULL
WHERE task_suite_id = %(suite_id)s AND preparation_failures > 0

-- name: assignments
-- Who holds a suite or held it, newest first.
SELECT a.manager_id, m.name AS manager_name, a.started_at, a.ended_at, a.end_reason, a.preparation_failed
FROM assignments a JOIN node_managers m ON m.id = a.manager_id
WHERE a.task_suite_id = %(suite_id)s
ORDER BY a.id DESC
LIMIT 50

-- name: hook_runs
-- The latest hook runs of a suite, newest first.
SELECT h.hook_type, h.result, h.manager_id, m.name AS manager_name, h.exit_code, h.error, h.output_tail,
    h.started_at, h.duration_seconds
FROM hook_runs h LEFT JOIN node_managers m ON m.id = h.manager_id
WHERE h.task_suite_id = %(suite_id)s
ORDER BY h.id DESC
LIMIT 20

-- name: remember_request
-- Records what a request_id makes; no row when it is known already.
INSERT INTO idempotent_requests (user_id, request_id, fingerprint, resource_id, resource_count)
VALUES (%(user_id)s, %(request_id)s, %(fingerprint)s, %(resource_id)s, %(resource_count)s)
ON CONFLICT DO NOTHING
RETURNING request_id

-- name: recall_request
-- What a request_id made.
SELECT fingerprint, resource_id, resource_count FROM idempotent_requests
WHERE user_id = %(user_id)s AND request_id = %(request_id)s

-- name: forget_requests
-- Drops request ids that are older than any retry.
DELETE FROM idempotent_requests WHERE created_at < now() - interval '24 hours'

-- name: group_id
-- The id of a group.
SELECT id FROM groups WHERE name = %(name)s
