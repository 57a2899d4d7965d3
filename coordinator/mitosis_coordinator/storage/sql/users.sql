-- name: insert_user
-- Creates a user; touches no row when the name is taken.
INSERT INTO users (id, username, password_hash, is_admin)
VALUES (%(user_id)s, %(username)s, %(password_hash)s, %(is_admin)s)
ON CONFLICT (lower(username)) DO NOTHING;

-- name: any_user
-- Whether there is any user at all.
SELECT EXISTS (SELECT FROM users);

-- name: credentials
-- What a login is checked against, and the clock that decides which tokens are older than a password change.
SELECT id, username, password_hash, disabled_at IS NOT NULL AS disabled, clock_timestamp() AS now
FROM users
WHERE lower(username) = lower(%(username)s);

-- name: credentials_by_id
-- The same for a user who is logged in.
SELECT id, username, password_hash, disabled_at IS NOT NULL AS disabled, clock_timestamp() AS now
FROM users
WHERE id = %(user_id)s;

-- name: principal
-- What a token is checked against, with the role in every group.
SELECT
    u.id,
    u.username,
    u.is_admin,
    u.disabled_at IS NOT NULL AS disabled,
    u.tokens_valid_after,
    coalesce(array_agg(m.group_id) FILTER (WHERE m.group_id IS NOT NULL), '{}') AS group_ids,
    coalesce(array_agg(m.role) FILTER (WHERE m.group_id IS NOT NULL), '{}') AS roles
FROM users u
LEFT JOIN user_group m ON m.user_id = u.id
WHERE u.id = %(user_id)s
GROUP BY u.id;

-- name: user_by_name
-- One user with all memberships.
SELECT
    u.id,
    u.username,
    u.is_admin,
    u.disabled_at IS NOT NULL AS disabled,
    u.created_at,
    coalesce(array_agg(g.name ORDER BY g.name) FILTER (WHERE g.id IS NOT NULL), '{}') AS group_names,
    coalesce(array_agg(m.role ORDER BY g.name) FILTER (WHERE g.id IS NOT NULL), '{}') AS roles
FROM users u
LEFT JOIN user_group m ON m.user_id = u.id
LEFT JOIN groups g ON g.id = m.group_id
WHERE lower(u.username) = lower(%(username)s)
GROUP BY u.id;

-- name: list_users
-- One page of users with their memberships, by name without regard to case.
SELECT
    u.id,
    u.username,
    u.is_admin,
    u.disabled_at IS NOT NULL AS disabled,
    u.created_at,
    coalesce(array_agg(g.name ORDER BY g.name) FILTER (WHERE g.id IS NOT NULL), '{}') AS group_names,
    coalesce(array_agg(m.role ORDER BY g.name) FILTER (WHERE g.id IS NOT NULL), '{}') AS roles
FROM (
    SELECT * FROM users
    WHERE lower(username) > lower(%(after)s)
    ORDER BY lower(username)
    LIMIT %(limit)s
) u
LEFT JOIN user_group m ON m.user_id = u.id
LEFT JOIN groups g ON g.id = m.group_id
GROUP BY u.id, u.username, u.is_admin, u.disabled_at, u.created_at
ORDER BY lower(u.username);

-- name: lock_administrators
-- Makes changes of who is an administrator wait for each other.
SELECT id FROM users WHERE is_admin AND disabled_at IS NULL ORDER BY id FOR UPDATE;

-- name: update_user
-- Changes what is not NULL. Disabling, or another password, revokes every token issued before.
UPDATE users SET
    password_hash = coalesce(%(password_hash)s::text, password_hash),
    is_admin = coalesce(%(is_admin)s::boolean, is_admin),
    disabled_at = CASE
        WHEN %(disabled)s::boolean THEN coalesce(disabled_at, clock_timestamp())
        WHEN NOT %(disabled)s::boolean THEN NULL
        ELSE disabled_at
    END,
    tokens_valid_after = CASE
        WHEN %(password_hash)s::text IS NOT NULL OR %(disabled)s::boolean THEN clock_timestamp()
        ELSE tokens_valid_after
    END
WHERE id = %(user_id)s;

-- name: revoke_tokens
-- Revokes every token of a user that was issued before.
UPDATE users SET tokens_valid_after = clock_timestamp() WHERE id = %(user_id)s;

-- name: rehash_password
-- Stores the same password under today's hashing parameters, unless it was changed meanwhile.
UPDATE users SET password_hash = %(password_hash)s WHERE id = %(user_id)s AND password_hash = %(old_hash)s;
