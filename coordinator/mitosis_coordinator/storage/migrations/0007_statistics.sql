-- What the planner knows of these columns misleads it. When one group or suite has most of the rows, it walks the primary
-- key and throws away what is not asked for, which for a small group is a million rows. Without statistics it takes any
-- value for one of two hundred, and the index that is meant for it. (`active_tasks.task_suite_id` keeps them: how many
-- tasks have no suite is needed for the claims of independent workers.)
ALTER TABLE active_tasks ALTER COLUMN group_id SET STATISTICS 0;
ALTER TABLE active_tasks ALTER COLUMN assignment_id SET STATISTICS 0;
ALTER TABLE archived_tasks ALTER COLUMN task_suite_id SET STATISTICS 0;
ALTER TABLE archived_tasks ALTER COLUMN group_id SET STATISTICS 0;
-- What was collected before would stay in use. A change of type throws it away, and to the same type does nothing else.
ALTER TABLE active_tasks ALTER COLUMN group_id TYPE uuid, ALTER COLUMN assignment_id TYPE bigint;
ALTER TABLE archived_tasks ALTER COLUMN task_suite_id TYPE uuid, ALTER COLUMN group_id TYPE uuid;
