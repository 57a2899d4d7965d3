-- Several coordinators on one database: who they are, and orders for holders that are connected to another of them.

CREATE TABLE coordinators (
    id uuid CONSTRAINT coordinators_pkey PRIMARY KEY,
    hostname text NOT NULL,
    pid integer NOT NULL,
    -- Of the connection that listens, and that holds the duties' lock where this one leads.
    backend_pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Set while the holder's process shall end: whether after a drain, and because of what.
ALTER TABLE node_managers
    ADD COLUMN shutdown_graceful boolean,
    ADD COLUMN shutdown_reason text NOT NULL DEFAULT '';
ALTER TABLE independent_workers
    ADD COLUMN shutdown_graceful boolean,
    ADD COLUMN shutdown_reason text NOT NULL DEFAULT '';
