ALTER TABLE node_managers DROP COLUMN draining;
