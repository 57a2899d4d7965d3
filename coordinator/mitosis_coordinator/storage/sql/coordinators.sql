-- name: connections_allowed
-- How many connections this role may have to this database: the least of all limits, -1 being none.
SELECT least(
    current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0
        ELSE current_setting('superuser_reserved_connections')::int END,
    nullif(rolconnlimit, -1), nullif(datconnlimit, -1))
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()

-- name: settle_in
-- Makes a connection fit for listening: it may be quiet, and one whose peer vanished ends within seconds with its lock.
SELECT set_config('idle_session_timeout', '0', false), set_config('statement_timeout', '5000', false),
    set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '9000', false)

-- name: listen
-- Receives the hints of all coordinators of this database from now on.
LISTEN mitosis_hints

-- name: notify
-- Sends one payload of hints.
SELECT pg_notify('mitosis_hints', %(payload)s)

-- name: beat
-- Says that a coordinator lives.
INSERT INTO coordinators (id, hostname, pid, backend_pid, version)
VALUES (%(id)s, %(hostname)s, %(pid)s, pg_backend_pid(), %(version)s)
ON CONFLICT (id) DO UPDATE SET seen_at = now(), backend_pid = excluded.backend_pid

-- name: count_others
-- How many other coordinators live.
SELECT count(*) FROM coordinators WHERE id <> %(id)s AND seen_at > now() - make_interval(secs => %(alive_seconds)s)

-- name: forget_dead
-- Drops coordinators that went without a word.
DELETE FROM coordinators WHERE seen_at < now() - make_interval(secs => %(forget_seconds)s)

-- name: leave
-- Drops a coordinator that goes.
DELETE FROM coordinators WHERE id = %(id)s

-- name: try_lead
-- Takes the duties' lock, unless somebody has it; it ends with the connection.
SELECT pg_try_advisory_lock(%(class)s, %(key)s)

-- name: stop_leading
-- Gives the duties' lock back, if this connection has it.
SELECT pg_advisory_unlock_all()

-- name: depose_silent
-- Ends the connection that holds the duties' lock when its coordinator is silent: it hangs, or its machine sleeps.
SELECT pg_terminate_backend(l.pid) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = %(class)s AND l.objid = %(key)s
  AND NOT EXISTS (SELECT 1 FROM coordinators c
                  WHERE c.backend_pid = l.pid AND c.seen_at > now() - make_interval(secs => %(alive_seconds)s))
