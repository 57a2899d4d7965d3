-- name: one_snapshot
-- Has every statement of a transaction see the same moment, and none write.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: suite_facts
-- Where a suite stands, and the moment of the snapshot.
SELECT s.id, g.name AS group_name, s.state, s.reason, s.priority, s.managers_by_hand, s.closed,
    s.pending_tasks AS pending, s.total_tasks AS total, s.finished_at, now() AS now,
    (SELECT t.id FROM active_tasks t WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
     ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL AS ready,
    -- Of the next ten thousand retries of all suites: many wait at once only when very many fail.
    (SELECT r.retry_at FROM (SELECT t.task_suite_id, t.retry_at FROM active_tasks t WHERE t.retry_at IS NOT NULL
                             ORDER BY t.retry_at LIMIT 10000) r
     WHERE r.task_suite_id = s.id ORDER BY r.retry_at LIMIT 1) AS next_retry_at,
    CASE WHEN s.pending_tasks = 0 AND (s.auto_close_timeout_seconds > 0 OR s.total_tasks > 0)
         THEN s.last_activity_at + make_interval(secs => s.auto_close_timeout_seconds) END AS completes_at,
    (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended') AS assigned_managers,
    (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state = 'Executing') AS executing_managers
FROM task_suites s JOIN groups g ON g.id = s.group_id
WHERE s.id = %(suite_id)s

-- name: managers_of_suite
-- How managers stand towards a suite, those nearest to running it first. The conditions are those of `pick_suite`.
WITH near AS MATERIALIZED (
    SELECT m.id, m.name, m.state, m.draining, m.reason, m.last_heartbeat_at, m.tags, e.selection, e.retry_after,
        coalesce(e.preparation_failures, 0) AS preparation_failures, a.task_suite_id AS held_id, a.state AS held_state,
        a.started_at AS held_since, works.for_group AS works_for_group, lacking.tags AS missing_tags,
        count(*) OVER () AS known
    FROM task_suites s CROSS JOIN node_managers m
    LEFT JOIN task_suite_managers e ON e.task_suite_id = s.id AND e.manager_id = m.id
    LEFT JOIN assignments a ON a.manager_id = m.id AND a.state <> 'Ended'
    CROSS JOIN LATERAL (SELECT EXISTS (
        SELECT 1 FROM group_node_manager g
        WHERE g.manager_id = m.id AND g.group_id = s.group_id AND g.role = 'Worker') AS for_group) works
    CROSS JOIN LATERAL (SELECT array(SELECT unnest(s.tags) EXCEPT SELECT unnest(m.tags) ORDER BY 1) AS tags) lacking
    WHERE s.id = %(suite_id)s
    ORDER BY (a.task_suite_id = s.id) IS NOT TRUE, works.for_group DESC, e.selection IS NULL,
        m.state IN ('Offline', 'Failed'), cardinality(lacking.tags), m.name
    LIMIT %(limit)s
)
SELECT n.*, held.name AS held_name, held.priority AS held_priority,
    (%(group_ids)s::uuid[] IS NULL OR held.group_id = ANY(%(group_ids)s)) AS held_visible,
    (%(group_ids)s::uuid[] IS NULL OR EXISTS (
        SELECT 1 FROM group_node_manager g WHERE g.manager_id = n.id AND g.group_id = ANY(%(group_ids)s))) AS visible,
    n.last_heartbeat_at > now() - make_interval(secs => %(silent_after_seconds)s) AS heard_recently,
    (SELECT t.id FROM active_tasks t
     WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
       AND NOT (n.id = ANY(coalesce(t.excluded_manager_ids, '{}')))
     ORDER BY t.priority DESC, t.id LIMIT 1) IS NOT NULL AS has_work,
    (s.pending_tasks > (SELECT count(*) FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended')
     OR (SELECT t.id FROM active_tasks t
         WHERE t.task_suite_id = s.id AND t.state = 'Ready' AND t.retry_at IS NULL
           AND NOT (n.id = ANY(coalesce(t.excluded_manager_ids, '{}')))
           AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended'
                           AND NOT (a.manager_id = ANY(coalesce(t.excluded_manager_ids, '{}'))))
         LIMIT 1) IS NOT NULL) AS may_join,
    CASE WHEN n.retry_after IS NOT NULL THEN
        (SELECT concat_ws(E'\n', nullif(h.error, ''), nullif(h.output_tail, '')) FROM hook_runs h
         WHERE h.task_suite_id = s.id AND h.manager_id = n.id AND h.hook_type = 'Preparation'
         ORDER BY h.id DESC LIMIT 1) END AS trouble
FROM near n JOIN task_suites s ON s.id = %(suite_id)s
LEFT JOIN task_suites held ON held.id = n.held_id

-- name: workers_of_task
-- How independent workers stand towards a task, those nearest to running it first, as in `claim_independent_tasks`.
WITH near AS MATERIALIZED (
    SELECT w.id, w.name, w.state, w.last_heartbeat_at, works.for_group AS works_for_group, lacking.tags AS missing_tags,
        count(*) OVER () AS known
    FROM independent_workers w
    CROSS JOIN LATERAL (SELECT EXISTS (
        SELECT 1 FROM group_worker g WHERE g.worker_id = w.id AND g.group_id = %(group_id)s) AS for_group) works
    CROSS JOIN LATERAL (
        SELECT array(SELECT unnest(%(tags)s::text[]) EXCEPT SELECT unnest(w.tags) ORDER BY 1) AS tags) lacking
    ORDER BY works.for_group DESC, cardinality(lacking.tags), w.state = 'Offline', w.name
    LIMIT %(limit)s
)
SELECT n.*,
    (%(group_ids)s::uuid[] IS NULL OR EXISTS (
        SELECT 1 FROM group_worker g WHERE g.worker_id = n.id AND g.group_id = ANY(%(group_ids)s))) AS visible,
    n.last_heartbeat_at > now() - make_interval(secs => %(silent_after_seconds)s) AS heard_recently,
    EXISTS (SELECT 1 FROM assignments a JOIN active_tasks t ON t.assignment_id = a.id
            WHERE a.worker_id = n.id AND a.state <> 'Ended') AS holds_tasks
FROM near n

-- name: task_line
-- What only a task that waits has: who is excluded, and how many are handed out before it, up to a bound.
SELECT coalesce(w.excluded_manager_ids, '{}') AS excluded_ids, now() AS now,
    CASE WHEN w.state = 'Ready' AND w.retry_at IS NULL THEN
        (SELECT count(*) FROM (
            (SELECT 1 FROM active_tasks t
             WHERE t.task_suite_id = w.task_suite_id AND t.state = 'Ready' AND t.retry_at IS NULL
               AND t.priority > w.priority LIMIT %(limit)s)
            UNION ALL
            (SELECT 1 FROM active_tasks t
             WHERE t.task_suite_id = w.task_suite_id AND t.state = 'Ready' AND t.retry_at IS NULL
               AND t.priority = w.priority AND t.id < w.id LIMIT %(limit)s)
            UNION ALL
            (SELECT 1 FROM active_tasks t
             WHERE w.task_suite_id IS NULL AND t.task_suite_id IS NULL AND t.group_id = w.group_id
               AND t.state = 'Ready' AND t.retry_at IS NULL AND t.priority > w.priority LIMIT %(limit)s)
            UNION ALL
            (SELECT 1 FROM active_tasks t
             WHERE w.task_suite_id IS NULL AND t.task_suite_id IS NULL AND t.group_id = w.group_id
               AND t.state = 'Ready' AND t.retry_at IS NULL AND t.priority = w.priority AND t.id < w.id
             LIMIT %(limit)s)
        ) AS before) END AS before
FROM active_tasks w
WHERE w.id = %(task_id)s

-- name: holder_facts
-- Who holds a task or held it last, and whether it has been heard of lately.
SELECT coalesce(m.name, w.name) AS name, coalesce(m.last_heartbeat_at, w.last_heartbeat_at) AS last_heartbeat_at,
    coalesce(m.last_heartbeat_at, w.last_heartbeat_at) > now() - make_interval(secs => %(silent_after_seconds)s)
        AS heard_recently,
    %(group_ids)s::uuid[] IS NULL OR EXISTS (
        SELECT 1 FROM group_node_manager g WHERE g.manager_id = m.id AND g.group_id = ANY(%(group_ids)s)
        UNION ALL
        SELECT 1 FROM group_worker g WHERE g.worker_id = w.id AND g.group_id = ANY(%(group_ids)s)) AS visible
FROM (VALUES (%(holder_id)s::uuid)) AS wanted (id)
LEFT JOIN node_managers m ON m.id = wanted.id
LEFT JOIN independent_workers w ON w.id = wanted.id
