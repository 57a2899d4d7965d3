-- Node managers, suites, assignments, tasks and their history.

CREATE TABLE node_managers (
    id uuid CONSTRAINT node_managers_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT node_managers_name_key UNIQUE,
    state text NOT NULL DEFAULT 'Offline' CONSTRAINT node_managers_state_known
        CHECK (state IN ('Offline', 'Idle', 'Assigned', 'Preparing', 'Executing', 'Cleaning', 'Failed')),
    tags text[] NOT NULL,
    max_workers integer NOT NULL CONSTRAINT node_managers_max_workers_range CHECK (max_workers BETWEEN 1 AND 4096),
    token_id uuid NOT NULL,
    previous_token_id uuid,
    previous_token_valid_until timestamptz,
    -- Counts the streams of this manager; a newer one fences the older ones.
    session_epoch bigint NOT NULL DEFAULT 0,
    -- Drawn by each manager process at its start: tells a reconnect from a restart.
    session_uuid uuid,
    -- Different suites in a row that it failed to prepare.
    failed_preparations uuid[] NOT NULL DEFAULT '{}',
    metrics jsonb NOT NULL DEFAULT '{}',
    version text NOT NULL DEFAULT '',
    hostname text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_heartbeat_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE group_node_manager (
    group_id uuid NOT NULL CONSTRAINT group_node_manager_group_fkey REFERENCES groups ON DELETE CASCADE,
    manager_id uuid NOT NULL CONSTRAINT group_node_manager_manager_fkey REFERENCES node_managers ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT group_node_manager_role_known CHECK (role IN ('Worker', 'Admin')),
    -- A manager may be Worker and Admin of one group.
    CONSTRAINT group_node_manager_pkey PRIMARY KEY (manager_id, group_id, role)
);
CREATE INDEX group_node_manager_by_group ON group_node_manager (group_id);

CREATE TABLE task_suites (
    id uuid CONSTRAINT task_suites_pkey PRIMARY KEY,
    group_id uuid NOT NULL CONSTRAINT task_suites_group_fkey REFERENCES groups,
    name text NOT NULL,
    description text NOT NULL,
    state text NOT NULL DEFAULT 'Queued' CONSTRAINT task_suites_state_known
        CHECK (state IN ('Queued', 'Open', 'Executing', 'Complete', 'Cancelled', 'Failed')),
    labels text[] NOT NULL,
    tags text[] NOT NULL,
    priority integer NOT NULL,
    worker_schedule jsonb NOT NULL,
    env_preparation jsonb,
    env_cleanup jsonb,
    -- A serialized mitosis.v1.TaskSpec, kept as it came.
    task_defaults bytea NOT NULL,
    runs_by_default boolean NOT NULL,
    -- What the defaults say of retries; NULL where they say nothing.
    default_max_retries smallint,
    default_retry_backoff_seconds real,
    auto_close_timeout_seconds integer NOT NULL
        CONSTRAINT task_suites_auto_close_range CHECK (auto_close_timeout_seconds BETWEEN 0 AND 604800),
    max_preparation_failures integer NOT NULL
        CONSTRAINT task_suites_max_preparation_failures_range CHECK (max_preparation_failures BETWEEN 1 AND 100),
    max_attempts integer NOT NULL CONSTRAINT task_suites_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 100),
    -- Whether any eligible manager was added by hand: then only those run the suite.
    managers_by_hand boolean NOT NULL DEFAULT false,
    closed boolean NOT NULL DEFAULT false,
    preparation_failures integer NOT NULL DEFAULT 0,
    total_tasks integer NOT NULL DEFAULT 0,
    pending_tasks integer NOT NULL DEFAULT 0,
    completed_tasks integer NOT NULL DEFAULT 0,
    failed_tasks integer NOT NULL DEFAULT 0,
    cancelled_tasks integer NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- When a task was last submitted or finished; the auto-close time runs from here.
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT task_suites_counters_agree CHECK (
        pending_tasks >= 0 AND completed_tasks >= 0 AND failed_tasks >= 0 AND cancelled_tasks >= 0
        AND total_tasks = pending_tasks + completed_tasks + failed_tasks + cancelled_tasks),
    CONSTRAINT task_suites_complete_means_nothing_pending CHECK (state <> 'Complete' OR pending_tasks = 0)
-- Counters change with every batch of reports: they stay out of every index, and a page
-- keeps room for the new row version beside the old.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX task_suites_active ON task_suites (priority DESC, id) WHERE state IN ('Queued', 'Open', 'Executing');
CREATE INDEX task_suites_by_group ON task_suites (group_id, id);

CREATE TABLE task_suite_managers (
    task_suite_id uuid NOT NULL CONSTRAINT task_suite_managers_suite_fkey REFERENCES task_suites ON DELETE CASCADE,
    manager_id uuid NOT NULL CONSTRAINT task_suite_managers_manager_fkey REFERENCES node_managers ON DELETE CASCADE,
    selection text NOT NULL CONSTRAINT task_suite_managers_selection_known
        CHECK (selection IN ('TagMatched', 'UserSpecified')),
    -- Failed preparations in a row of this suite on this manager, and until when it keeps away.
    preparation_failures integer NOT NULL DEFAULT 0,
    retry_after timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_suite_managers_pkey PRIMARY KEY (task_suite_id, manager_id)
);
CREATE INDEX task_suite_managers_by_manager ON task_suite_managers (manager_id);

CREATE TABLE assignments (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT assignments_pkey PRIMARY KEY,
    task_suite_id uuid NOT NULL CONSTRAINT assignments_suite_fkey REFERENCES task_suites ON DELETE CASCADE,
    manager_id uuid NOT NULL CONSTRAINT assignments_manager_fkey REFERENCES node_managers ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'Assigned' CONSTRAINT assignments_state_known
        CHECK (state IN ('Assigned', 'Preparing', 'Executing', 'Cleaning', 'Ended')),
    -- The session that it was given to, or resumed by: claims of older sessions are refused.
    session_epoch bigint NOT NULL,
    -- Whether its preparation failed, or a task ended under it: each is counted once.
    preparation_failed boolean NOT NULL DEFAULT false,
    proven boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    end_reason text NOT NULL DEFAULT '',
    CONSTRAINT assignments_ended CHECK ((state = 'Ended') = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX assignments_one_per_manager ON assignments (manager_id) WHERE state <> 'Ended';
CREATE INDEX assignments_by_suite ON assignments (task_suite_id, id);

CREATE TABLE hook_runs (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT hook_runs_pkey PRIMARY KEY,
    assignment_id bigint NOT NULL CONSTRAINT hook_runs_assignment_fkey REFERENCES assignments ON DELETE CASCADE,
    task_suite_id uuid NOT NULL,
    manager_id uuid NOT NULL,
    hook_type text NOT NULL CONSTRAINT hook_runs_type_known CHECK (hook_type IN ('Preparation', 'Cleanup')),
    result text NOT NULL CONSTRAINT hook_runs_result_known
        CHECK (result IN ('Success', 'Failure', 'Timeout', 'Cancelled')),
    exit_code integer,
    error text NOT NULL,
    output_tail text NOT NULL,
    started_at timestamptz NOT NULL,
    duration_seconds double precision NOT NULL,
    -- A report that is sent again after a reconnect changes nothing.
    CONSTRAINT hook_runs_once UNIQUE (assignment_id, hook_type, started_at)
);
CREATE INDEX hook_runs_by_suite ON hook_runs (task_suite_id, id);

-- The queue. It is written twice per task (insert, claim) and deleted from once, in batches.
-- It has no foreign keys: they would be a trigger per row; the statements that insert here
-- update the suite in the same transaction instead.
CREATE TABLE active_tasks (
    id uuid CONSTRAINT active_tasks_pkey PRIMARY KEY,
    task_suite_id uuid,
    group_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'Ready' CONSTRAINT active_tasks_state_known
        CHECK (state IN ('Ready', 'Dispatched', 'Running')),
    priority integer NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    -- The holder; together with attempt the fence of every write that a holder causes.
    assignment_id bigint,
    retry_at timestamptz,
    failures smallint NOT NULL DEFAULT 0,
    max_retries smallint NOT NULL,
    retry_backoff_seconds real NOT NULL,
    -- Managers whose workers it killed as often as one manager allows.
    excluded_manager_ids uuid[],
    -- A serialized mitosis.v1.TaskSpec, kept as it came.
    spec bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    CONSTRAINT active_tasks_held CHECK ((state = 'Ready') = (assignment_id IS NULL))
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0.2);
-- Exactly the predicate and the order of the claim.
CREATE INDEX active_tasks_ready ON active_tasks (task_suite_id, priority DESC, id)
    WHERE state = 'Ready' AND retry_at IS NULL;
CREATE INDEX active_tasks_held ON active_tasks (assignment_id) WHERE assignment_id IS NOT NULL;
CREATE INDEX active_tasks_retry ON active_tasks (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX active_tasks_by_suite ON active_tasks (task_suite_id, id);
CREATE INDEX active_tasks_by_group ON active_tasks (group_id, id);

-- History. No foreign keys to anything that may go away before it.
CREATE TABLE archived_tasks (
    id uuid CONSTRAINT archived_tasks_pkey PRIMARY KEY,
    task_suite_id uuid,
    group_id uuid NOT NULL,
    state text NOT NULL CONSTRAINT archived_tasks_state_known CHECK (state IN ('Completed', 'Failed', 'Cancelled')),
    priority integer NOT NULL,
    attempt integer NOT NULL,
    assignment_id bigint,
    max_retries smallint NOT NULL,
    retry_backoff_seconds real NOT NULL,
    spec bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    exit_code integer,
    error text NOT NULL DEFAULT '',
    stdout_tail text NOT NULL DEFAULT '',
    stderr_tail text NOT NULL DEFAULT '',
    return_value text
);
CREATE INDEX archived_tasks_by_suite ON archived_tasks (task_suite_id, id);
CREATE INDEX archived_tasks_by_group ON archived_tasks (group_id, id);
-- What people look for among a million that went well.
CREATE INDEX archived_tasks_unsuccessful ON archived_tasks (task_suite_id, id) WHERE state <> 'Completed';

CREATE TABLE task_execution_failures (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT task_execution_failures_pkey PRIMARY KEY,
    task_id uuid NOT NULL,
    task_suite_id uuid,
    attempt integer NOT NULL,
    kind text NOT NULL CONSTRAINT task_execution_failures_kind_known
        CHECK (kind IN ('Task', 'Worker', 'Node', 'Environment')),
    manager_id uuid,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX task_execution_failures_by_task ON task_execution_failures (task_id, id);

-- What creates with a request_id have made, so that the same request again makes nothing.
CREATE TABLE idempotent_requests (
    user_id uuid NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    -- The thing made, or the first of `resource_count` consecutive ones.
    resource_id uuid NOT NULL,
    resource_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotent_requests_pkey PRIMARY KEY (user_id, request_id)
);
CREATE INDEX idempotent_requests_by_age ON idempotent_requests USING brin (created_at);
