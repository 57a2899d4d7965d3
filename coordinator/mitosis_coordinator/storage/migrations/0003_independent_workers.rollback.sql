-- What workers hold waits until there are workers again.
UPDATE active_tasks SET state = 'Ready', assignment_id = NULL, started_at = NULL
WHERE assignment_id IN (SELECT id FROM assignments WHERE worker_id IS NOT NULL);
DELETE FROM assignments WHERE worker_id IS NOT NULL;

ALTER TABLE task_execution_failures RENAME COLUMN holder_id TO manager_id;
DROP INDEX active_tasks_independent;
ALTER TABLE archived_tasks DROP COLUMN tags;
ALTER TABLE active_tasks DROP COLUMN tags;
ALTER TABLE assignments
    DROP CONSTRAINT assignments_suite_means_manager,
    DROP CONSTRAINT assignments_one_holder,
    DROP COLUMN holder_id,
    DROP COLUMN worker_id,
    ALTER COLUMN manager_id SET NOT NULL,
    ALTER COLUMN task_suite_id SET NOT NULL;
DROP TABLE group_worker;
DROP TABLE independent_workers;
