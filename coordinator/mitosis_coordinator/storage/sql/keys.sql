-- name: lock_bootstrap
-- Lets one coordinator at a time make what the first start makes.
SELECT pg_advisory_xact_lock(7883960644715246338);

-- name: list_keys
-- Every signing key, the oldest first.
SELECT kid, private_key_pem FROM signing_keys ORDER BY created_at, kid;

-- name: insert_key
-- Adds a signing key.
INSERT INTO signing_keys (kid, private_key_pem) VALUES (%(kid)s, %(private_key_pem)s);
