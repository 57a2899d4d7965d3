-- Users, groups, memberships, and the keys that sign tokens.

CREATE TABLE users (
    id uuid CONSTRAINT users_pkey PRIMARY KEY,
    username text NOT NULL CONSTRAINT users_username_length CHECK (length(username) BETWEEN 1 AND 64),
    password_hash text NOT NULL,
    is_admin boolean NOT NULL DEFAULT false,
    disabled_at timestamptz,
    -- Tokens issued before this moment are refused.
    tokens_valid_after timestamptz NOT NULL DEFAULT 'epoch',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_username_key ON users (lower(username));

CREATE TABLE groups (
    id uuid CONSTRAINT groups_pkey PRIMARY KEY,
    name text NOT NULL
        CONSTRAINT groups_name_key UNIQUE
        CONSTRAINT groups_name_length CHECK (length(name) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE user_group (
    user_id uuid NOT NULL CONSTRAINT user_group_user_fkey REFERENCES users (id) ON DELETE CASCADE,
    group_id uuid NOT NULL CONSTRAINT user_group_group_fkey REFERENCES groups (id) ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT user_group_role_known CHECK (role IN ('Viewer', 'Member', 'Admin')),
    CONSTRAINT user_group_pkey PRIMARY KEY (user_id, group_id)
);

CREATE INDEX user_group_by_group ON user_group (group_id);

CREATE TABLE signing_keys (
    kid text CONSTRAINT signing_keys_pkey PRIMARY KEY,
    private_key_pem text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
