package mitosis

import (
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// SuiteState says where a suite stands.
type SuiteState string

// The states of a suite.
const (
	// SuiteQueued waits for a manager.
	SuiteQueued SuiteState = "Queued"
	// SuiteOpen is held by a manager that prepares the environment.
	SuiteOpen SuiteState = "Open"
	// SuiteExecuting has at least one manager that runs tasks of it.
	SuiteExecuting SuiteState = "Executing"
	// SuiteComplete has nothing pending and was closed, or quiet for its auto-close time. A new task queues it again.
	SuiteComplete SuiteState = "Complete"
	// SuiteCancelled was cancelled by a user.
	SuiteCancelled SuiteState = "Cancelled"
	// SuiteFailed had too many failed preparations in a row. [Client.RetrySuite] queues it again.
	SuiteFailed SuiteState = "Failed"
)

// Finished reports whether the suite has ended.
func (s SuiteState) Finished() bool {
	return s == SuiteComplete || s == SuiteCancelled || s == SuiteFailed
}

// WorkerStrategy says how many workers each manager runs for a suite.
type WorkerStrategy string

// The strategies.
const (
	// StrategyFixed makes each manager spawn WorkerCount workers, at most its own maximum. The default.
	StrategyFixed WorkerStrategy = "Fixed"
	// StrategyProportional shares WorkerCount, the suite's total, in proportion to the managers' maxima.
	StrategyProportional WorkerStrategy = "Proportional"
)

// CPUBinding says how workers are bound to processor cores.
type CPUBinding string

// The bindings.
const (
	// BindingRoundRobin runs worker i on core i modulo the number of cores. The default.
	BindingRoundRobin CPUBinding = "RoundRobin"
	// BindingExclusive gives each worker cores of its own; preparation fails when there are too few.
	BindingExclusive CPUBinding = "Exclusive"
	// BindingShared lets all workers use all cores.
	BindingShared CPUBinding = "Shared"
)

// ManagerSelection says why a manager may run a suite.
type ManagerSelection string

// The selections.
const (
	// SelectionTagMatched means that the manager has the suite's tags and works for its group.
	SelectionTagMatched ManagerSelection = "TagMatched"
	// SelectionUserSpecified means that it was added by hand; then only such managers run the suite.
	SelectionUserSpecified ManagerSelection = "UserSpecified"
)

// HookType says which of a suite's two hooks.
type HookType string

// The types of hook.
const (
	// HookPreparation runs on each manager before the first worker of the suite starts.
	HookPreparation HookType = "Preparation"
	// HookCleanup runs on each manager after the last worker of the suite ended.
	HookCleanup HookType = "Cleanup"
)

// HookResult says how a run of a hook ended.
type HookResult string

// The results of a hook.
const (
	// HookSuccess is exit code 0.
	HookSuccess HookResult = "Success"
	// HookFailure is another exit code, a signal, or a hook that could not be started.
	HookFailure HookResult = "Failure"
	// HookTimeout means that it ran too long and was killed.
	HookTimeout HookResult = "Timeout"
	// HookCancelled means that the suite was cancelled while it ran.
	HookCancelled HookResult = "Cancelled"
)

var (
	suiteStates       = newEnum[SuiteState](mitosisv1.TaskSuiteState(0).Descriptor())
	workerStrategies  = newEnum[WorkerStrategy](mitosisv1.WorkerScheduleStrategy(0).Descriptor())
	cpuBindings       = newEnum[CPUBinding](mitosisv1.CpuBinding(0).Descriptor())
	managerSelections = newEnum[ManagerSelection](mitosisv1.ManagerSelection(0).Descriptor())
	hookTypes         = newEnum[HookType](mitosisv1.HookType(0).Descriptor())
	hookResults       = newEnum[HookResult](mitosisv1.HookResult(0).Descriptor())
)

// WorkerSchedule is the worker plan of a suite.
type WorkerSchedule struct {
	Strategy WorkerStrategy
	// WorkerCount counts what the strategy says. Zero: each manager's maximum.
	WorkerCount int
	CPUBinding  CPUBinding
	// Cores are those that may be used, by number. Empty: all that the manager may use.
	Cores []int
	// TaskPrefetchCount is how many tasks a manager may hold ahead for each worker. Nil: 32.
	TaskPrefetchCount *int
}

func encodeWorkerSchedule(found *violations, plan *WorkerSchedule) *mitosisv1.WorkerSchedulePlan {
	if plan == nil {
		return nil
	}
	const path = "worker_schedule"
	return &mitosisv1.WorkerSchedulePlan{
		Strategy: mitosisv1.WorkerScheduleStrategy(
			workerStrategies.encode(found, join(path, "strategy"), plan.Strategy),
		),
		WorkerCount:       givenInt(plan.WorkerCount),
		CpuBinding:        mitosisv1.CpuBinding(cpuBindings.encode(found, join(path, "cpu_binding"), plan.CPUBinding)),
		Cores:             encodeInts(plan.Cores),
		TaskPrefetchCount: optionalInt(plan.TaskPrefetchCount),
	}
}

func decodeWorkerSchedule(plan *mitosisv1.WorkerSchedulePlan) *WorkerSchedule {
	if plan == nil {
		return nil
	}
	return &WorkerSchedule{
		Strategy:          workerStrategies.decode(plan.GetStrategy().Number()),
		WorkerCount:       int(plan.GetWorkerCount()),
		CPUBinding:        cpuBindings.decode(plan.GetCpuBinding().Number()),
		Cores:             decodeInts(plan.GetCores()),
		TaskPrefetchCount: decodeOptionalInt(plan.TaskPrefetchCount),
	}
}

// Hook is a program that a manager runs around a suite, in a process group of its own. Exactly one of Command and Args
// is given.
type Hook struct {
	// Command is a line for /bin/sh -c.
	Command string
	// Args are a program and its arguments, without a shell.
	Args []string
	// Timeout is the time after which it is killed. Zero: what the manager's configuration says.
	Timeout time.Duration
	// WorkingDirectory is an absolute path.
	WorkingDirectory string
	// Envs are added to the environment.
	Envs map[string]string
}

func encodeHook(hook *Hook) *mitosisv1.EnvHookSpec {
	if hook == nil {
		return nil
	}
	return &mitosisv1.EnvHookSpec{
		Command:          hook.Command,
		Args:             hook.Args,
		TimeoutSeconds:   givenSeconds(hook.Timeout),
		WorkingDirectory: hook.WorkingDirectory,
		Envs:             hook.Envs,
	}
}

func decodeHook(hook *mitosisv1.EnvHookSpec) *Hook {
	if hook == nil {
		return nil
	}
	return &Hook{
		Command:          hook.GetCommand(),
		Args:             hook.GetArgs(),
		Timeout:          decodeSeconds(hook.GetTimeoutSeconds()),
		WorkingDirectory: hook.GetWorkingDirectory(),
		Envs:             hook.GetEnvs(),
	}
}

// HookRun is one run of a hook on one manager.
type HookRun struct {
	Type        HookType
	Result      HookResult
	ManagerUUID string
	ManagerName string
	// ExitCode is nil when the hook was killed by a signal or never started.
	ExitCode *int
	// Error says in one sentence what went wrong. It is empty after success.
	Error string
	// OutputTail is the last 64 KiB of standard output and standard error together.
	OutputTail string
	StartedAt  time.Time
	Duration   time.Duration
}

func decodeHookRun(run *mitosisv1.HookRun) HookRun {
	return HookRun{
		Type:        hookTypes.decode(run.GetHookType().Number()),
		Result:      hookResults.decode(run.GetResult().Number()),
		ManagerUUID: run.GetManagerUuid(),
		ManagerName: run.GetManagerName(),
		ExitCode:    decodeOptionalInt(run.ExitCode),
		Error:       run.GetError(),
		OutputTail:  run.GetOutputTail(),
		StartedAt:   decodeTime(run.GetStartedAt()),
		Duration:    decodeSeconds(run.GetDurationSeconds()),
	}
}

// SuiteAssignment is one manager holding a suite.
type SuiteAssignment struct {
	ManagerUUID string
	ManagerName string
	StartedAt   time.Time
	// EndedAt is zero while it lasts.
	EndedAt time.Time
	// EndReason says why it ended, for example "Released" or "PreparationFailed".
	EndReason string
	// PreparationFailed says whether it was charged to the budget of the environment.
	PreparationFailed bool
}

func decodeSuiteAssignment(assignment *mitosisv1.SuiteAssignment) SuiteAssignment {
	return SuiteAssignment{
		ManagerUUID:       assignment.GetManagerUuid(),
		ManagerName:       assignment.GetManagerName(),
		StartedAt:         decodeTime(assignment.GetStartedAt()),
		EndedAt:           decodeTime(assignment.GetEndedAt()),
		EndReason:         assignment.GetEndReason(),
		PreparationFailed: assignment.GetPreparationFailed(),
	}
}

// EligibleManager is one manager that may run a suite.
type EligibleManager struct {
	ManagerUUID string
	ManagerName string
	Selection   ManagerSelection
	// Assigned says whether it holds the suite now.
	Assigned bool
}

func decodeEligibleManager(manager *mitosisv1.EligibleManager) EligibleManager {
	return EligibleManager{
		ManagerUUID: manager.GetManagerUuid(),
		ManagerName: manager.GetManagerName(),
		Selection:   managerSelections.decode(manager.GetSelection().Number()),
		Assigned:    manager.GetAssigned(),
	}
}

// Suite is a set of tasks that share an environment. Times that have not come are zero.
type Suite struct {
	UUID        string
	Name        string
	Description string
	GroupName   string
	State       SuiteState
	Labels      []string
	Tags        []string
	// Priority is the place in the queue: higher goes first.
	Priority       int
	WorkerSchedule *WorkerSchedule
	EnvPreparation *Hook
	EnvCleanup     *Hook
	// TaskDefaults is what a task's spec takes when it does not say.
	TaskDefaults *TaskSpec
	// AutoCloseTimeout is how long the suite may be quiet before it completes by itself.
	AutoCloseTimeout time.Duration
	// MaxPreparationFailures is the number of failed preparations in a row after which the suite is Failed.
	MaxPreparationFailures int
	// MaxAttempts is how many holders a task may wear out by killing their workers.
	MaxAttempts int
	// Closed says whether [Client.CloseSuite] was called since the last submission.
	Closed bool
	// TotalTasks counts all tasks ever submitted.
	TotalTasks int
	// PendingTasks counts those that are Ready, Dispatched or Running.
	PendingTasks   int
	CompletedTasks int
	FailedTasks    int
	CancelledTasks int
	// AssignedManagers counts the managers that hold the suite now, cleanup included.
	AssignedManagers int
	CreatedBy        string
	CreatedAt        time.Time
	UpdatedAt        time.Time
	// FinishedAt is when it last became Complete, Cancelled or Failed.
	FinishedAt time.Time
	// Reason says why it is Failed or Cancelled.
	Reason string
	// PreparationFailures counts the failed preparations in a row so far.
	PreparationFailures int
	// HookRuns are the latest, newest first, at most 20. Only [Client.GetSuite] and the end of a watch fill them.
	HookRuns []HookRun
	// EligibleManagers are those that may run it. Only [Client.GetSuite] and the end of a watch fill them.
	EligibleManagers []EligibleManager
	// Assignments say who holds it or held it, newest first, at most 50. Only [Client.GetSuite] and the end of a watch
	// fill them.
	Assignments []SuiteAssignment
}

// Released reports whether the suite has ended and no manager holds it any more: its cleanup hooks have ended too.
func (s *Suite) Released() bool { return s.State.Finished() && s.AssignedManagers == 0 }

func decodeSuite(suite *mitosisv1.TaskSuite) *Suite {
	return &Suite{
		UUID:                   suite.GetUuid(),
		Name:                   suite.GetName(),
		Description:            suite.GetDescription(),
		GroupName:              suite.GetGroupName(),
		State:                  suiteStates.decode(suite.GetState().Number()),
		Labels:                 suite.GetLabels(),
		Tags:                   suite.GetTags(),
		Priority:               int(suite.GetPriority()),
		WorkerSchedule:         decodeWorkerSchedule(suite.GetWorkerSchedule()),
		EnvPreparation:         decodeHook(suite.GetEnvPreparation()),
		EnvCleanup:             decodeHook(suite.GetEnvCleanup()),
		TaskDefaults:           decodeTaskSpec(suite.GetTaskDefaults()),
		AutoCloseTimeout:       time.Duration(suite.GetAutoCloseTimeoutSeconds()) * time.Second,
		MaxPreparationFailures: int(suite.GetMaxPreparationFailures()),
		MaxAttempts:            int(suite.GetMaxAttempts()),
		Closed:                 suite.GetClosed(),
		TotalTasks:             int(suite.GetTotalTasks()),
		PendingTasks:           int(suite.GetPendingTasks()),
		CompletedTasks:         int(suite.GetCompletedTasks()),
		FailedTasks:            int(suite.GetFailedTasks()),
		CancelledTasks:         int(suite.GetCancelledTasks()),
		AssignedManagers:       int(suite.GetAssignedManagers()),
		CreatedBy:              suite.GetCreatedBy(),
		CreatedAt:              decodeTime(suite.GetCreatedAt()),
		UpdatedAt:              decodeTime(suite.GetUpdatedAt()),
		FinishedAt:             decodeTime(suite.GetFinishedAt()),
		Reason:                 suite.GetReason(),
		PreparationFailures:    int(suite.GetPreparationFailures()),
		HookRuns:               mapped(suite.GetHookRuns(), decodeHookRun),
		EligibleManagers:       mapped(suite.GetEligibleManagers(), decodeEligibleManager),
		Assignments:            mapped(suite.GetAssignments(), decodeSuiteAssignment),
	}
}
