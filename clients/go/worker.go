package mitosis

import (
	"context"
	"iter"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// WorkerState says where an independent worker stands.
type WorkerState string

// The states of an independent worker.
const (
	// WorkerOffline never connected, said goodbye, or stayed away longer than the heartbeat timeout.
	WorkerOffline WorkerState = "Offline"
	// WorkerIdle is connected and holds no task.
	WorkerIdle WorkerState = "Idle"
	// WorkerBusy runs a task.
	WorkerBusy WorkerState = "Busy"
)

var workerStates = newEnum[WorkerState](mitosisv1.WorkerState(0).Descriptor())

// Worker is an independent worker: a process that runs tasks of no suite.
type Worker struct {
	UUID  string
	Name  string
	State WorkerState
	Tags  []string
	// GroupNames are the groups whose tasks it may run.
	GroupNames     []string
	TasksCompleted int64
	TasksFailed    int64
	CreatedBy      string
	CreatedAt      time.Time
	// LastHeartbeat may be older than the truth by a heartbeat interval; zero when there was none.
	LastHeartbeat time.Time
	Version       string
	Hostname      string
}

func decodeWorker(worker *mitosisv1.Worker) *Worker {
	return &Worker{
		UUID:           worker.GetUuid(),
		Name:           worker.GetName(),
		State:          workerStates.decode(worker.GetState().Number()),
		Tags:           worker.GetTags(),
		GroupNames:     worker.GetGroupNames(),
		TasksCompleted: worker.GetTasksCompleted(),
		TasksFailed:    worker.GetTasksFailed(),
		CreatedBy:      worker.GetCreatedBy(),
		CreatedAt:      decodeTime(worker.GetCreatedAt()),
		LastHeartbeat:  decodeTime(worker.GetLastHeartbeat()),
		Version:        worker.GetVersion(),
		Hostname:       worker.GetHostname(),
	}
}

// WorkerSpec describes an independent worker to be registered.
type WorkerSpec struct {
	// Name is unique among workers.
	Name string
	Tags []string
	// GroupNames are the groups whose tasks it may run, at least one; the caller must be Admin of each.
	GroupNames []string
	// RequestID makes two calls with the same spec register one worker. The client makes one up where it is empty.
	RequestID string
}

// WorkerRegistration is a registered worker and its token, which is shown this once.
type WorkerRegistration struct {
	Worker         *Worker
	Token          Secret
	TokenExpiresAt time.Time
}

// RegisterWorker registers an independent worker and gives it a token.
//
// Errors: [ErrInvalidField], [ErrNotFound] (group), [ErrAlreadyExists] (name), [ErrPermissionDenied],
// [ErrRequestIDReused].
func (c *Client) RegisterWorker(ctx context.Context, spec WorkerSpec) (*WorkerRegistration, error) {
	answer, err := c.workers.RegisterWorker(ctx, &mitosisv1.RegisterWorkerRequest{
		Name:       spec.Name,
		Tags:       spec.Tags,
		GroupNames: spec.GroupNames,
		RequestId:  orNew(spec.RequestID),
	})
	if err != nil {
		return nil, err
	}
	return &WorkerRegistration{
		Worker:         decodeWorker(answer.GetWorker()),
		Token:          Secret(answer.GetToken()),
		TokenExpiresAt: decodeTime(answer.GetTokenExpiresAt()),
	}, nil
}

// GetWorker returns one independent worker.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound].
func (c *Client) GetWorker(ctx context.Context, uuid string) (*Worker, error) {
	answer, err := c.workers.GetWorker(ctx, &mitosisv1.GetWorkerRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeWorker(answer.GetWorker()), nil
}

// WorkerFilter selects independent workers: those that match all fields that are given.
type WorkerFilter struct {
	GroupName string
	State     WorkerState
	// Tags are all among the worker's.
	Tags []string
	// PageSize is the number of workers read by one call, 1 to 1000. Zero: 100.
	PageSize int
}

// ListWorkers returns the independent workers of the caller's groups that match a filter, by name. It reads a page when
// the one before is used up. An error is the last thing that it yields.
//
// Errors: [ErrInvalidField].
func (c *Client) ListWorkers(ctx context.Context, filter WorkerFilter) iter.Seq2[*Worker, error] {
	return pages(func(token string) ([]*mitosisv1.Worker, string, error) {
		request, err := encodeWorkerFilter(filter)
		if err != nil {
			return nil, "", err
		}
		request.PageToken = token
		page, err := c.workers.ListWorkers(ctx, request)
		return page.GetWorkers(), page.GetNextPageToken(), err
	}, decodeWorker)
}

func encodeWorkerFilter(filter WorkerFilter) (*mitosisv1.ListWorkersRequest, error) {
	var found violations
	request := &mitosisv1.ListWorkersRequest{
		GroupName: filter.GroupName,
		State:     mitosisv1.WorkerState(workerStates.encode(&found, "state", filter.State)),
		Tags:      filter.Tags,
		PageSize:  givenInt(filter.PageSize),
	}
	return request, found.err()
}

// ShutdownWorker asks a connected worker to end, and returns it as it stands.
//
// Errors: [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (Offline).
func (c *Client) ShutdownWorker(ctx context.Context, uuid string, mode ShutdownMode) (*Worker, error) {
	answer, err := c.workers.ShutdownWorker(ctx, &mitosisv1.ShutdownWorkerRequest{
		Uuid:     uuid,
		Graceful: new(mode == Graceful),
	})
	if err != nil {
		return nil, err
	}
	return decodeWorker(answer.GetWorker()), nil
}

// RevokeWorkerToken ends a worker's token and its stream now, and returns the worker as it stands.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) RevokeWorkerToken(ctx context.Context, uuid string) (*Worker, error) {
	answer, err := c.workers.RevokeWorkerToken(ctx, &mitosisv1.RevokeWorkerTokenRequest{Uuid: uuid})
	if err != nil {
		return nil, err
	}
	return decodeWorker(answer.GetWorker()), nil
}

// RenewWorkerToken ends a worker's token and its stream now, and gives it a new token, which is shown this once.
//
// Errors: [ErrInvalidField] (malformed UUID), [ErrNotFound], [ErrPermissionDenied].
func (c *Client) RenewWorkerToken(ctx context.Context, uuid string) (*WorkerRegistration, error) {
	answer, err := c.workers.RevokeWorkerToken(ctx, &mitosisv1.RevokeWorkerTokenRequest{Uuid: uuid, Renew: true})
	if err != nil {
		return nil, err
	}
	return &WorkerRegistration{
		Worker:         decodeWorker(answer.GetWorker()),
		Token:          Secret(answer.GetToken()),
		TokenExpiresAt: decodeTime(answer.GetTokenExpiresAt()),
	}, nil
}
