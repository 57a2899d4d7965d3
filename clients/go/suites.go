package mitosis

import (
	"context"
	"iter"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// SuiteSpec describes a suite to be created. Name and GroupName are needed, all else has defaults.
type SuiteSpec struct {
	// Name need not be unique.
	Name string
	// GroupName is the group that owns the suite; the caller needs the role Member in it.
	GroupName   string
	Description string
	// Labels are for finding suites.
	Labels []string
	// Tags are what a manager must have to run the suite.
	Tags []string
	// Priority is the place in the queue: higher goes first.
	Priority       int
	WorkerSchedule *WorkerSchedule
	// EnvPreparation runs on each manager before the first task, EnvCleanup after the last.
	EnvPreparation *Hook
	EnvCleanup     *Hook
	// TaskDefaults is what a task's spec takes when it does not say.
	TaskDefaults *TaskSpec
	// AutoCloseTimeout is how long the suite may be quiet before it completes by itself, rounded up to whole seconds;
	// zero completes it as soon as nothing is pending. Nil: three minutes.
	AutoCloseTimeout *time.Duration
	// MaxPreparationFailures is the number of failed preparations in a row after which the suite is Failed. Zero: 3.
	MaxPreparationFailures int
	// MaxAttempts is how many holders a task may wear out by killing their workers. Zero: 3.
	MaxAttempts int
	// RequestID makes two calls with the same spec create one suite. The client makes one up where it is empty.
	RequestID string
}

// CreateSuite creates a suite in state Queued.
//
// Errors: [ErrInvalidField], [ErrNotFound] (group), [ErrPermissionDenied], [ErrRequestIDReused], [ErrDisabled].
func (c *Client) CreateSuite(ctx context.Context, spec SuiteSpec) (*Suite, error) {
	request, err := encodeSuiteSpec(spec)
	if err != nil {
		return nil, err
	}
	answer, err := c.suites.CreateSuite(ctx, request)
	if err != nil {
		return nil, err
	}
	return decodeSuite(answer.GetSuite()), nil
}

func encodeSuiteSpec(spec SuiteSpec) (*mitosisv1.CreateSuiteRequest, error) {
	var found violations
	request := &mitosisv1.CreateSuiteRequest{
		Name:                    spec.Name,
		GroupName:               spec.GroupName,
		Description:             spec.Description,
		Labels:                  spec.Labels,
		Tags:                    spec.Tags,
		Priority:                givenInt(spec.Priority),
		WorkerSchedule:          encodeWorkerSchedule(&found, spec.WorkerSchedule),
		EnvPreparation:          encodeHook(spec.EnvPreparation),
		EnvCleanup:              encodeHook(spec.EnvCleanup),
		TaskDefaults:            encodeTaskDefaults(&found, spec.TaskDefaults),
		AutoCloseTimeoutSeconds: wholeSeconds(spec.AutoCloseTimeout),
		MaxPreparationFailures:  givenInt(spec.MaxPreparationFailures),
		MaxAttempts:             givenInt(spec.MaxAttempts),
		RequestId:               orNew(spec.RequestID),
	}
	return request, found.err()
}

func encodeTaskDefaults(found *violations, spec *TaskSpec) *mitosisv1.TaskSpec {
	if spec == nil {
		return nil
	}
	return encodeTaskSpec(found, "task_defaults", *spec)
}

// GetSuite returns one suite with its latest hook runs and eligible managers.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) GetSuite(ctx context.Context, uuid string) (*Suite, error) {
	answer, err := c.suites.GetSuite(ctx, &mitosisv1.GetSuiteRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeSuite(answer.GetSuite()), nil
}

// SuiteFilter selects suites: those that match all fields that are given.
type SuiteFilter struct {
	GroupName string
	State     SuiteState
	// Labels and Tags are all among the suite's.
	Labels []string
	Tags   []string
	// Name is a part of the suite's name, without regard to case.
	Name string
	// PageSize is the number of suites read by one call, 1 to 1000. Zero: 100.
	PageSize int
}

// ListSuites returns the suites that the caller may see and that match a filter, newest first. It reads a page when the
// one before is used up. An error is the last thing that it yields.
//
// Errors: [ErrInvalidField].
func (c *Client) ListSuites(ctx context.Context, filter SuiteFilter) iter.Seq2[*Suite, error] {
	return pages(func(token string) ([]*mitosisv1.TaskSuite, string, error) {
		request, err := encodeSuiteFilter(filter)
		if err != nil {
			return nil, "", err
		}
		request.PageToken = token
		page, err := c.suites.ListSuites(ctx, request)
		return page.GetSuites(), page.GetNextPageToken(), err
	}, decodeSuite)
}

func encodeSuiteFilter(filter SuiteFilter) (*mitosisv1.ListSuitesRequest, error) {
	var found violations
	request := &mitosisv1.ListSuitesRequest{
		GroupName: filter.GroupName,
		State:     mitosisv1.TaskSuiteState(suiteStates.encode(&found, "state", filter.State)),
		Labels:    filter.Labels,
		Tags:      filter.Tags,
		Name:      filter.Name,
		PageSize:  givenInt(filter.PageSize),
	}
	return request, found.err()
}

// SuiteChanges are the fields of a suite to be changed; nil leaves a field as it is.
type SuiteChanges struct {
	Name        *string
	Description *string
	// Labels and Tags replace all; an empty list that is not nil takes all away.
	Labels   []string
	Tags     []string
	Priority *int
	// WorkerSchedule, EnvPreparation, EnvCleanup and TaskDefaults are replaced as a whole.
	WorkerSchedule *WorkerSchedule
	EnvPreparation *Hook
	EnvCleanup     *Hook
	TaskDefaults   *TaskSpec
	// AutoCloseTimeout is rounded up to whole seconds.
	AutoCloseTimeout       *time.Duration
	MaxPreparationFailures *int
	MaxAttempts            *int
}

// UpdateSuite changes a suite and returns it. What a manager already took keeps the old values.
//
// Errors: [ErrInvalidField], [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Cancelled).
func (c *Client) UpdateSuite(ctx context.Context, uuid string, changes SuiteChanges) (*Suite, error) {
	request, err := encodeSuiteChanges(changes)
	if err != nil {
		return nil, err
	}
	request.Uuid = uuid
	answer, err := c.suites.UpdateSuite(ctx, request)
	if err != nil {
		return nil, err
	}
	return decodeSuite(answer.GetSuite()), nil
}

func encodeSuiteChanges(changes SuiteChanges) (*mitosisv1.UpdateSuiteRequest, error) {
	var found violations
	request := &mitosisv1.UpdateSuiteRequest{
		Name:                    changes.Name,
		Description:             changes.Description,
		Labels:                  encodeLabels(changes.Labels),
		Tags:                    encodeLabels(changes.Tags),
		Priority:                optionalInt(changes.Priority),
		WorkerSchedule:          encodeWorkerSchedule(&found, changes.WorkerSchedule),
		EnvPreparation:          encodeHook(changes.EnvPreparation),
		EnvCleanup:              encodeHook(changes.EnvCleanup),
		TaskDefaults:            encodeTaskDefaults(&found, changes.TaskDefaults),
		AutoCloseTimeoutSeconds: wholeSeconds(changes.AutoCloseTimeout),
		MaxPreparationFailures:  optionalInt(changes.MaxPreparationFailures),
		MaxAttempts:             optionalInt(changes.MaxAttempts),
	}
	return request, found.err()
}

// encodeLabels tells an empty list, which takes all away, from none.
func encodeLabels(labels []string) *mitosisv1.LabelList {
	if labels == nil {
		return nil
	}
	return &mitosisv1.LabelList{Values: labels}
}

// SuiteCancellation says how a suite is cancelled.
type SuiteCancellation struct {
	// Reason is shown in [Suite.Reason].
	Reason string
	// CancelRunningTasks stops the processes of running tasks. Without it, what runs is finished.
	CancelRunningTasks bool
}

// CancelSuite cancels a suite and returns how many tasks that cancelled. It is not repeated when its answer is lost: a
// Cancelled suite answers [ErrWrongState].
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState].
func (c *Client) CancelSuite(ctx context.Context, uuid string, how SuiteCancellation) (cancelledTasks int, err error) {
	answer, err := c.suites.CancelSuite(ctx, &mitosisv1.CancelSuiteRequest{
		Uuid:               uuid,
		Reason:             how.Reason,
		CancelRunningTasks: how.CancelRunningTasks,
	})
	if err != nil {
		return 0, err
	}
	return int(answer.GetCancelledTaskCount()), nil
}

// CloseSuite says that no more tasks are coming: the suite completes when nothing is pending.
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Cancelled, Failed).
func (c *Client) CloseSuite(ctx context.Context, uuid string) (*Suite, error) {
	answer, err := c.suites.CloseSuite(ctx, &mitosisv1.CloseSuiteRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeSuite(answer.GetSuite()), nil
}

// RetrySuite makes the Failed tasks of a suite Ready again, and a Failed suite Queued. It returns the suite and how many
// tasks are Ready again.
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Cancelled).
func (c *Client) RetrySuite(ctx context.Context, uuid string) (suite *Suite, retriedTasks int, err error) {
	answer, err := c.suites.RetrySuite(ctx, &mitosisv1.RetrySuiteRequest{Uuid: uuid})
	if err != nil {
		return nil, 0, err
	}
	return decodeSuite(answer.GetSuite()), int(answer.GetRetriedTaskCount()), nil
}

// RefreshSuiteManagers matches a suite with managers by tags again and returns all that may run it.
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Cancelled).
func (c *Client) RefreshSuiteManagers(ctx context.Context, uuid string) ([]EligibleManager, error) {
	answer, err := c.suites.RefreshSuiteManagers(ctx, &mitosisv1.RefreshSuiteManagersRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetManagers(), decodeEligibleManager), nil
}

// AddSuiteManagers adds managers by hand and returns all that may run the suite: from then on only those added by hand.
//
// Errors: [ErrInvalidField], [ErrNotFound] (suite or a manager), [ErrPermissionDenied], [ErrWrongState] (Cancelled).
func (c *Client) AddSuiteManagers(ctx context.Context, uuid string, managerUUIDs ...string) ([]EligibleManager, error) {
	request := &mitosisv1.AddSuiteManagersRequest{Uuid: uuid, ManagerUuids: managerUUIDs}
	answer, err := c.suites.AddSuiteManagers(ctx, request)
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetManagers(), decodeEligibleManager), nil
}

// RemoveSuiteManagers makes managers ineligible and returns all that may still run the suite. One that holds it finishes
// what runs and hands back the rest.
//
// Errors: [ErrInvalidField], [ErrNotFound] (suite), [ErrPermissionDenied], [ErrWrongState] (Cancelled).
func (c *Client) RemoveSuiteManagers(
	ctx context.Context, uuid string, managerUUIDs ...string,
) ([]EligibleManager, error) {
	request := &mitosisv1.RemoveSuiteManagersRequest{Uuid: uuid, ManagerUuids: managerUUIDs}
	answer, err := c.suites.RemoveSuiteManagers(ctx, request)
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetManagers(), decodeEligibleManager), nil
}
