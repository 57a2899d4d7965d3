-- name: suites_by_group
-- How many active suites each group has in each state, and the tasks that wait in them; of so many suites at most.
SELECT g.name AS group_name, s.state, count(*) AS suites, sum(s.pending_tasks)::int8 AS pending_tasks
FROM (SELECT group_id, state, pending_tasks FROM task_suites
      WHERE state IN ('Queued', 'Open', 'Executing') ORDER BY priority DESC, id LIMIT %(limit)s) s
JOIN groups g ON g.id = s.group_id
GROUP BY g.name, s.state

-- name: largest_suites
-- The active suites with most tasks to run, and their counters; out of so many suites at most.
SELECT id, pending_tasks, completed_tasks, failed_tasks, cancelled_tasks
FROM (SELECT * FROM task_suites
      WHERE state IN ('Queued', 'Open', 'Executing') ORDER BY priority DESC, id LIMIT %(limit)s) s
ORDER BY pending_tasks DESC, id
LIMIT %(most)s

-- name: managers_by_state
-- How many managers are in each state.
SELECT state, count(*) AS count FROM node_managers GROUP BY state

-- name: workers_by_state
-- How many independent workers are in each state.
SELECT state, count(*) AS count FROM independent_workers GROUP BY state

-- name: independent_tasks
-- How many tasks of no suite are Ready, so many at most.
SELECT count(*) AS count FROM (
    SELECT FROM active_tasks WHERE state = 'Ready' AND retry_at IS NULL AND task_suite_id IS NULL LIMIT %(limit)s) t

-- name: database_health
-- The age of the oldest transaction, which keeps dead rows from being cleaned up, and how many the queue has.
SELECT coalesce((SELECT extract(epoch FROM now() - min(xact_start)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)::float8 AS oldest_seconds,
    coalesce((SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'active_tasks'), 0) AS dead_rows

-- name: use_one_snapshot
-- Has all statements of a transaction see the database as it is at the first, so that their figures agree.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
