ALTER TABLE independent_workers DROP COLUMN shutdown_graceful, DROP COLUMN shutdown_reason;
ALTER TABLE node_managers DROP COLUMN shutdown_graceful, DROP COLUMN shutdown_reason;
DROP TABLE coordinators;
