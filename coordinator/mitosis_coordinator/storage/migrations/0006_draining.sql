-- Managers that an operator has taken out of service: they get no suite, whatever their state.

ALTER TABLE node_managers ADD COLUMN draining boolean NOT NULL DEFAULT false;
