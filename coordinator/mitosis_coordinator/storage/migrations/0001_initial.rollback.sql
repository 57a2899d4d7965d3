DROP TABLE signing_keys;
DROP TABLE user_group;
DROP TABLE groups;
DROP TABLE users;
