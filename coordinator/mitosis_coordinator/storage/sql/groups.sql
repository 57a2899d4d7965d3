-- name: insert_group
-- Creates a group; touches no row when the name is taken.
INSERT INTO groups (id, name) VALUES (%(group_id)s, %(name)s) ON CONFLICT ON CONSTRAINT groups_name_key DO NOTHING;

-- name: group_by_name
-- One group with its members by name.
SELECT
    g.id,
    g.name,
    g.created_at,
    coalesce(array_agg(u.username ORDER BY lower(u.username)) FILTER (WHERE u.id IS NOT NULL), '{}') AS usernames,
    coalesce(array_agg(m.role ORDER BY lower(u.username)) FILTER (WHERE u.id IS NOT NULL), '{}') AS roles
FROM groups g
LEFT JOIN user_group m ON m.group_id = g.id
LEFT JOIN users u ON u.id = m.user_id
WHERE g.name = %(name)s
GROUP BY g.id;

-- name: list_groups
-- One page of groups by name: all of them, or those that one user is in.
SELECT g.id, g.name, g.created_at, '{}'::text[] AS usernames, '{}'::text[] AS roles
FROM groups g
WHERE g.name > %(after)s
  AND (%(member)s::uuid IS NULL OR EXISTS (
      SELECT FROM user_group m WHERE m.group_id = g.id AND m.user_id = %(member)s
  ))
ORDER BY g.name
LIMIT %(limit)s;

-- name: set_member
-- Puts a user into a group, or changes the role.
INSERT INTO user_group (user_id, group_id, role) VALUES (%(user_id)s, %(group_id)s, %(role)s)
ON CONFLICT ON CONSTRAINT user_group_pkey DO UPDATE SET role = excluded.role;

-- name: remove_member
-- Takes a user out of a group and returns who it was.
DELETE FROM user_group m USING users u
WHERE m.group_id = %(group_id)s AND m.user_id = u.id AND lower(u.username) = lower(%(username)s)
RETURNING u.id;
