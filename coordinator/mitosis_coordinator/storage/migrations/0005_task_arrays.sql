-- Arrays: tasks that differ in a number only, and are made when they are about to run.

CREATE TABLE task_arrays (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT task_arrays_pkey PRIMARY KEY,
    task_suite_id uuid NOT NULL CONSTRAINT task_arrays_suite_fkey REFERENCES task_suites ON DELETE CASCADE,
    group_id uuid NOT NULL,
    -- The last 32 bits count the tasks, from 0.
    first_task_id uuid NOT NULL CONSTRAINT task_arrays_first_task_key UNIQUE,
    task_count integer NOT NULL,
    -- How many were made, or cancelled before; a row whose tasks were all made is deleted.
    next_index integer NOT NULL DEFAULT 0,
    -- Tasks that were cancelled before they were made.
    skipped integer[] NOT NULL DEFAULT '{}',
    payload_start bigint NOT NULL,
    payload_step bigint NOT NULL,
    priority integer NOT NULL,
    max_retries smallint NOT NULL,
    retry_backoff_seconds real NOT NULL,
    -- A serialized mitosis.v1.TaskSpec without a payload.
    template bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_arrays_position CHECK (next_index >= 0 AND next_index < task_count)
);
CREATE INDEX task_arrays_by_suite ON task_arrays (task_suite_id, priority DESC, first_task_id);
