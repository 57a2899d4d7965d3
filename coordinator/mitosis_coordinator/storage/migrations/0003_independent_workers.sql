-- Independent workers, the tasks without a suite that they run, and who holds either kind of task.

CREATE TABLE independent_workers (
    id uuid CONSTRAINT independent_workers_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT independent_workers_name_key UNIQUE,
    state text NOT NULL DEFAULT 'Offline' CONSTRAINT independent_workers_state_known
        CHECK (state IN ('Offline', 'Idle', 'Busy')),
    tags text[] NOT NULL,
    token_id uuid NOT NULL,
    previous_token_id uuid,
    previous_token_valid_until timestamptz,
    -- Counts the streams of this worker; a newer one fences the older ones.
    session_epoch bigint NOT NULL DEFAULT 0,
    -- Drawn by each worker process at its start: tells a reconnect from a restart.
    session_uuid uuid,
    tasks_completed bigint NOT NULL DEFAULT 0,
    tasks_failed bigint NOT NULL DEFAULT 0,
    version text NOT NULL DEFAULT '',
    hostname text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_heartbeat_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE group_worker (
    group_id uuid NOT NULL CONSTRAINT group_worker_group_fkey REFERENCES groups ON DELETE CASCADE,
    worker_id uuid NOT NULL CONSTRAINT group_worker_worker_fkey REFERENCES independent_workers ON DELETE CASCADE,
    CONSTRAINT group_worker_pkey PRIMARY KEY (worker_id, group_id)
);
CREATE INDEX group_worker_by_group ON group_worker (group_id);

-- The session of a worker is an assignment too, of no suite: the fences of tasks know one kind of holder.
ALTER TABLE assignments
    ALTER COLUMN task_suite_id DROP NOT NULL,
    ALTER COLUMN manager_id DROP NOT NULL,
    ADD COLUMN worker_id uuid
        CONSTRAINT assignments_worker_fkey REFERENCES independent_workers ON DELETE CASCADE,
    ADD COLUMN holder_id uuid GENERATED ALWAYS AS (coalesce(manager_id, worker_id)) STORED,
    ADD CONSTRAINT assignments_one_holder CHECK (num_nonnulls(manager_id, worker_id) = 1),
    ADD CONSTRAINT assignments_suite_means_manager CHECK ((task_suite_id IS NULL) = (manager_id IS NULL));
CREATE UNIQUE INDEX assignments_one_per_worker ON assignments (worker_id) WHERE state <> 'Ended';

ALTER TABLE active_tasks ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE archived_tasks ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
-- Exactly the predicate and the order of a worker's claim.
CREATE INDEX active_tasks_independent ON active_tasks (group_id, priority DESC, id)
    WHERE state = 'Ready' AND retry_at IS NULL AND task_suite_id IS NULL;

ALTER TABLE task_execution_failures RENAME COLUMN manager_id TO holder_id;
